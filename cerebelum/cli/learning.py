"""What earlier executions of a workflow tell about the present one: how long it, and each step, usually takes."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from cerebelum.cli.live import Progress
from cerebelum.core.errors import CerebelumError
from cerebelum.store import Query

if TYPE_CHECKING:
    from cerebelum.sdk.verbs import Verbs

_MOST = 5
"""How many earlier executions are looked at."""


def progress(client: Verbs, execution_id: str) -> Progress:
    """Where the execution stands, and what the last ones of its workflow took. Nothing that fails here matters."""
    try:
        view = client.status(execution_id)
        state = view.state
        earlier = client.list(Query(workflow=state.workflow.name, status=("completed",), limit=_MOST)).rows
        states = [client.status(row.summary.execution_id).state for row in earlier]
    except CerebelumError:
        return Progress(0)
    usual = {}
    for step in state.workflow.steps:
        took = [s for other in states if step.id in other.steps and (s := other.steps[step.id].whole()) is not None]
        if took:
            usual[step.id] = median(took)
    # An execution that was resumed took as long as somebody needed to mend it.
    wholes = [(s.ended_at - s.started_at).total_seconds() for s in states if s.ended_at and not s.resumes]
    total = view.row.summary.steps_total
    fresh = not state.resumes
    usually = median(wholes) if wholes and fresh else None
    return Progress(total, view.row.summary.steps_done, state.version, usual, usually)
