"""Standard output while something runs: written by a thread of its own, because work must never wait for its audience.

A pager that is not scrolled or a stopped terminal would otherwise hold up time limits, signals and the log.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import IO

_MOST_PENDING = 4 << 20
_PATIENCE = 2.0
"""Seconds without any progress after which output is dropped instead of waited for."""
_PIECE = 64 << 10


class Outlet:
    """Bytes on their way to a file descriptor. Once the descriptor is broken everything goes nowhere."""

    def __init__(self, descriptor: int, patience: float = _PATIENCE) -> None:
        self._patience = patience
        # A copy: the descriptor itself may become a step's.
        self._descriptor = os.dup(descriptor)
        self._parts: deque[bytes | IO[bytes]] = deque()
        self._pending = 0
        self._changed = threading.Condition()
        self._progress = time.monotonic()
        self._closing = False
        self.broken: OSError | None = None
        """Why nothing more can be written."""
        self.dropped = 0
        """Bytes that were not shown because nobody was reading."""
        self._thread = threading.Thread(target=self._work, name="cerebelum-outlet", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> bool:
        """Whether there is something that was not written yet."""
        return bool(self._pending or self._parts)

    def put(self, *parts: bytes | IO[bytes]) -> None:
        """Take what must not be lost, files to be read to their end and closed among it; never blocks."""
        with self._changed:
            for part in parts:
                self._take(part)

    def offer(self, data: bytes) -> bool:
        """Take what may be a lot: waits while much is pending, and drops it (False) if nobody reads."""
        with self._changed:
            if not self._parts:
                self._progress = time.monotonic()
            while self._pending > _MOST_PENDING and not self.broken:
                left = self._progress + self._patience - time.monotonic()
                if left <= 0:
                    self.dropped += len(data)
                    return False
                self._changed.wait(left)
            self._take(data)
        return True

    def _take(self, part: bytes | IO[bytes]) -> None:
        if self.broken and not isinstance(part, bytes):
            part.close()
        elif not self.broken and part:
            if not self._parts:
                self._progress = time.monotonic()
            self._parts.append(part)
            # Of a file, only what has been read from it counts: it takes no memory.
            self._pending += len(part) if isinstance(part, bytes) else 0
            self._changed.notify_all()

    def close(self, patience: float | None = None) -> None:
        """Wait until everything is written, or for at most `patience` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(patience)
        if not self._thread.is_alive():
            os.close(self._descriptor)

    def _work(self) -> None:
        while (data := self._next()) is not None:
            view = memoryview(data)
            while view:
                try:
                    written = os.write(self._descriptor, view[:_PIECE])
                except BlockingIOError:
                    # Somebody who shares the descriptor made it non-blocking.
                    import select

                    select.select([], [self._descriptor], [], 1.0)
                    continue
                except OSError as error:
                    self._give_up(error)
                    return
                view = view[written:]
                with self._changed:
                    self._pending -= written
                    self._progress = time.monotonic()
                    self._changed.notify_all()

    def _next(self) -> bytes | None:
        """What is to be written next: all there is up to the next file, or a piece of that; None at the end."""
        with self._changed:
            while not self._parts:
                if self._closing:
                    return None
                self._changed.wait()
            first = self._parts[0]
            if isinstance(first, bytes):
                ready = []
                while self._parts and isinstance(self._parts[0], bytes):
                    ready.append(self._parts.popleft())
                return b"".join(part for part in ready if isinstance(part, bytes))
            try:
                data = first.read(_PIECE)
            except OSError:
                # Where the temporary folder fails, the log has the rest.
                data = b""
            self._pending += len(data)
            if not data:
                self._parts.popleft()
                first.close()
            return data

    def _give_up(self, error: OSError) -> None:
        with self._changed:
            self.broken = error
            self._parts.clear()
            self._pending = 0
            self._changed.notify_all()
