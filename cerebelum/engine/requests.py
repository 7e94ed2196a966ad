"""What anybody may append to an execution without driving it: requests to cancel or pause, and decisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cerebelum.core.errors import NotFound, UsageError
from cerebelum.core.events import (
    AnyEvent,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalTimedOut,
    CancelRequested,
    PauseRequested,
    encode,
)
from cerebelum.core.evolve import evolve
from cerebelum.core.state import Call, State
from cerebelum.core.summary import summarise
from cerebelum.host.clock import Clock
from cerebelum.store import Conflict, EventStore, lookup
from cerebelum.store.lookup import Log

Stamp = dict[str, Any]
Make = Callable[[State, Stamp], AnyEvent | None]


def request(store: EventStore, clock: Clock, execution_id: str, make: Make) -> Log:
    """Append what `make(state, stamp)` gives, again from the newest state whenever somebody else was first.

    Returns the log as it is then. `make` may give None: there is nothing to append. Whatever it raises goes through;
    UsageError if the event says that a decision came too late.
    """
    while True:
        log = lookup.read(store, execution_id)
        event = make(log.state, {"version": log.state.version + 1, "at": clock.now()})
        if event is None:
            return log
        state = evolve(log.state, event)
        entries = encode(execution_id, [event], log.digest)
        try:
            store.append(execution_id, log.state.version, entries, summarise(state, entries[-1].digest))
        except Conflict:
            continue
        if isinstance(event, ApprovalTimedOut):
            raise UsageError(f"the time to decide on {event.step} is over", where=execution_id)
        return lookup.read_on(store, Log(state, entries[-1].digest, lookup.present(store, execution_id)))


def cancel(state: State, stamp: Stamp, *, by: str, why: str | None) -> CancelRequested | None:
    """A request to cancel; None if one is being met. Raises UsageError if the execution has ended."""
    if state.ended == "cancelled":
        whom = f" by {state.cancel.by}" if state.cancel else ""
        raise UsageError(f"{state.execution_id} was cancelled already{whom}")
    if state.ended:
        raise UsageError(f"{state.execution_id} has {state.ended} already; there is nothing to cancel")
    return None if state.cancel else CancelRequested(by=by, why=why, **stamp)


def pause(state: State, stamp: Stamp, *, by: str, why: str | None) -> PauseRequested | None:
    """A request to pause; None if one is being met. Raises UsageError if it is paused already, or has ended."""
    if state.ended:
        raise UsageError(f"{state.execution_id} has ended ({state.ended}); there is nothing to pause")
    if state.cancel:
        raise UsageError(f"{state.execution_id} is being cancelled by {state.cancel.by}")
    if state.paused:
        raise UsageError(f"{state.execution_id} is paused already")
    return None if state.pausing else PauseRequested(by=by, why=why, **stamp)


def approve(
    state: State, stamp: Stamp, *, step: str | None, by: str, comment: str | None, response: dict[str, Any]
) -> ApprovalGranted | ApprovalTimedOut:
    """A grant, or the fact that it comes too late. Raises UsageError, NotFound if there is nothing to decide."""
    step_id, call, number = _pending(state, step)
    if call.due_at is not None and stamp["at"] >= call.due_at:
        return ApprovalTimedOut(step=step_id, call=number, **stamp)
    return ApprovalGranted(step=step_id, call=number, by=by, comment=comment, response=response, **stamp)


def reject(
    state: State, stamp: Stamp, *, step: str | None, by: str, comment: str | None
) -> ApprovalRejected | ApprovalTimedOut:
    """A rejection, or the fact that it comes too late. Raises UsageError, NotFound if there is nothing to decide."""
    step_id, call, number = _pending(state, step)
    if call.due_at is not None and stamp["at"] >= call.due_at:
        return ApprovalTimedOut(step=step_id, call=number, **stamp)
    return ApprovalRejected(step=step_id, call=number, by=by, comment=comment, **stamp)


def _pending(state: State, step: str | None) -> tuple[str, Call, int]:
    """The approval that waits for a decision: its step, the call, and the call's number."""
    if step is not None and step not in state.steps:
        hint = f"see: cerebelum status {state.execution_id}"
        raise NotFound(f"{state.execution_id} has no step {step!r}", hint=hint)
    waiting = [s for s, kind in state.active.items() if kind == "waiting_for_approval" and step in (None, s)]
    if waiting and state.cancel is not None:
        raise UsageError(f"{state.execution_id} was cancelled by {state.cancel.by}; nothing is left to decide")
    if len(waiting) > 1:
        raise UsageError(f"several steps wait for approval: {', '.join(waiting)}", hint="name one of them")
    if waiting:
        calls = state.steps[waiting[0]].calls
        return waiting[0], calls[-1], len(calls) - 1
    raise _nothing_to_decide(state, step)


def _nothing_to_decide(state: State, step: str | None) -> UsageError:
    decided = [
        (s, call)
        for s, at in state.steps.items()
        for call in at.calls
        if call.kind == "approval" and call.result and step in (None, s)
    ]
    if not decided:
        what = f"step {step}" if step else state.execution_id
        return UsageError(f"{what} does not wait for an approval")
    step_id, call = max(decided, key=lambda found: found[1].decided_at or found[1].at)
    if call.result == "timed_out":
        return UsageError(f"the time to decide on {step_id} is over; nobody decided before {_moment(call)}")
    comment = f" ({call.comment})" if call.comment else ""
    return UsageError(f"{step_id} was {call.result} by {call.by} at {_moment(call)}{comment}; a decision is final")


def _moment(call: Call) -> str:
    when = call.decided_at or call.due_at or call.at
    return when.astimezone().isoformat(sep=" ", timespec="seconds")
