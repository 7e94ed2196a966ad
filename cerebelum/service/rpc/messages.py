"""How executions stand, as messages of the published status service."""

from __future__ import annotations

from cerebelum.core.errors import UsageError
from cerebelum.sdk import statuses
from cerebelum.sdk.statuses import ExecutionState
from cerebelum.service.rpc.structs import stamp, struct
from cerebelum.wire import worker_pb2 as wire

_STATES = {
    ExecutionState.RUNNING: wire.EXECUTION_RUNNING,
    ExecutionState.COMPLETED: wire.EXECUTION_COMPLETED,
    ExecutionState.FAILED: wire.EXECUTION_FAILED,
    # There are no numbers for these two that programs in the field would know.
    ExecutionState.CANCELLED: wire.EXECUTION_FAILED,
    ExecutionState.QUEUED: wire.EXECUTION_RUNNING,
    ExecutionState.SLEEPING: wire.EXECUTION_SLEEPING,
    ExecutionState.WAITING_FOR_APPROVAL: wire.EXECUTION_WAITING_FOR_APPROVAL,
    ExecutionState.PAUSED: wire.EXECUTION_PAUSED,
}
_MOST = 2**31 - 1


def wanted(number: int) -> list[ExecutionState]:
    """The statuses that a number in a filter stands for; none for any. Raises UsageError for one that there is not."""
    if number == wire.EXECUTION_STATE_UNSPECIFIED:
        return []
    found = [state for state, sent in _STATES.items() if sent == number]
    if not found:
        raise UsageError(f"there is no status with the number {number}", hint="0 to 6; see ExecutionState")
    return found


def status(at: statuses.ExecutionStatus) -> wire.ExecutionStatus:
    """An execution."""
    found = wire.ExecutionStatus(
        execution_id=at.execution_id,
        workflow_name=at.workflow_name,
        status=_STATES[at.status],
        started_at=stamp(at.started_at),
        completed_at=stamp(at.completed_at),
        current_step_index=at.current_step_index,
        total_steps=at.total_steps,
        current_step_name="" if at.status == ExecutionState.COMPLETED else at.current_step_name or "",
        completed_steps=[_step(step) for step in at.completed_steps],
        inputs=struct(at.inputs),
        step_outputs={name: struct(output) for name, output in at.step_outputs.items()},
    )
    if (error := _why(at)) is not None:
        found.error.CopyFrom(error)
    if (sleep := at.sleep_info) is not None:
        found.sleep_info.CopyFrom(
            wire.SleepInfo(
                duration_ms=sleep.duration_ms,
                sleep_started_at=stamp(sleep.sleep_started_at),
                remaining_ms=sleep.remaining_ms,
                data=None if sleep.data is None else struct(sleep.data),
            )
        )
    if (asked := at.approval_info) is not None:
        found.approval_info.CopyFrom(
            wire.ApprovalInfo(
                approval_type=asked.approval_type,
                data=struct({"message": asked.message, **(asked.data if isinstance(asked.data, dict) else {})}),
                timeout_ms=asked.timeout_ms or 0,
                requested_at=stamp(asked.requested_at),
                remaining_timeout_ms=asked.remaining_timeout_ms or 0,
            )
        )
    return found


def _why(at: statuses.ExecutionStatus) -> wire.ErrorInfo | None:
    if at.status == ExecutionState.CANCELLED:
        return wire.ErrorInfo(kind="cancelled", message=at.reason or "it was cancelled")
    if at.error is not None:
        return _error(at.error)
    # In lists the message is all that is known.
    return wire.ErrorInfo(message=at.reason) if at.status == ExecutionState.FAILED and at.reason else None


def _error(error: statuses.ErrorInfo) -> wire.ErrorInfo:
    return wire.ErrorInfo(kind=error.kind, message=error.message, stacktrace=error.stacktrace or "")


def _step(step: statuses.StepStatus) -> wire.StepStatus:
    return wire.StepStatus(
        step_name=step.step_name,
        step_index=step.step_index,
        status=step.status,
        started_at=stamp(step.started_at),
        completed_at=stamp(step.completed_at),
        duration_seconds=min(int(step.duration_seconds or 0), _MOST),
        output=None if step.output is None else struct(step.output),
        error=None if step.error is None else _error(step.error),
    )
