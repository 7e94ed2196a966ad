"""Answers what is asked most, `list` and `status ID`, before the library that reads command lines is loaded.

Loading that takes a quarter of such a command's time. What has further options goes the long way, to the same answer.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from cerebelum.cli import terminal
from cerebelum.cli.tools import Tools
from cerebelum.store import Query

LIMIT = 20
COUNT_TO = 10_000


def perform(arguments: Sequence[str], tools: Tools) -> int | None:
    """Perform a command line of the kinds above and return the exit code; None for any other."""
    verb, rest = arguments[0] if arguments else "", [*arguments[1:]]
    if "_CEREBELUM_COMPLETE" in tools.environ or not all(map(_is_plain, arguments)):
        return None
    if as_json := "--json" in rest:
        rest.remove("--json")
    if verb == "list" and not rest:
        return show_list(tools, Query(limit=LIMIT, count_to=COUNT_TO), as_json=as_json)
    if verb == "status" and (not rest or (len(rest) == 1 and not rest[0].startswith("-"))):
        return show_status(tools, rest[0] if rest else "last", None, as_json=as_json)
    return None


def _is_plain(argument: str) -> bool:
    return argument.isascii() and argument.isprintable()


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
