"""Where steps stand right after an execution was resumed: what is forgotten, and what goes on."""

from __future__ import annotations

import msgspec

from cerebelum.core.events import ExecutionResumed
from cerebelum.core.graph import Graph
from cerebelum.core.model import Step
from cerebelum.core.order import settled
from cerebelum.core.step_state import BUSY, StepState, refused

replace = msgspec.structs.replace


def taken_up(at: StepState | None, old: Graph, graph: Graph, step: Step, event: ExecutionResumed) -> StepState:
    """Where a step of the definition from here on stands right after a resume, that stood at `at` in the `old` one."""
    if at is None:
        return StepState()
    new_segment = not event.continues
    if step.id in event.rerun or (new_segment and graph.group_of(step.id) != "steps"):
        return _fresh(at)
    tolerated = at.diverted is not None or (step.continue_on_error and settled(old.step(step.id), at))
    if new_segment and at.status == "failed" and not tolerated:
        calls = at.calls[:-1] if at.calls and refused(at.calls[-1]) else at.calls
        return replace(at, status="pending", used=0, calls=calls, deaths=0)
    if at.status in BUSY and at.handed is not None and old.step(step.id).digest != step.digest:
        # The worker that has it finds that it has lost it.
        return replace(at, status="pending")
    if at.status in ("sleeping", "waiting_for_approval") and old.step(step.id).digest != step.digest:
        return replace(at, status="pending", calls=at.calls[:-1])
    return at


def _fresh(step: StepState) -> StepState:
    return StepState(attempt=step.attempt, generation=step.generation + (step.status != "pending"), host=step.host)
