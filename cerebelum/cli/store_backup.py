"""`cerebelum store backup`: the whole store in one file, while it is in use."""

from __future__ import annotations

import os

import click

from cerebelum.cli import terminal
from cerebelum.cli.options import JSON
from cerebelum.cli.progress import interruptible, progress
from cerebelum.cli.tools import Tools
from cerebelum.cli.transfers import Tally
from cerebelum.cli.words import unicode_text


def backup(tools: Tools, file: str, as_json: bool) -> int:
    """The verb; returns the exit code."""
    from cerebelum.render.display import size

    file, client, tally = unicode_text(file, "the file"), tools.client(), Tally()
    with (
        interruptible(f"{file} was not written"),
        progress(tools, "backing up") as advance,
    ):
        outcomes = client.back_up(file, tools.open_store, lambda: None)
        tally.count(outcomes, advance)
    written = os.stat(file).st_size
    if as_json:
        terminal.show_json({"ok": not tally.wrong, "file": file, "size": written, "refused": tally.refused()})
    else:
        tally.complain()
        terminal.show(f"{file}: {size(written)}; check it with: cerebelum store verify --store {file}")
    return tally.code


HELP = """Write the whole store into a new SQLite store file, while runners go on writing.

\b
  cerebelum store backup kept.db
  cerebelum store backup "/backups/cerebelum-$(date +%F).db"
  cerebelum list --store kept.db

Of an SQLite store it is one consistent moment, and compact: free space is left behind. Of another one it has all
executions, each as it stood when it was read. The file can be used as a store by every cerebelum, and copied back into
one with `store copy`. It is written beside its place, made durable, and then given its name; none is overwritten, and
only its owner may read it.

Exits with 1 if the log of an execution is damaged and had to be left out (of an SQLite store, none is), with 2 if there
is such a file already.
"""

command = click.Command(
    "backup",
    callback=click.pass_obj(backup),
    help=HELP,
    params=[click.Argument(["file"], metavar="FILE"), JSON],
)
