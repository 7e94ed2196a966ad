"""`cerebelum store verify`: find what was lost or changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cerebelum.cli import terminal
from cerebelum.cli.options import JSON, complete_ids
from cerebelum.cli.progress import progress
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.core.errors import UsageError

if TYPE_CHECKING:
    from cerebelum.render import store_contract as contract
    from cerebelum.store.heads import Heads
    from cerebelum.store.verify import Flaw


def verify(tools: Tools, execution_id: str | None, heads: str | None, as_json: bool) -> int:
    """The verb `store verify`; returns the exit code."""
    kept = None if heads is None else _kept(heads)
    name = None if execution_id is None else unicode_text(execution_id, "the id")
    looked_at, events = 0, 0
    flaws: list[Flaw] = []
    client = tools.client()
    with progress(tools, "verifying", lambda: None if name else sum(client.store.totals().executions.values())) as tell:
        for verified in client.verify(name, kept):
            looked_at += verified.execution_id is not None
            events += verified.events
            flaws += verified.flaws
            tell(1, verified.events)
    if as_json:
        shape: contract.Verification = {
            "executions": looked_at,
            "events": events,
            "ok": not flaws,
            "flaws": [
                {"execution_id": flaw.execution_id, "version": flaw.version, "message": flaw.message} for flaw in flaws
            ],
        }
        terminal.show_json(shape)
    else:
        for flaw in flaws:
            where = "the database" if flaw.execution_id is None else f"{flaw.execution_id} version {flaw.version}"
            terminal.show(f"{where}: {flaw.message}")
        found = f"{len(flaws)} damaged" if flaws else "all sound"
        terminal.show(f"{looked_at} execution{'s' if looked_at != 1 else ''}, {events} events: {found}")
    return 1 if flaws else 0


def _kept(name: str) -> Heads:
    from cerebelum.store.heads import read_heads

    try:
        data = terminal.read_stdin() if name == "-" else Path(name).read_bytes()
        return read_heads(data.decode("utf-8"), name)
    except OSError as error:
        raise UsageError(f"the file cannot be read: {error.strerror}", where=name) from None
    except UnicodeDecodeError:
        raise UsageError("this is not UTF-8", where=name) from None


HELP = """Check that no event is missing or was changed, that every summary is what its events add up to, and, without
an ID, what the database itself can check.

\b
  cerebelum store verify
  cerebelum store verify deploy-k3f9q2xm7p --json

\b
  cerebelum store heads > heads.jsonl     # now and then, to a place of its own
  cerebelum store verify --heads heads.jsonl

With --heads, each execution must still have the events that it had when the file was made: a log that lost its end is
sound in itself. One that was pruned must have had them then.

Exits with 1 and names the execution and version if something is wrong.
"""

command = click.Command(
    "verify",
    callback=click.pass_obj(verify),
    help=HELP,
    params=[
        click.Argument(["execution_id"], metavar="[ID]", required=False, shell_complete=complete_ids),
        click.Option(
            ["--heads"],
            metavar="FILE",
            help="What `store heads`, `list --json` or `status --json` printed earlier; - is standard input.",
        ),
        JSON,
    ],
)
