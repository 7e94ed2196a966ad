"""When the steps that wait for a moment are due, by the clock that only goes forward."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from cerebelum.core import phases
from cerebelum.core.state import State
from cerebelum.host.clock import remaining
from cerebelum.steps.attempt import Attempt

Timers = Mapping[str, tuple[tuple[str, int, int], float]]
"""By step: which wait it is (status, attempt, number of the call), and the moment it is over."""

ABANDON_AFTER = 2.0
"""Seconds after the grace until an attempt that does not end is given up."""


def timers(state: State, known: Timers, today: datetime, now: float) -> Timers:
    """One timer for each step that waits for a moment; those in `known` stay, a moment in the past is due at once.

    `today` and `now` are the two clocks as they were when the waits were decided.
    """
    found = {}
    for step_id in phases.awaited(state):
        kind, at = state.active[step_id], state.steps[step_id]
        key = (kind, at.attempt, len(at.calls))
        before = known.get(step_id)
        if before is not None and before[0] == key:
            found[step_id] = before
        elif kind == "retrying" and at.retry_at is not None:
            found[step_id] = (key, now + remaining(at.retry_at, at.retry_in, today))
        elif kind in ("sleeping", "waiting_for_approval") and at.calls[-1].due_at is not None:
            found[step_id] = (key, now + remaining(at.calls[-1].due_at, at.calls[-1].seconds, today))
    return found


def patience(attempts: Collection[Attempt], waits: Timers, overtime_at: float | None, now: float, most: float) -> float:
    """Seconds, at most `most`, until something is due: a time limit, the end of a grace, or the end of a wait."""
    left = [most]
    for attempt in attempts:
        if attempt.stopped is None and attempt.deadline is not None:
            left.append(max(0.0, attempt.deadline - now))
        elif attempt.stopped is not None and not attempt.abandoned:
            left.append(max(0.0, attempt.stopped + attempt.stop.grace + ABANDON_AFTER - now))
    moments = [when for _, when in waits.values()]
    if overtime_at is not None and overtime_at > now:
        moments.append(overtime_at)
    # What is due while attempts run may have to wait for one of them: that is no reason to spin.
    return min([*left, *(max(0.0, m - now) for m in moments if m > now or not attempts)])
