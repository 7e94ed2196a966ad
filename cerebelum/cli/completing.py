"""What a shell is told when somebody presses Tab: ids of executions, and steps of the one that is named."""

from __future__ import annotations

from typing import cast

import click
from click.shell_completion import CompletionItem

from cerebelum.cli.tools import Tools
from cerebelum.core.errors import CerebelumError
from cerebelum.store import Query

_MOST = 200


def ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The newest executions whose ids begin with `incomplete`, and what each is."""
    try:
        rows = cast(Tools, ctx.obj).client().list(Query(id_prefix=incomplete or None, limit=_MOST)).rows
    except CerebelumError:
        return []
    named = [(row.summary.execution_id, f"{row.summary.status}, {row.summary.workflow}") for row in rows]
    if not incomplete and named:
        named.insert(0, ("last", "the newest"))
    return [CompletionItem(name, help=what) for name, what in named]


def ids_and_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Executions, and files where none fits."""
    return ids(ctx, param, incomplete) or [CompletionItem(incomplete, type="file")]


def steps(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The steps of the execution that the command line names, or of the newest."""
    try:
        name = ctx.params.get("execution_id") or "last"
        state = cast(Tools, ctx.obj).client().status(name).state
    except CerebelumError:
        return []
    return [CompletionItem(s, help=at.status) for s, at in state.steps.items() if s.startswith(incomplete)]
