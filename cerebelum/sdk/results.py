"""How an execution of a Python workflow ended: its result, or the error that says what to do about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec

from cerebelum.core.errors import CANCELLED, PARKED, CerebelumError, UsageError
from cerebelum.core.events import StepError
from cerebelum.core.state import State, status
from cerebelum.core.status import Status

_HINTS: dict[Status, str] = {
    "paused": "go on with: cerebelum resume {id}",
    "cancelled": "it is over; to go on all the same, say where: cerebelum resume {id} --from STEP",
}
_EXIT_CODES: dict[Status, int] = {"paused": PARKED, "cancelled": CANCELLED}


class ExecutionResult(msgspec.Struct, frozen=True):
    """An execution that has completed, or (with `park=True`) waits without anybody who drives it."""

    execution_id: str
    status: Status
    output: Any
    """The result of the last step, if everything ends in one."""
    results: dict[str, Any]
    """What completed steps returned, by name, as it was recorded."""
    started_at: datetime
    completed_at: datetime | None
    error: StepError | None = None


class WorkflowError(CerebelumError):
    """An execution did not complete. Nothing is lost: mend the cause and go on where it stopped, with `resume()`.

    Example:
        >>> import asyncio
        >>> from cerebelum import WorkflowError, step, workflow
        >>> prices = {}
        >>> @step
        ... def price():
        ...     return prices["tea"]
        >>> @workflow
        ... def shop(wf):
        ...     wf.timeline(price)
        >>> try:
        ...     shop.run(store="memory:")
        ... except WorkflowError as error:
        ...     prices["tea"] = 4
        ...     print(error.failed_step, error.error.message, asyncio.run(error.resume()).output)
        price KeyError: 'tea' 4
    """

    def __init__(self, state: State, resume: Callable[[], Awaitable[ExecutionResult]]) -> None:
        self.result = result_of(state)
        self.execution_id = state.execution_id
        self.status: Status = status(state)
        failed = state.main_failed() or state.failed
        self.failed_step: str | None = failed[0] if failed else None
        """The step whose failure it is."""
        at = state.steps.get(self.failed_step) if self.failed_step else None
        self.error: StepError | None = at.error if at is not None else state.error
        """What went wrong there: kind, message, traceback."""
        self._resume: Callable[[], Awaitable[ExecutionResult]] | None = resume
        message = state.error.message if state.error else f"the execution is {self.status}"
        self.exit_code = _EXIT_CODES.get(self.status, self.exit_code)
        hint = _HINTS.get(self.status, "mend it and go on: cerebelum resume {id}").format(id=state.execution_id)
        super().__init__(message, where=state.execution_id, hint=hint)
        if self.error is not None and self.error.traceback:
            self.add_note(self.error.traceback.rstrip())

    async def resume(self) -> ExecutionResult:
        """Go on with the execution. Raises WorkflowError if it fails again, UsageError in another process than its."""
        if self._resume is None:
            hint = f"go on with it by its id: await workflow.resume({self.execution_id!r})"
            raise UsageError("this error came from another process", where=self.execution_id, hint=hint)
        return await self._resume()

    def __reduce__(self) -> tuple[Any, ...]:
        remade, (kind, given, facts) = super().__reduce__()
        return remade, (kind, given, {**facts, "_resume": None})


def result_of(state: State) -> ExecutionResult:
    """What there is to say of an execution in this state."""
    return ExecutionResult(
        execution_id=state.execution_id,
        status=status(state),
        output=state.output,
        results={name: at.output for name, at in state.steps.items() if at.status == "completed"},
        started_at=state.started_at,
        completed_at=state.ended_at,
        error=state.error,
    )
