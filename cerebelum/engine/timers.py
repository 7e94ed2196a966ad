"""When the steps that wait for a moment are due, by the clock that only goes forward."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from cerebelum.core import phases
from cerebelum.core.state import State
from cerebelum.host.clock import remaining

Timers = Mapping[str, tuple[tuple[str, int, int], float]]
"""By step: which wait it is (status, attempt, number of the call), and the moment it is over."""


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
