"""Waking a thread."""

from __future__ import annotations

import queue


class Bell:
    """Wakes a thread that waits. A signal handler may ring it: there is no lock that the thread it interrupts holds."""

    def __init__(self) -> None:
        self._rung: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ring(self) -> None:
        if self._rung.empty():
            self._rung.put(None)

    def wait(self, seconds: float) -> bool:
        """Until it rings, or has rung since the last wait; False if that took too long."""
        try:
            self._rung.get(timeout=seconds)
        except queue.Empty:
            return False
        return True
