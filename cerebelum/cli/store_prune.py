"""`cerebelum store prune`: remove executions that ended long ago."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from cerebelum.cli import terminal
from cerebelum.cli.options import JSON, Duration
from cerebelum.cli.progress import interruptible, progress
from cerebelum.cli.store_heads import head
from cerebelum.cli.tools import Tools
from cerebelum.cli.transfers import executions
from cerebelum.core import errors
from cerebelum.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cerebelum.core.summary import Summary
    from cerebelum.render import store_contract as contract
    from cerebelum.store import Tombstone
    from cerebelum.store.pruning import Rule

_SHOWN = 20


def prune(
    tools: Tools, older_than: float, keep: int, status: tuple[str, ...], dry_run: bool, yes: bool, as_json: bool
) -> int:
    """The verb; returns the exit code."""
    rule = _rule(older_than, keep, status)
    if yes and not dry_run:
        return _remove(tools, rule, as_json)
    found = [row.summary for row in tools.client().prunable(rule)]
    if as_json:
        terminal.show_json(_shape(found, [], dry_run=True))
    else:
        _show(found)
    if dry_run:
        return errors.OK
    what = f"{executions(len(found))} with {sum(s.version for s in found):,} events"
    if found and not as_json and sys.stdin.isatty() and terminal.stderr().isatty():
        if click.confirm(f"remove {what} for good?", err=True):
            return _remove(tools, rule, as_json)
        terminal.complain("nothing was removed")
        return errors.USAGE
    raise UsageError("nothing was removed", hint=f"to remove {what}, say --yes; to see it only, --dry-run")


def _rule(older_than: float, keep: int, status: tuple[str, ...]) -> Rule:
    from cerebelum.cli.list import statuses
    from cerebelum.store.pruning import ENDED, Rule

    wanted = statuses(status)
    for name in wanted:
        if name not in ENDED:
            raise UsageError(f"what is {name} is not pruned", hint=f"only what is {', '.join(ENDED)}")
    return Rule(datetime.now(UTC) - timedelta(seconds=older_than), wanted or ENDED, keep)


def _remove(tools: Tools, rule: Rule, as_json: bool) -> int:
    client = tools.client()
    stones: list[Tombstone] = []
    left: list[str] = []
    with (
        interruptible("what was removed is gone with its tombstone left; the same command again removes the rest"),
        progress(tools, "pruning", lambda: sum(1 for _ in client.prunable(rule))) as advance,
    ):
        for row in client.prunable(rule):
            stone = client.prune(row)
            if stone is None:
                left.append(row.summary.execution_id)
            else:
                stones.append(stone)
            advance(1, row.summary.version)
    if as_json:
        terminal.show_json(_shape(stones, left, dry_run=False))
        return errors.OK
    for name in left:
        terminal.complain(f"{name}: somebody has taken it up again, so it stays")
    terminal.show(f"removed {executions(len(stones))} with {sum(s.version for s in stones):,} events")
    return errors.OK


def _show(found: Sequence[Summary]) -> None:
    from cerebelum.render.display import ago, harmless
    from cerebelum.render.tables import table

    now = datetime.now(UTC)
    rows = [
        (s.execution_id, s.status, f"ended {ago(s.ended_at or s.started_at, now)}", f"{s.version:,} events")
        for s in found[:_SHOWN]
    ]
    for line in table(rows):
        terminal.show(harmless(line))
    if len(found) > _SHOWN:
        terminal.show(f"… and {len(found) - _SHOWN:,} more")
    terminal.show(f"{executions(len(found))} with {sum(s.version for s in found):,} events would be removed")


def _shape(found: Sequence[Summary | Tombstone], left: list[str], *, dry_run: bool) -> contract.Pruning:
    return {
        "dry_run": dry_run,
        "executions": [head(each) for each in found],
        "events": sum(each.version for each in found),
        "taken_up": left,
    }


HELP = """Remove executions that ended long ago, whole: events, output, everything.

\b
  cerebelum store prune --older-than 90d --dry-run
  cerebelum store prune --older-than 30d --keep 20 --status completed --yes

Only what is completed, failed or cancelled is removed, and nothing that a process is driving. Of each a tombstone
stays: its id, which is not used again, and the head of its log, so that `store verify --heads` knows that it was pruned
and not lost. A failed execution that was removed cannot be resumed any more. Executions go one by one, each whole; when
interrupted, the same command goes on.

An SQLite file does not become smaller, its free pages are used again (`store info` shows them); `store backup` writes a
compact one.

Without --yes it shows what would go, and asks on a terminal; elsewhere it removes nothing and exits with 2.
"""

command = click.Command(
    "prune",
    callback=click.pass_obj(prune),
    help=HELP,
    params=[
        click.Option(
            ["--older-than"], type=Duration(), required=True, metavar="TIME", help="What ended longer ago than this."
        ),
        click.Option(
            ["--keep"],
            type=click.IntRange(0, 1 << 31),
            default=0,
            metavar="N",
            help="Of each workflow, keep the N that started last, of those with such a status.",
        ),
        click.Option(
            ["-s", "--status"], metavar="STATUS", multiple=True, help="Only completed, failed or cancelled ones."
        ),
        click.Option(["--dry-run"], is_flag=True, help="Only show what would be removed."),
        click.Option(["--yes"], is_flag=True, help="Remove it without asking."),
        JSON,
    ],
)
