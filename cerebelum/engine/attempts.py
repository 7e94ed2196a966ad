"""The attempts that are going on: asked to end, watched for their time limits, and given up where they do not end."""

from __future__ import annotations

import queue
from typing import Any

from cerebelum.core.decide import Ended, Stopping
from cerebelum.core.events import Why
from cerebelum.core.state import State
from cerebelum.engine.outside import POLL_SECONDS
from cerebelum.engine.timers import ABANDON_AFTER
from cerebelum.host.clock import Clock
from cerebelum.steps.attempt import Attempt
from cerebelum.steps.executor import StopReason

STOP_GRACE = 4.0
"""Seconds between TERM and KILL when the runner was told to stop, which has to be over within 7 s in all."""


def cut_off_by(attempt: Attempt, stopping: Stopping | None, state: State) -> Why:
    """Why an attempt was asked to end that was interrupted; `stopping` is what its runner was told."""
    if attempt.stop.reason in ("cancelled", "fenced"):
        return "cancelled" if attempt.stop.reason == "cancelled" else "fenced"
    by_hand = stopping is not None and (stopping.why == "operator" or stopping.signal == "SIGINT")
    asked = state.pausing is not None and state.pausing.signal in (None, "SIGINT")
    return "operator" if by_hand or asked else "stopped"


_PAUSE = 5.0
"""Seconds between two looks, beyond what is waited, from which on the process must have been stopped."""


class Attempts:
    """By step, in `going`. `grace` is how many seconds an attempt gets that was asked to end."""

    def __init__(self, clock: Clock, grace: float) -> None:
        self.going: dict[str, Attempt] = {}
        self.stop_grace = min(grace, STOP_GRACE)
        """What they get where the runner itself has to end."""
        self._clock = clock
        self._grace = grace

    def ask_to_end(self, attempt: Attempt, reason: StopReason, grace: float | None = None) -> None:
        """Ask one to end, within `grace` seconds if that is given."""
        if attempt.stopped is None:
            attempt.stopped = self._clock.elapsed()
        attempt.stop(reason, self._grace if grace is None else grace)

    def ask_all_to_end(self, reason: StopReason, grace: float) -> None:
        """Ask all of them to end."""
        for attempt in self.going.values():
            self.ask_to_end(attempt, reason, grace)

    def end_all(self, reason: StopReason, inbox: queue.SimpleQueue[Any]) -> None:
        """Ask all of them to end, and wait for what `inbox` tells of that, for as long as they have."""
        self.ask_all_to_end(reason, 0.0 if reason == "fenced" else self.stop_grace)
        limit = self._clock.elapsed() + STOP_GRACE + ABANDON_AFTER
        while self.going and self._clock.elapsed() < limit:
            try:
                item = inbox.get(timeout=max(0.01, limit - self._clock.elapsed()))
            except queue.Empty:
                continue
            if isinstance(item, Ended):
                self.going.pop(item.step, None)
            elif item == "hurry":
                self.ask_all_to_end("stopped", 0.0)

    def heed_requests(self, state: State) -> None:
        """Ask attempts to end as far as somebody's request to cancel or to pause is about them."""
        if not (state.cancel or state.pausing):
            return
        for attempt in self.going.values():
            if attempt.stopped is not None:
                continue
            group = state.graph.group_of(attempt.step.id)
            if state.cancel and group in ("steps", "on_failure", "on_success"):
                self.ask_to_end(attempt, "cancelled")
            elif state.pausing:
                self.ask_to_end(attempt, "stopped", self.stop_grace)

    def watch(self, state: State, overtime: bool) -> list[Attempt]:
        """Enforce time limits; those that were told to end, had their time for it, and did not.

        `overtime` says that the workflow's own time limit has passed.
        """
        now = self._clock.elapsed()
        hanging = []
        for attempt in self.going.values():
            late = attempt.deadline is not None and now >= attempt.deadline
            if attempt.stopped is None and (late or (overtime and state.graph.group_of(attempt.step.id) == "steps")):
                limit = attempt.step.timeout if late else state.workflow.timeout
                attempt.overrun = f"{'' if late else 'the workflow '}took longer than {limit:g} s"
                self.ask_to_end(attempt, "timeout")
            elif attempt.stopped is not None and now >= attempt.stopped + attempt.stop.grace + ABANDON_AFTER:
                hanging.append(attempt)
        return hanging

    def allow_for_pause(self, seconds: float) -> bool:
        """Move their time limits on where so much time between two looks means that this process stood still, and
        its steps perhaps with it; whether it does.
        """
        if seconds < POLL_SECONDS + _PAUSE:
            return False
        for attempt in self.going.values():
            if attempt.deadline is not None:
                attempt.deadline += seconds
        return True
