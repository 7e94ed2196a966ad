"""When the steps that wait for a moment are due, by the clock that only goes forward."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from datetime import datetime

from cerebelum.core import phases
from cerebelum.core.events import AnyEvent
from cerebelum.core.state import State
from cerebelum.core.step_state import BUSY, StepStatus
from cerebelum.host.clock import Clock, remaining
from cerebelum.steps.attempt import Attempt

ABANDON_AFTER = 2.0
"""Seconds after the grace until an attempt that does not end is given up."""

_Wait = tuple[str, int, int]
"""Which wait of a step it is: status, attempt, number of the call."""

_UNTIMED: frozenset[StepStatus] = BUSY | {"answered"}
"""What waits for no moment."""


class Timers:
    """One timer for each step that waits for a moment."""

    def __init__(self) -> None:
        self._waits: dict[str, tuple[_Wait, float]] = {}
        self._queue: list[tuple[float, str]] = []
        """The moments in order; also some that do not count any more."""
        self._ripe: set[str] = set()
        self._seen: object = None

    def follow(self, state: State, events: Iterable[AnyEvent], today: datetime, now: float) -> None:
        """Set the timers that the state asks for, after `events` led to it; those that are set stay.

        `today` and `now` are the two clocks as they were when the waits were decided: the wall's may have been set
        since. A moment in the past is due at once.
        """
        # What is waited for depends on these; while they stay, only the steps that something happened to count.
        seen = (state.phase, state.failed, state.cancel, state.graph, state.resumes)
        awaited = phases.awaited_kinds(state)
        if seen == self._seen and not self._waits and awaited <= _UNTIMED:
            return
        if seen == self._seen:
            changed = {event.step for event in events if hasattr(event, "step")}
        else:
            self._seen = seen
            changed = {*self._waits, *state.active}
        for step_id in changed:
            kind = state.active.get(step_id)
            if kind is None or kind not in awaited or state.graph.group_of(step_id) != state.phase:
                self._drop(step_id)
                continue
            at = state.steps[step_id]
            wait = (kind, at.attempt, len(at.calls))
            if step_id in self._waits and self._waits[step_id][0] == wait:
                continue
            self._drop(step_id)
            if kind == "retrying" and at.retry_at is not None:
                self._set(step_id, wait, now + remaining(at.retry_at, at.retry_in, today))
            elif kind in ("sleeping", "waiting_for_approval") and at.calls[-1].due_at is not None:
                self._set(step_id, wait, now + remaining(at.calls[-1].due_at, at.calls[-1].seconds, today))

    def due(self, now: float) -> frozenset[str]:
        """The steps whose moment has come."""
        while self._queue and self._queue[0][0] <= now:
            when, step_id = heapq.heappop(self._queue)
            if self._counts(when, step_id):
                self._ripe.add(step_id)
        return frozenset(self._ripe)

    def next(self, now: float) -> float | None:
        """The earliest moment that is still to come; None if there is none."""
        self.due(now)
        while self._queue and not self._counts(*self._queue[0]):
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def let_pass(self, clock: Clock) -> None:
        """Tell the clock how long nothing will be due."""
        now = clock.elapsed()
        if not self.due(now) and (coming := self.next(now)) is not None:
            clock.idle(coming - now)

    def _set(self, step_id: str, wait: _Wait, when: float) -> None:
        self._waits[step_id] = wait, when
        heapq.heappush(self._queue, (when, step_id))

    def _drop(self, step_id: str) -> None:
        self._waits.pop(step_id, None)
        self._ripe.discard(step_id)

    def _counts(self, when: float, step_id: str) -> bool:
        wait = self._waits.get(step_id)
        return wait is not None and wait[1] == when


def overtime_at(state: State, today: datetime, now: float) -> float | None:
    """When the workflow's own time limit is over, by the clock that says `now`; None while that does not run."""
    limit = state.workflow.timeout
    if limit is None or state.segment_at is None or state.awaiting_lock is not None:
        return None
    return now + limit - min(limit, max(0.0, (today - state.segment_at).total_seconds()))


def patience(attempts: Collection[Attempt], waits: Timers, overtime_at: float | None, now: float, most: float) -> float:
    """Seconds, at most `most`, until something is due: a time limit, the end of a grace, or the end of a wait."""
    left = [most]
    for attempt in attempts:
        if attempt.stopped is None and attempt.deadline is not None:
            left.append(max(0.0, attempt.deadline - now))
        elif attempt.stopped is not None and not attempt.abandoned:
            left.append(max(0.0, attempt.stopped + attempt.stop.grace + ABANDON_AFTER - now))
    # What is due while attempts run may have to wait for one of them: that is no reason to spin.
    if not attempts and waits.due(now):
        return 0.0
    if (coming := waits.next(now)) is not None:
        left.append(coming - now)
    if overtime_at is not None and overtime_at > now:
        left.append(overtime_at - now)
    return min(left)
