"""The last event of a segment: how the execution ends once nothing is left to be done."""

from __future__ import annotations

from cerebelum.core import phases
from cerebelum.core.errors import CerebelumError
from cerebelum.core.events import ExecutionCancelled, ExecutionCompleted, ExecutionFailed, StepError
from cerebelum.core.state import State
from cerebelum.core.turn import Turn


def finish(turn: Turn) -> None:
    """Add that event."""
    state = turn.state
    if state.cancel:
        turn.add(ExecutionCancelled(by=state.cancel.by, why=state.cancel.why, **turn.stamp))
        return
    failed = state.main_failed() or state.failed
    if failed:
        turn.add(ExecutionFailed(error=_execution_error(state, failed), failed_steps=failed, **turn.stamp))
    elif phases.outcome(state, turn.circumstances.overtime) == "failed":
        turn.add(ExecutionFailed(error=phases.overtime(state), **turn.stamp))
    else:
        try:
            turn.add(ExecutionCompleted(output=turn.circumstances.result(state), **turn.stamp))
        except CerebelumError as problem:
            error = StepError("expression", f"output: {problem.text()}")
            turn.add(ExecutionFailed(error=error, **turn.stamp))


def _execution_error(state: State, failed: tuple[str, ...]) -> StepError:
    errors = {s: state.steps[s].error if s in state.steps else None for s in failed}
    rejected = [s for s, error in errors.items() if error and error.kind == "rejected"]
    step_id = (rejected or failed)[0]
    error = errors[step_id]
    kind = "rejected" if rejected else "step_failed"
    where = "step" if step_id in state.main_failed() else "handler"
    return StepError(kind, f"{where} {step_id} failed: {error.message if error else 'it was removed since'}")
