"""`cerebelum store import`: take in the executions of a bundle."""

from __future__ import annotations

import click

from cerebelum.cli.options import JSON
from cerebelum.cli.progress import interruptible, progress
from cerebelum.cli.tools import Tools
from cerebelum.cli.transfers import Tally
from cerebelum.cli.words import unicode_text
from cerebelum.core.errors import UsageError


def import_(tools: Tools, file: str, as_json: bool) -> int:
    """The verb; returns the exit code."""
    file, tally = unicode_text(file, "the file"), Tally()
    again = "what is in the store is whole; the same command again takes in the rest"
    try:
        with (
            open(0 if file == "-" else file, "rb", closefd=file != "-") as lines,
            interruptible(again),
            progress(tools, "importing") as advance,
        ):
            tally.count(tools.client().take_in(lines, file), advance)
    except OSError as error:
        raise UsageError(f"the file cannot be read: {error.strerror}", where=file) from None
    return tally.tell("imported", as_json)


HELP = """Take in the executions of a bundle that `store export` wrote.

\b
  cerebelum store import kept.jsonl
  ssh elsewhere cerebelum store export --all | cerebelum store import -

Every digest is checked, and every summary worked out anew from the events. Each execution comes in whole or not at all.
What is there with the same log is left as it is. Refused, and named with file and line, is what was changed or cut off,
what is there under the same id with another log, and what was pruned in this store; the others are taken in. Killed
midway, it leaves whole executions; the same command again takes in the rest.

Exits with 1 if something was refused, with 2 if this is no bundle or one of a newer format.
"""

command = click.Command(
    "import",
    callback=click.pass_obj(import_),
    help=HELP,
    params=[click.Argument(["file"], metavar="FILE"), JSON],
)
