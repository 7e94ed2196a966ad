"""The answers of `list` and `status`: a module that loads without the library that reads command lines."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from cerebelum.cli import terminal
from cerebelum.cli.tools import Tools
from cerebelum.store import Query

if TYPE_CHECKING:
    from cerebelum.render import Style, contract
    from cerebelum.store.lookup import View

LIMIT = 20
COUNT_TO = 10_000


def show_list(tools: Tools, query: Query, *, as_json: bool) -> int:
    """Print the executions that `query` asks for; returns the exit code."""
    from cerebelum import render

    page = tools.client().list(query)
    if as_json:
        terminal.show_json(render.listing(page, query))
    else:
        terminal.show(render.list_text(page, query, datetime.now(UTC), style(tools)))
    return 0


def show_status(
    tools: Tools, execution_id: str, at: int | datetime | None, step: str | None = None, *, as_json: bool
) -> int:
    """Print how an execution, or one step of it, stands, or stood at a version or time; returns the exit code."""
    from cerebelum import render

    view = tools.client().status(execution_id, at)
    if step is not None:
        return _show_step(tools, view, step, as_json=as_json)
    if as_json:
        terminal.show_json(render.status_shape(view))
    else:
        command = partial(render.command_line, tools.store, tools.plugin_files)
        terminal.show(render.status_text(view, style(tools), datetime.now(UTC), command))
    return 0


def _show_step(tools: Tools, view: View, step: str, *, as_json: bool) -> int:
    from cerebelum import render
    from cerebelum.render.shapes import steps_shape
    from cerebelum.store.lookup import check_step

    state = view.state
    check_step(state, step)
    if as_json:
        shape = next(one for one in steps_shape(state, view.takers) if one["id"] == step)
        alone: contract.Step = {"execution_id": state.execution_id, **shape}
        terminal.show_json(alone)
    else:
        terminal.show(render.step_text(state, step, style(tools), datetime.now(UTC)))
    return 0


def style(tools: Tools) -> Style:
    """How text is to look on this process's standard output."""
    return terminal.style(sys.stdout, tools.environ)
