"""Waiting for something to happen in a store: until it says so, or until it is time to look."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from cerebelum.store import Change, EventStore

SELDOM = 2.0
"""Seconds between two looks where the store tells of changes, in case it did not."""


class News:
    """Waits for changes of one execution, or of any; begins to hear when it is made.

    `every`: seconds between two looks where the store cannot tell; afterwards, how many it makes of that. `ring()` is
    called from another thread at each change, for those who do not wait here. Raises StoreError if the store cannot be
    reached.
    """

    def __init__(
        self, store: EventStore, execution_id: str | None, every: float, ring: Callable[[], None] | None = None
    ) -> None:
        self._execution_id = execution_id
        self._ring = ring
        self._heard = threading.Event()
        self._end = store.subscribe(self._hear, execution_id or "")
        self.every = every if self._end is None else max(every, SELDOM)

    def _hear(self, change: Change) -> None:
        if self._execution_id is None or change.execution_id in ("", self._execution_id):
            self._heard.set()
            if self._ring is not None:
                self._ring()

    def wait(self, most: float | None = None) -> None:
        """Return when it is time to look, at the latest after `most` seconds."""
        self._heard.wait(self.every if most is None else min(most, self.every))
        self._heard.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._end is not None:
            self._end()
