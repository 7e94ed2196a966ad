"""The ends of what attempts printed, bounded as they are read: an attempt may have printed more than memory holds."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from cerebelum.core.events import AnyEvent, StepStarted
from cerebelum.render.display import harmless_data, size
from cerebelum.store import Chunk

MOST_LINES = 200
MOST_BYTES = 64 << 10
_MOST_OF_ALL = 8 << 20
"""Bytes of all attempts together; each has its share, and a little in any case."""
_LEAST_BYTES = 2 << 10
_MOST_ATTEMPTS = 2000
_MOST_OF_STEP = 20


class Piece(msgspec.Struct, frozen=True):
    """Text of one stream, harmless; or a note that something is missing between two of them."""

    stream: Literal["stdout", "stderr", "note"]
    text: str


class Printed(msgspec.Struct, frozen=True):
    """The end of what an attempt printed."""

    pieces: tuple[Piece, ...]
    lines_before: int = 0
    """Lines that are left out before it."""
    bytes_before: int = 0


def attempts_of(events: Iterable[AnyEvent]) -> tuple[tuple[str, int], ...]:
    """All attempts that were begun, by step and number, in their order."""
    return tuple(dict.fromkeys((e.step, e.attempt) for e in events if isinstance(e, StepStarted)))


def worth_showing(attempts: Sequence[tuple[str, int]]) -> frozenset[tuple[str, int]]:
    """The last attempts of each step, and of all of them the latest that a page can hold."""
    of_step: Counter[str] = Counter()
    kept: list[tuple[str, int]] = []
    for step, attempt in reversed(attempts):
        of_step[step] += 1
        if of_step[step] <= _MOST_OF_STEP:
            kept.append((step, attempt))
    return frozenset(kept[:_MOST_ATTEMPTS])


def share(attempts: int) -> int:
    """How many bytes of each of so many attempts are kept."""
    return max(_LEAST_BYTES, min(MOST_BYTES, _MOST_OF_ALL // max(1, attempts)))


def last_printed(
    chunks: Iterable[Chunk], most_bytes: int = MOST_BYTES, most_lines: int = MOST_LINES
) -> dict[tuple[str, int], Printed]:
    """The end of each attempt's output, by step and attempt."""
    ends: dict[tuple[str, int], _End] = {}
    for chunk in chunks:
        end = ends.get((chunk.step, chunk.attempt))
        if end is None:
            end = ends[chunk.step, chunk.attempt] = _End(most_bytes)
        if chunk.data:
            end.take(chunk)
    return {attempt: end.printed(most_lines) for attempt, end in ends.items()}


class _End:
    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: deque[tuple[Literal["stdout", "stderr", "note"], bytes]] = deque()
        self._kept = 0
        self._next = 0
        self._lines_before = 0
        self._bytes_before = 0
        self._whole = True
        """Whether what is kept begins with a line's beginning."""

    def take(self, chunk: Chunk) -> None:
        if chunk.offset > self._next:
            self._parts.append(("note", f"{size(chunk.offset - self._next)} left out here".encode()))
        self._next = chunk.offset + len(chunk.data)
        self._parts.append((chunk.stream, chunk.data))
        self._kept += len(chunk.data)
        while self._kept - self._first() >= self._most:
            self._drop(self._first())

    def _first(self) -> int:
        """How long the first chunk is that is kept."""
        return next(len(data) for stream, data in self._parts if stream != "note")

    def _drop(self, count: int) -> None:
        """Leave out the first bytes of what is kept."""
        while count > 0:
            stream, data = self._parts.popleft()
            if stream == "note":
                continue
            gone, rest = data[:count], data[count:]
            count -= len(gone)
            self._kept -= len(gone)
            self._bytes_before += len(gone)
            self._lines_before += gone.count(b"\n")
            self._whole = gone.endswith(b"\n")
            if rest:
                self._parts.appendleft((stream, rest))

    def printed(self, most_lines: int) -> Printed:
        self._drop(self._surplus(most_lines))
        together: list[tuple[Literal["stdout", "stderr", "note"], bytes]] = []
        for stream, data in self._parts:
            if together and together[-1][0] == stream != "note":
                together[-1] = (stream, together[-1][1] + data)
            else:
                together.append((stream, data))
        pieces = [Piece(stream, harmless_data(data).decode("utf-8", "replace")) for stream, data in together]
        return Printed(tuple(pieces), self._lines_before, self._bytes_before)

    def _surplus(self, most_lines: int) -> int:
        """How many of the first bytes are too many; whole lines, as far as there are any."""
        data = b"".join(data for stream, data in self._parts if stream != "note")
        at = max(0, len(data) - self._most)
        whole = data[at - 1 : at] == b"\n" if at else self._whole
        line = data.find(b"\n", at)
        if not whole and 0 <= line < len(data) - 1:
            at = line + 1
        end = len(data) - data.endswith(b"\n")
        for _ in range(most_lines):
            end = data.rfind(b"\n", 0, end)
            if end < 0:
                return at
        return max(at, end + 1)
