"""`cerebelum locks`: who has which lock, and who waits for it."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from cerebelum.cli import terminal
from cerebelum.cli.options import JSON
from cerebelum.cli.tools import Tools


def locks(tools: Tools, as_json: bool) -> int:
    """The verb; returns the exit code."""
    from cerebelum.render.locks import locks_shape, locks_text

    claimed = tools.client().locks()
    if as_json:
        terminal.show_json(locks_shape(claimed))
    else:
        terminal.show(locks_text(claimed, datetime.now(UTC)))
    return 0


HELP = """List the locks that executions have, and who waits for them, in the order in which they will get them.

\b
  cerebelum locks
  cerebelum locks --json

A workflow says with `concurrency:` which lock its executions need, `run --lock NAME` for one of them. An execution has
its lock until it is over or paused, and keeps it while it sleeps or waits for an approval.
"""

command = click.Command("locks", callback=click.pass_obj(locks), help=HELP, params=[JSON])
