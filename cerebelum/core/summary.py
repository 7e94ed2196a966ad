"""The row that `list` reads, as the fold of the events; written in the same transaction as they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from cerebelum.core.phases import awaited, awaited_kinds
from cerebelum.core.state import State, status
from cerebelum.core.status import Status
from cerebelum.core.step_state import BUSY

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
    now = status(state)
    return Summary(
        execution_id=state.execution_id,
        workflow=state.workflow.name,
        status=now,
        reason=_reason(state, now),
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
    if awaited_kinds(state) & {"running", "answered", "reported"}:
        return None
    waits: list[datetime | None] = []
    if state.active.count("waiting_for_worker") and state.phase == "steps":
        waits.append(_limit(state))
    for step_id in awaited(state):
        at = state.steps[step_id]
        if at.status in BUSY:
            continue
        waits.append(at.retry_at if at.status == "retrying" else at.calls[-1].due_at)
    return min((w for w in waits if w is not None), default=None)


def _limit(state: State) -> datetime | None:
    """When what no worker has taken is cut off by the workflow's own time limit. Workers see to theirs themselves."""
    if state.workflow.timeout is None or state.segment_at is None:
        return None
    return state.segment_at + timedelta(seconds=state.workflow.timeout)


def _reason(state: State, now: Status) -> str | None:
    if state.paused is not None:
        return state.paused.signal or state.paused.why
    if state.error is not None:
        return state.error.message[:_LONGEST_REASON]
    if state.queued and state.queue is not None and state.ended is None:
        at = state.queue.at
        return f"in the queue {state.queue.name}" + (
            f", not before {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else ""
        )
    if now == "waiting_for_worker":
        return _whose_turn(state)
    if state.ended == "cancelled" and state.cancel is not None:
        return state.cancel.why
    return None


def _whose_turn(state: State) -> str | None:
    """What workers are about, or are waited for with."""
    said = []
    for step_id, at in ((s, state.steps[s]) for s, kind in state.active.items() if kind in BUSY):
        if at.status == "on_worker":
            said.append(f"{step_id} on {at.host}")
        elif at.handed is not None:
            said.append(f"{step_id} in the queue {at.handed.queue}")
    return ", ".join(said)[:_LONGEST_REASON] or None
