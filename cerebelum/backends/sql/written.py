"""What a store wrote last, so that most appends can leave alone what an index covers."""

from __future__ import annotations

import threading
from typing import Any

from cerebelum.backends.sql.rows import lasting
from cerebelum.core.summary import Summary

_MOST = 1000


class Written:
    """By execution: the version that this store wrote last, and the part of the summary that seldom changes."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, tuple[Any, ...]]] = {}
        self._lock = threading.Lock()

    def covers(self, summary: Summary, expected: int) -> bool:
        """Whether only what changes with every event has to be written, if the log is at `expected`."""
        return expected > 0 and self._known.get(summary.execution_id) == (expected, lasting(summary))

    def remember(self, summary: Summary) -> None:
        """It has been written like this, and nobody else may write the same version differently."""
        with self._lock:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[summary.execution_id] = summary.version, lasting(summary)

    def forget(self, execution_id: str) -> None:
        """Somebody else may write it from now on."""
        with self._lock:
            self._known.pop(execution_id, None)
