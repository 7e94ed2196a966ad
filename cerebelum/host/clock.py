"""The two clocks: the wall's, which people and other machines read, and one that only ever goes forward."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where time comes from; tests give their own."""

    def now(self) -> datetime:
        """The wall clock, UTC. May jump either way."""
        ...

    def elapsed(self) -> float:
        """Seconds since some fixed moment; counts suspend, never jumps back."""
        ...

    def idle(self, seconds: float) -> None:
        """For so long there is nothing to do but to wait: the clock of a test may let the time pass at once."""
        ...


class SystemClock:
    """The machine's clocks."""

    def idle(self, seconds: float) -> None:
        """See Clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def elapsed(self) -> float:
        return time.clock_gettime(_ELAPSED)


_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def remaining(due_at: datetime, seconds: float | None, now: datetime) -> float:
    """Seconds of a wait that are left by the wall clock, at least 0 and at most the wait's original length."""
    left = max(0.0, (due_at - now).total_seconds())
    return left if seconds is None else min(left, seconds)
