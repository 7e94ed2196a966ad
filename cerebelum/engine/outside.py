"""When to look at what others appended to an execution that this process drives: once told, or now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from cerebelum.host.process_tree import reap_adopted
from cerebelum.store import Change, EventStore
from cerebelum.store.news import SELDOM

POLL_SECONDS = 0.3
"""Seconds between two looks (for a cancellation, an approval) where the store does not tell."""

Told = Literal["news", "look"]
"""Somebody appended; or the owner may have changed."""


class Outside:
    """Hears what the store tells of one execution, and hands it on by `put`, from another thread.

    `owned` says that this process owns the execution.
    """

    def __init__(
        self, store: EventStore, execution_id: str, put: Callable[[Told], None], *, owned: bool = True
    ) -> None:
        # What the owner appends is this process's own, and so is the output.
        self._kinds = ("request", "owner", "unknown") if owned else ("request", "owner", "unknown", "events")
        self._store = store
        self._execution_id = execution_id
        self._put = put
        self._read_at = self._reaped_at = 0.0
        self._every = POLL_SECONDS
        self._end: Callable[[], None] | None = None

    def listen(self) -> None:
        """Begin to hear. Raises StoreError."""
        self._end = self._store.subscribe(self._hear, self._execution_id)
        self._every = POLL_SECONDS if self._end is None else SELDOM

    def _hear(self, change: Change) -> None:
        if change.execution_id in ("", self._execution_id) and change.kind in self._kinds:
            self._put("news" if change.kind in ("request", "events") else "look")

    def is_due(self, now: float) -> bool:
        """Whether it is time to look, which counts as done then. Buries what this process adopted, too."""
        if now - self._reaped_at >= POLL_SECONDS:
            self._reaped_at = now
            reap_adopted()
        if now - self._read_at < self._every:
            return False
        self._read_at = now
        return True

    def hurry(self) -> None:
        """Look at the next opportunity."""
        self._read_at = 0.0

    def close(self) -> None:
        """Hear no more."""
        if self._end is not None:
            self._end()
