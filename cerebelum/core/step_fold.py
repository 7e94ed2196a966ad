"""What each event means for the step that it is about."""

from __future__ import annotations

from typing import assert_never

import msgspec

from cerebelum.core.events import (
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalTimedOut,
    SleepCompleted,
    SleepStarted,
    StepCompleted,
    StepEvent,
    StepFailed,
    StepHandedOver,
    StepInterrupted,
    StepReported,
    StepSkipped,
    StepStarted,
    StepTaken,
)
from cerebelum.core.handover import handed
from cerebelum.core.step_state import Call, StepState, answered

replace = msgspec.structs.replace


def step_after(old: StepState, event: StepEvent, host: str | None) -> StepState:
    """Where the step stands after `event`, with the execution going on at `host`; `old` if that has no bearing on it.

    The place where the events of steps get their meaning, as `evolve` is for all others.
    """
    match event:
        case StepCompleted():
            return replace(
                old,
                status="completed",
                output=event.output,
                error=None,
                ended_at=event.at,
                duration=event.duration,
                interrupted=None,
                verified=event.verified,
                deaths=0,
            )
        case StepStarted():
            began = old.began_at if old.status in ("retrying", "answered") else None
            return replace(
                old,
                status="running",
                attempt=event.attempt,
                host=host,
                began_at=began or event.at,
                started_at=event.at,
                ended_at=None,
                retry_at=None,
                handed=None,
                taken=None,
                reported=None,
            )
        case StepFailed():
            return _failed(old, event, host)
        case StepInterrupted(why="withdrawn"):
            return replace(old, status="pending", ended_at=event.at)
        case StepInterrupted():
            deaths = old.deaths + (old.taken is not None) if event.why == "runner_died" else 0
            return replace(old, status="interrupted", interrupted=event.why, ended_at=event.at, deaths=deaths)
        case StepSkipped():
            return replace(old, status="skipped", skipped=event.why, ended_at=event.at)
        case StepHandedOver() | StepTaken() | StepReported():
            return handed(old, event)
        case SleepStarted():
            call = Call("sleep", event.at, event.until, event.seconds)
            return replace(old, status="sleeping", interrupted=None, calls=(*old.calls, call))
        case SleepCompleted():
            if not old.calls:
                return old
            slept = (*old.calls[:-1], replace(old.calls[-1], result="slept"))
            return replace(old, status="running", host=host, calls=slept, handed=None, taken=None, reported=None)
        case ApprovalRequested():
            call = Call("approval", event.at, event.expires_at, event.seconds, event)
            return replace(old, status="waiting_for_approval", interrupted=None, calls=(*old.calls, call))
        case ApprovalGranted() | ApprovalRejected() | ApprovalTimedOut():
            if old.status != "waiting_for_approval":
                return old
            return replace(old, status="answered", calls=(*old.calls[:-1], answered(old.calls[-1], event)))
        case _:
            assert_never(event)


def _failed(old: StepState, event: StepFailed, host: str | None) -> StepState:
    return replace(
        old,
        status="failed" if event.retry_at is None else "retrying",
        attempt=event.attempt,
        host=old.host if old.taken is not None else host,
        deaths=0,
        used=old.used + 1,
        error=event.error,
        diverted=event.diverted,
        retry_at=event.retry_at,
        retry_in=(event.retry_at - event.at).total_seconds() if event.retry_at else None,
        ended_at=event.at,
        duration=event.duration,
        interrupted=None,
    )
