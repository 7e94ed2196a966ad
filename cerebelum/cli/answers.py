"""The answers of `list` and `status`: a module that loads without the library that reads command lines."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from cerebelum.cli import terminal
from cerebelum.cli.tools import Tools
from cerebelum.store import Query

LIMIT = 20
COUNT_TO = 10_000


def show_list(tools: Tools, query: Query, *, as_json: bool) -> int:
    """Print the executions that `query` asks for; returns the exit code."""
    from cerebelum import render

    page = tools.client().list(query)
    if as_json:
        terminal.show_json(render.listing(page, query))
    else:
        terminal.show(render.list_text(page, query))
    return 0


def show_status(tools: Tools, execution_id: str, at: int | datetime | None, *, as_json: bool) -> int:
    """Print how an execution stands, or stood at a version or time; returns the exit code."""
    from cerebelum import render

    view = tools.client().status(execution_id, at)
    if as_json:
        terminal.show_json(render.status_shape(view))
    else:
        symbols = render.UNICODE if terminal.takes_symbols(sys.stdout) else render.ASCII
        again = render.resume_command(view.state.execution_id, tools.store, tools.plugin_files)
        terminal.show(render.status_text(view, symbols, datetime.now(UTC), again))
    return 0
