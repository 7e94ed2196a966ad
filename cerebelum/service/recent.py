"""The latest of a log, kept in memory for those who follow it, within bounds; what is older is read from the store.

Reads from the same place that are wanted at the same time are made once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from cerebelum.core.events import Entry
from cerebelum.store import LogPage

_MOST_BYTES = 1 << 20
"""Of events, and of output, that are kept of one execution."""
_PAGE_EVENTS = 1000
"""Events that a reader is given at once."""
_PAGE_CHUNKS = 200

T = TypeVar("T")


class Shared(Generic[T]):
    """Reads, each from a place on; those who want the same while it is under way share it."""

    def __init__(self, read: Callable[[int], Awaitable[T]]) -> None:
        self._read = read
        self._coming: dict[int, asyncio.Task[T]] = {}

    async def read(self, after: int) -> T:
        """What comes after a place. One who is cancelled takes nothing away from the others."""
        task = self._coming.get(after)
        if task is None:
            task = self._coming[after] = asyncio.ensure_future(self._once(after))
            # Nobody may be left to hear of a failure.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def _once(self, after: int) -> T:
        try:
            return await self._read(after)
        finally:
            del self._coming[after]


class RecentEvents:
    """The latest events of an execution. `read(after)` gives some of the events after a version."""

    def __init__(self, read: Callable[[int], Awaitable[Sequence[Entry]]]) -> None:
        self._read = read
        self._older = Shared(self._page)
        self._kept: deque[Entry] = deque()
        self._size = 0

    def add(self, entries: Sequence[Entry]) -> None:
        """Keep these, which follow the ones before."""
        self._kept.extend(entries)
        self._size += sum(len(entry.text) for entry in entries)
        while self._size > _MOST_BYTES and len(self._kept) > 1:
            self._size -= len(self._kept.popleft().text)

    async def after(self, version: int) -> Sequence[Entry]:
        """Those after a version, as many as a reader is given at once. Raises StoreError."""
        kept = self._kept
        if kept and kept[0].version <= version + 1:
            first = version + 1 - kept[0].version
            return list(islice(kept, first, first + _PAGE_EVENTS))
        return await self._older.read(version)

    async def _page(self, version: int) -> Sequence[Entry]:
        return (await self._read(version))[:_PAGE_EVENTS]


class _Kept(NamedTuple):
    """A page, and the position it was read from."""

    after: int
    page: LogPage


class RecentOutput:
    """The latest output of an execution. `read(after, limit)` gives a page of it.

    A position in the output means something only to the store, so that a page can be given to those alone who are
    just where it begins; the others read one themselves, and are where the next one begins as soon as they have come to
    the end.
    """

    def __init__(self, read: Callable[[int, int], Awaitable[LogPage]]) -> None:
        self._one = read
        self._pages = Shared(self._page)
        self._kept: deque[_Kept] = deque()
        self._size = 0
        self._end: int | None = None
        """Where the latest page ended; None until somebody has come to the end."""

    def forget(self) -> None:
        """Nobody wants output any more."""
        self._kept.clear()
        self._size, self._end = 0, None

    @property
    def known(self) -> bool:
        """Whether anybody has come to the end, so that `look` goes on from there."""
        return self._end is not None

    async def look(self) -> bool:
        """Read all that is new after the end; whether there is something."""
        began = self._end
        while self._end is not None:
            # Not one that has been under way for a while.
            page = await self._page(self._end)
            if len(page.chunks) < _PAGE_CHUNKS:
                break
        return self._end != began

    async def after(self, position: int, *, fresh: bool = False) -> LogPage:
        """A page of what comes after a position; an empty one if there is nothing. Raises StoreError.

        With `fresh`, it has all that there is now, or more follows.
        """
        if position == self._end:
            return LogPage([], position)
        for kept in reversed(self._kept):
            if kept.after == position:
                return kept.page
        return await (self._page(position) if fresh else self._pages.read(position))

    async def _page(self, position: int) -> LogPage:
        page = await self._one(position, _PAGE_CHUNKS)
        if self._end == position and page.chunks:
            self._keep(_Kept(position, page))
        if self._end == position or (self._end is None and len(page.chunks) < _PAGE_CHUNKS):
            self._end = page.position
        return page

    def _keep(self, kept: _Kept) -> None:
        self._kept.append(kept)
        self._size += _bytes(kept.page)
        while self._size > _MOST_BYTES and len(self._kept) > 1:
            self._size -= _bytes(self._kept.popleft().page)


def _bytes(page: LogPage) -> int:
    return sum(len(chunk.data) for chunk in page.chunks)
