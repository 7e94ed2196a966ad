"""`cerebelum active`: what is not over, with who drives it."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from cerebelum.cli import terminal
from cerebelum.cli.answers import COUNT_TO, style
from cerebelum.cli.options import JSON
from cerebelum.cli.tools import Tools
from cerebelum.core.status import GOING_ON
from cerebelum.store import Query

_MOST = 200


def active(tools: Tools, as_json: bool) -> int:
    """The verb; returns the exit code."""
    from cerebelum import render

    query = Query(status=(*GOING_ON, "paused"), limit=_MOST, count_to=COUNT_TO)
    page = tools.client().list(query)
    if as_json:
        terminal.show_json(render.listing(page, query))
    else:
        terminal.show(render.active_text(page, datetime.now(UTC), style(tools)))
    return 0


HELP = """List what is not over: running, sleeping, waiting for an approval, or paused; newest first.

\b
  cerebelum active
  cerebelum active --json

PROGRESS counts the steps that are done, NOW names those that are going on or waited for, DRIVEN BY the process.
"""

command = click.Command("active", callback=click.pass_obj(active), help=HELP, params=[JSON])
