"""`cerebelum report`: an execution as one page, for whoever has no terminal at hand, or looks at it next year."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from functools import partial

import click

from cerebelum.cli import terminal
from cerebelum.cli.options import ID
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.core.errors import UsageError


def report(tools: Tools, execution_id: str, file: str | None) -> int:
    """The verb; returns the exit code."""
    client = tools.client()
    name = client.resolve(unicode_text(execution_id, "the id"))
    if file is None:
        file = f"{name}.html" if sys.stdout.isatty() else "-"
    file = unicode_text(file, "the file")
    if file != "-" and os.path.isdir(file):
        raise UsageError("it is a folder", where=file, hint=f"name a file: -o {os.path.join(file, f'{name}.html')}")
    page = _page(tools, name).encode("utf-8", "replace")
    if file == "-":
        terminal.show_data(page, as_is=True)
        return 0
    try:
        with open(file, "wb") as out:
            out.write(page)
    except OSError as error:
        raise UsageError(f"it cannot be written: {error.strerror}", where=file) from None
    terminal.show(f"wrote {file}")
    return 0


def _page(tools: Tools, name: str) -> str:
    from cerebelum import __version__, render
    from cerebelum.render.printed import attempts_of, last_printed, share, worth_showing
    from cerebelum.render.report import Report, page

    client = tools.client()
    view = client.status(name)
    # What happened after the look at how it stands would not go with the rest of the page.
    events = [event for event in client.history(name) if event.version <= view.state.version]
    wanted = worth_showing(attempts_of(events))
    chunks = (chunk for chunk in client.logs(name) if (chunk.step, chunk.attempt) in wanted)
    printed = last_printed(chunks, share(len(wanted)))
    command = partial(render.command_line, tools.store, tools.plugin_files)
    return page(Report(view, events, printed, datetime.now(UTC), __version__, command))


HELP = """Write an execution as one HTML page: how it stands, what went wrong, a timeline of all attempts, the graph,
the steps, what they printed, and the events.

\b
  cerebelum report last -o report.html
  cerebelum report deploy-k3
  cerebelum report last | mail -a 'Content-Type: text/html' -s 'deployed' team

The page is whole by itself: it loads nothing, runs no scripts, and can be mailed, archived and printed. Without -o it
goes to standard output, or, where that is a terminal, to the file ID.html. Of long output the end is shown.
"""

command = click.Command(
    "report",
    callback=click.pass_obj(report),
    help=HELP,
    params=[
        ID,
        click.Option(
            ["-o", "--output", "file"],
            metavar="FILE",
            help="Write to this file, also over one that is there; `-` is standard output.",
        ),
    ],
)
