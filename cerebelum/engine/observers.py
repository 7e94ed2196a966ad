"""Telling plugins of events beside the loop: in order, each plugin in a thread of its own, and nobody waits for them.

An observer that hangs, raises, or is slow harms itself alone: what it has not been told in time is left out, and said.
The log has everything.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from cerebelum.core.events import AnyEvent
from cerebelum.steps.capture import aside

MOST_WAITING = 10_000
"""Events that may wait for one observer; what comes while so many wait is left out."""
PATIENCE = 5.0
"""Seconds an observer may take for one event, and all of them together for what is left at the end."""
_SOON = 0.5
"""Seconds of waiting at the end after which it is said what is waited for."""

Tell = Callable[[str], None]


class Observer(msgspec.Struct, frozen=True):
    """Somebody who wants to know of events. `hear` may do anything."""

    name: str
    hear: Callable[[str, AnyEvent], object]
    explain: Callable[[BaseException], str]
    """What went wrong, and where."""


class Observers:
    """Hands events to observers, whose threads start with the first one. `tell` is given lines for the user."""

    def __init__(self, observers: Sequence[Observer], tell: Tell) -> None:
        self._lines = [_Line(observer, tell) for observer in observers]
        self._tell = tell

    def hear(self, execution_id: str, event: AnyEvent) -> None:
        """Have the event told to all; returns at once."""
        for line in self._lines:
            line.put(execution_id, event)

    def close(self) -> None:
        """Wait, for a short while at most, until everybody was told everything, and say what was left out."""
        limit, said = time.monotonic() + PATIENCE, False
        for line in self._lines:
            if not said and not line.wait(min(limit, time.monotonic() + _SOON)):
                said = True
                self._tell(f"plugin {line.name}: still has to be told of {line.left()}; waiting for that, briefly")
            line.wait(limit)
            line.close()


class _Line:
    """One observer, and the events that wait for it."""

    def __init__(self, observer: Observer, tell: Tell) -> None:
        self.name = observer.name
        self._observer = observer
        self._tell = tell
        self._waiting: deque[tuple[str, AnyEvent]] = deque()
        self._changed = threading.Condition()
        self._busy_since: float | None = None
        self._thread: threading.Thread | None = None
        self._closed = self._reported = False
        self._told = self._failed = self._left_out = 0

    def put(self, execution_id: str, event: AnyEvent) -> None:
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"cerebelum-observer-{self.name}", daemon=True)
                self._thread.start()
            if len(self._waiting) >= MOST_WAITING:
                self._left_out += 1
            else:
                self._waiting.append((execution_id, event))
                self._changed.notify_all()
            report = self._hangs() and not self._reported
            self._reported |= report
        if report:
            self._tell(f"plugin {self.name}: cerebelum_event has not returned for {PATIENCE:g} s; nothing waits for it")

    def left(self) -> str:
        """How many events it has not heard or is hearing, in words."""
        count = len(self._waiting) + (self._busy_since is not None)
        return f"{count:,} event{'' if count == 1 else 's'}"

    def wait(self, limit: float) -> bool:
        """Wait until it was told everything (True), hangs (True), or until the moment `limit`."""
        with self._changed:
            while self._waiting or self._busy_since is not None:
                left = limit - time.monotonic()
                if self._hangs():
                    return True
                if left <= 0:
                    return False
                hangs = left if self._busy_since is None else self._busy_since + PATIENCE - time.monotonic()
                self._changed.wait(max(0.0, min(left, hangs)) + 0.001)
        return True

    def close(self) -> None:
        """Tell it nothing more, and say what it missed."""
        with self._changed:
            self._closed = True
            missed = self._left_out + len(self._waiting)
            hanging = self._busy_since is not None
            self._waiting.clear()
            self._changed.notify_all()
        what = f"plugin {self.name}: cerebelum_event"
        if hanging:
            self._tell(f"{what} has not returned, and was not told of {missed:,} more; `history` has all events")
        elif missed:
            self._tell(f"{what} was too slow, and was not told of {missed:,} events; `history` has them all")
        if self._failed > 1:
            self._tell(f"{what} failed {self._failed:,} times of {self._told:,}; the first failure was shown above")

    def _hangs(self) -> bool:
        return self._busy_since is not None and time.monotonic() - self._busy_since >= PATIENCE

    def _work(self) -> None:
        aside()
        while True:
            with self._changed:
                while not self._waiting:
                    if self._closed:
                        return
                    self._changed.wait()
                execution_id, event = self._waiting.popleft()
                self._busy_since = time.monotonic()
                self._told += 1
            try:
                self._observer.hear(execution_id, event)
            except BaseException as error:
                # Also SystemExit: an observer does not end what it observes.
                self._failed += 1
                if self._failed == 1:
                    self._tell(f"plugin {self.name}: cerebelum_event: {self._observer.explain(error)}")
            with self._changed:
                self._busy_since = None
                self._changed.notify_all()
