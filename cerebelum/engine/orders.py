"""What other threads, and signal handlers, have to say to one who has attempts going on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from cerebelum.core.decide import Stopping
from cerebelum.engine.attempts import Attempts

Order = Stopping | Literal["hurry", "fenced", "look"]


class Orders:
    """Hands on by `put` what is asked, to be heeded by the thread that has the attempts."""

    def __init__(self, put: Callable[[Order], None], attempts: Attempts) -> None:
        self._put = put
        self._attempts = attempts
        self._lost = False

    def stop(self, stopping: Stopping) -> None:
        """Ask for an orderly end: nothing new, and what is running is ended, unless it may come to its own."""
        self._put(stopping)

    def hurry(self) -> None:
        """Kill what is running at once."""
        # Not from here: a signal may have interrupted this very thread while it held an attempt's lock.
        self._put("hurry")

    def lost(self) -> None:
        """Others may take this process for dead: end everything, and write nothing more."""
        self._lost = True
        self._put("fenced")
        for attempt in list(self._attempts.going.values()):
            attempt.stop("fenced", 0.0)
            attempt.kill()

    def woken(self) -> None:
        """This process was stopped for so long that somebody may have taken over: look whether anybody has."""
        self._put("look")
