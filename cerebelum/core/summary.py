"""The row that `list` reads, as the fold of the events; written in the same transaction as they are."""

from __future__ import annotations

from datetime import datetime

import msgspec

from cerebelum.core.phases import awaited, awaited_kinds
from cerebelum.core.state import State, status
from cerebelum.core.status import Status

_MOST_CURRENT = 10
_LONGEST_REASON = 500


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What `list` shows of an execution; always equal to the fold of its events."""

    execution_id: str
    workflow: str
    status: Status
    reason: str | None = None
    """Why, where the status alone does not say: `signal`, `interrupted`, the error's message …"""
    version: int
    """Version of the last event."""
    digest: str
    """Digest of the last entry: the witness that the tail of the log is all there."""
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None
    due_at: datetime | None = None
    """When a sleep, a retry or an approval's time limit is due, if nothing else is going on."""
    tags: tuple[str, ...] = ()
    correlation_id: str | None = None
    parent: str | None = None
    steps_total: int = 0
    steps_done: int = 0
    current: tuple[str, ...] = ()
    """Steps now running or waiting (at most 10)."""


def summarise(state: State, digest: str) -> Summary:
    """The summary of `state`; `digest` is that of the log's last entry."""
    low, high = state.graph.bounds["steps"]
    return Summary(
        execution_id=state.execution_id,
        workflow=state.workflow.name,
        status=status(state),
        reason=_reason(state),
        version=state.version,
        digest=digest,
        started_at=state.started_at,
        updated_at=state.updated_at,
        ended_at=state.ended_at,
        due_at=due_at(state),
        tags=state.tags,
        correlation_id=state.correlation_id,
        parent=state.parent,
        steps_total=high - low,
        steps_done=state.done,
        current=tuple(state.active)[:_MOST_CURRENT] if state.ended is None else (),
    )


def due_at(state: State) -> datetime | None:
    """When something is to happen next although nobody does anything; None if it is not waiting for time alone."""
    if state.ended or state.paused:
        return None
    if state.queued:
        return None if state.queue is None else state.queue.at
    if state.awaiting_lock:
        return None
    if awaited_kinds(state) & {"running", "answered"}:
        return None
    waits = []
    for step_id in awaited(state):
        at = state.steps[step_id]
        waits.append(at.retry_at if at.status == "retrying" else at.calls[-1].due_at)
    return min((w for w in waits if w is not None), default=None)


def _reason(state: State) -> str | None:
    if state.paused is not None:
        return state.paused.signal or state.paused.why
    if state.error is not None:
        return state.error.message[:_LONGEST_REASON]
    if state.queued and state.queue is not None and state.ended is None:
        return f"in the queue {state.queue.name}"
    if state.ended == "cancelled" and state.cancel is not None:
        return state.cancel.why
    return None
