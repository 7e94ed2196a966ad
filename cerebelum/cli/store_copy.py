"""`cerebelum store copy`: bring everything from one store into another."""

from __future__ import annotations

import os
from contextlib import closing

import click

from cerebelum.cli.options import JSON
from cerebelum.cli.progress import interruptible, progress
from cerebelum.cli.tools import Tools
from cerebelum.cli.transfers import Tally
from cerebelum.core.errors import UsageError
from cerebelum.store import EventStore


def copy(tools: Tools, origin: str, goal: str, as_json: bool) -> int:
    """The verb; returns the exit code."""
    tally = Tally()
    with (
        closing(tools.open_store(origin)) as source,
        closing(tools.open_store(goal)) as target,
    ):
        _check(source, target)
        from cerebelum.store.copying import copy as every

        with (
            interruptible("what was copied is whole; the same command again copies the rest"),
            progress(tools, "copying", lambda: sum(source.totals().executions.values())) as advance,
        ):
            tally.count(every(source, target), advance)
    return tally.tell("copied", as_json)


def _check(source: EventStore, target: EventStore) -> None:
    """Raises UsageError if there is nothing to copy, or both are one."""
    told, other = source.describe(), target.describe()
    if not told.exists:
        raise UsageError("there is no store to copy from", where=told.where)
    same = told.where and told.where == other.where
    if told.path and other.path and os.path.exists(other.path):
        same = os.path.samefile(told.path, other.path)
    if same:
        raise UsageError("both are the same store", where=told.where)


HELP = """Copy all executions with their output, and the tombstones of pruned ones, from one store into another.

\b
  cerebelum store copy deploy.db /srv/shared/cerebelum.db
  cerebelum store copy deploy.db postgresql://db.example/cerebelum
  cerebelum store copy postgresql://db.example/cerebelum kept.db --json

FROM and TO are URLs or files, as for --store. Every digest is checked on the way, and each execution comes in whole or
not at all. Repeating it is cheap: what is there already is passed over, and what has gone on in FROM is carried
forward. Refused, and named, is what is there under the same id with another log, was pruned in TO, or is damaged. An
execution that a live process drives is left out, and named: two stores would each have it go on. Copy again when it is
over. Both stores may be in use meanwhile, but copy into a store with one process at a time.

Exits with 0 if all of FROM is in TO, with 1 if something was refused or left out, with 130 on Ctrl-C; what was copied
by then is whole.
"""

command = click.Command(
    "copy",
    callback=click.pass_obj(copy),
    help=HELP,
    params=[click.Argument(["origin"], metavar="FROM"), click.Argument(["goal"], metavar="TO"), JSON],
)
