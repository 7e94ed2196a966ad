"""Attempts that are a worker's business: handed over, taken, reported; and what all of that means for their steps.

The version of the StepHandedOver is the token of an attempt: whoever took it says what came of it by that, and what is
said of any other one counts for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

import msgspec

from cerebelum.core.events import (
    Asked,
    StepError,
    StepHandedOver,
    StepReported,
    StepTaken,
)
from cerebelum.core.outcome import Approval, Completed, Failed, Interrupted, Outcome, Sleep
from cerebelum.core.step_state import StepState

if TYPE_CHECKING:
    from cerebelum.core.model import Step

replace = msgspec.structs.replace


def handed(old: StepState, event: StepHandedOver | StepTaken | StepReported) -> StepState:
    """Where the step stands after the event; `old` if that has no bearing on it."""
    match event:
        case StepHandedOver():
            began = old.began_at if old.status in ("retrying", "answered", "running") else None
            return replace(
                old,
                status="waiting_for_worker",
                attempt=event.attempt,
                host=None,
                began_at=began or event.at,
                started_at=None,
                ended_at=None,
                retry_at=None,
                handed=event,
                taken=None,
                reported=None,
            )
        case StepTaken():
            if old.status != "waiting_for_worker" or old.handed is None or old.handed.version != event.handover:
                return old
            return replace(old, status="on_worker", host=event.host, started_at=event.at, taken=event)
        case StepReported():
            if event.refused is not None or not holds(old, event.handover, event.worker):
                return old
            return replace(old, status="reported", reported=event)
        case _:
            assert_never(event)


def holds(at: StepState | None, handover: int, worker: str) -> bool:
    """Whether a worker has the attempt that was handed over by the event of that version."""
    return (
        at is not None
        and at.status == "on_worker"
        and at.taken is not None
        and (at.taken.handover, at.taken.worker) == (handover, worker)
    )


# -- what a worker says -----------------------------------------------------------------------------------------------


def said(outcome: Outcome) -> dict[str, Any]:
    """The fields of StepReported that tell the outcome."""
    match outcome:
        case Completed(output):
            return {"outcome": "completed", "output": output}
        case Failed(error, retryable):
            return {"outcome": "failed", "error": error, "final": not retryable}
        case Sleep(seconds, until):
            return {"outcome": "waits", "asked": Asked("sleep", seconds, until)}
        case Approval(message, approval, data, timeout, on_timeout):
            asked = Asked("approval", timeout, None, message, approval, data, on_timeout)
            return {"outcome": "waits", "asked": asked}
        case Interrupted():
            return {"outcome": "interrupted"}
        case _:
            assert_never(outcome)


def outcome_of(event: StepReported) -> Outcome:
    """What `said` was made of."""
    if event.outcome == "completed":
        return Completed(event.output)
    if event.error is not None:
        return Failed(event.error, not event.final)
    if (asked := event.asked) is None:
        return Interrupted()
    if asked.kind == "sleep":
        return Sleep(asked.seconds, asked.until)
    return Approval(asked.message, asked.approval, asked.data, asked.seconds, asked.on_timeout)


def given_up(step: Step, at: StepState, most_deaths: int) -> StepError | None:
    """Why an attempt that was cut off is not made good by another one; None if it is."""
    if at.interrupted not in (None, "operator") and step.on_interrupt == "fail":
        text = f"attempt {at.attempt} was cut off ({at.interrupted}), and on_interrupt says fail"
        return StepError("interrupted", text)
    if at.deaths > most_deaths:
        return StepError("resurrection_exhausted", f"{at.deaths} workers in a row died while they performed it")
    return None
