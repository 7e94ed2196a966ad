"""A thread that hears of changes for as long as anybody wants to know."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from cerebelum.store import Change

_PATIENCE = 2.0
"""Seconds for which its end is waited for."""

Hear = Callable[[Change], None]


class Ear(ABC):
    """Listens while anybody has subscribed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[str, list[Hear]] = {}
        """By the execution that they want to hear of; those under "" of all."""
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def subscribe(self, hear: Hear, execution_id: str) -> Callable[[], None]:
        """Call `hear(change)` from now on, until the function that is returned is called."""
        with self._lock:
            self._listeners.setdefault(execution_id, []).append(hear)
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(target=self._work, name="cerebelum-ear", daemon=True)
                self._thread.start()

        def end() -> None:
            with self._lock:
                left = [each for each in self._listeners.pop(execution_id, ()) if each is not hear]
                if left:
                    self._listeners[execution_id] = left

        return end

    def close(self) -> None:
        """Stop listening."""
        with self._lock:
            # Whoever subscribes at this moment has started it, or will not.
            self._ended.set()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_PATIENCE)

    @abstractmethod
    def _work(self) -> None:
        """Tell what happens until done; `unknown` whenever something may have been missed."""

    def _tell(self, change: Change) -> None:
        with self._lock:
            if change.execution_id:
                listeners = [*self._listeners.get(change.execution_id, ()), *self._listeners.get("", ())]
            else:
                listeners = [hear for each in self._listeners.values() for hear in each]
        for hear in listeners:
            hear(change)

    def _count(self) -> int:
        """How many listen."""
        with self._lock:
            return sum(map(len, self._listeners.values()))

    def _done(self) -> bool:
        with self._lock:
            if self._ended.is_set() or not self._listeners:
                self._thread = None
                return True
        return False
