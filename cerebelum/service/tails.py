"""Follows executions for any number of watchers, and reads what is new of each of them once, whoever wants it.

There is no queue for a watcher: it has a place in the log, and takes what comes after it whenever it likes. The latest
events and output stay in memory for those who keep up; who falls behind reads from the store, page by page. So a slow
watcher costs nothing while it is slow, and nobody misses anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from functools import partial

import msgspec

from cerebelum.core.errors import StoreError
from cerebelum.core.events import Entry
from cerebelum.core.status import GOING_ON, Status
from cerebelum.sdk.verbs import Verbs
from cerebelum.service.changes import Changes
from cerebelum.service.reading import Reader
from cerebelum.service.recent import RecentEvents, RecentOutput
from cerebelum.store import Change, Chunk, LogPage, Row, lookup

_OFTEN = 0.05
"""Seconds between two looks at an execution, where the store tells of nothing."""
_SELDOM = 1.0
"""Seconds between two looks, where it does: the death of a runner is never told."""
_SHARE = 0.002
"""Seconds of all that a look may be had every so often: a thousand executions are looked at less often than one."""
_BREATH = 0.02
"""Seconds from one look to the next at least, however much is told."""
_PATIENCE = 30.0
"""Seconds for which a store may be away until its watchers are told."""
_PAUSE = 0.5
"""Seconds until a store that was away is tried again."""


class Standing(msgspec.Struct, frozen=True):
    """How an execution is shown: one whose runner has died is paused."""

    status: Status
    reason: str | None


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What is new of an execution since the look before; nothing, if it is there to show that the watch goes on."""

    events: Sequence[Entry] = ()
    """In order, without gaps."""
    chunks: Sequence[Chunk] = ()
    """Output in the order it was written, if that was asked for."""
    position: int = 0
    """Where in the output the next look goes on: `output_after` of another watch."""
    standing: Standing | None = None
    """If it has changed, and at the first time; what led to it is among the events up to here."""
    over: bool = False
    """It does not go on by itself: it has ended, or is paused. This is the last look."""


class Tails:
    """The executions of a store that are watched, and who watches them. Belongs to one event loop.

    What is read is read once for all watchers, by `read`, which is closed with this. The store is asked to tell of
    changes, and looked at now and then where it cannot.
    """

    def __init__(self, read: Reader) -> None:
        self.read = read
        self._tails: dict[str, _Tail] = {}
        self._changes = Changes(read)
        self._listening: asyncio.Future[Callable[[], None] | None] | None = None
        self._told = False
        self._closed = False

    def watch(
        self, execution_id: str, *, after: int = 0, output_after: int | None = None, beat: float | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Look]]:
        """`async with` gives an iterator of looks at an execution, which is named by its whole id.

        It begins after version `after`, and (unless that is None) after position `output_after` of the output; it ends
        with a look that says so where the execution does not go on any more, and without one when all this is closed.
        With `beat`, an empty look comes after so many seconds in which there was nothing. Entering raises NotFound,
        StoreError; going on raises them as well, if it is pruned, or the store stays away for half a minute.
        """
        return self._watch(execution_id, after, output_after, beat)

    def changes(self, beat: float | None = None) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Change]]]:
        """`async with` gives an iterator of what happens anywhere in the store, each execution a few times a second.

        Hints, not a log: a change may be told twice, and one without an id says that anything may have changed. With
        `beat`, an empty sequence comes after so many seconds in which there was nothing.
        """
        return self._all(beat)

    def tell(self, change: Change) -> None:
        """Have watchers look at once, since something was done here."""
        self._heard(change)

    async def close(self) -> None:
        """End every watch; the iterators just end. Closing twice is allowed."""
        self._closed = True
        listening, self._listening = self._listening, None
        if listening is not None and not listening.cancel() and not listening.exception():
            end = listening.result()
            if end is not None:
                end()
        for tail in self._tails.values():
            tail.close()
        self._changes.close()
        self.read.close()

    @property
    def watched(self) -> int:
        """How many executions are being followed."""
        return len(self._tails)

    @asynccontextmanager
    async def _watch(
        self, execution_id: str, after: int, output_after: int | None, beat: float | None
    ) -> AsyncIterator[AsyncIterator[Look]]:
        await self._listen()
        tail = self._tails.get(execution_id)
        if tail is None or tail.failed is not None:
            tail = self._tails[execution_id] = _Tail(execution_id, self.read, self._pause)
        tail.join(output=output_after is not None)
        if self._closed:
            tail.close()
        try:
            await tail.begun.wait()
            if tail.failed is not None:
                raise tail.failed
            async with aclosing(_looks(tail, after, output_after, beat)) as looks:
                yield looks
        finally:
            if tail.leave(output=output_after is not None) and self._tails.get(execution_id) is tail:
                del self._tails[execution_id]

    @asynccontextmanager
    async def _all(self, beat: float | None) -> AsyncIterator[AsyncIterator[Sequence[Change]]]:
        await self._listen()
        with self._changes.listener(told=self._told) as listener:
            yield listener.hear(beat)

    async def _listen(self) -> None:
        """Have the store tell of changes, from the first watcher on. Raises StoreError."""
        if self._closed:
            return
        if self._listening is None:
            loop = asyncio.get_running_loop()

            def hear(change: Change) -> None:
                # The loop of a service that has ended is closed.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._heard, change)

            self._listening = asyncio.ensure_future(self.read(lambda verbs: verbs.store.subscribe(hear)))
        listening = self._listening
        try:
            self._told = await asyncio.shield(listening) is not None
        except StoreError:
            self._listening = None
            raise

    def _heard(self, change: Change) -> None:
        for tail in [self._tails.get(change.execution_id)] if change.execution_id else list(self._tails.values()):
            if tail is not None:
                tail.poke()
        self._changes.tell(change)

    def _pause(self) -> float:
        return max(_SELDOM if self._told else _OFTEN, len(self._tails) * _SHARE)


async def _looks(tail: _Tail, after: int, output_after: int | None, beat: float | None) -> AsyncGenerator[Look]:
    """What a watcher gets, from its places in the log and in the output on."""
    shown: Standing | None = None
    position = output_after or 0
    while not tail.closed:
        # Taken together: who hears of this bell has seen everything that was rung for before.
        bell, version, standing, over = tail.bell, tail.version, tail.standing, tail.over
        events = await tail.events(after)
        after = events[-1].version if events else after
        chunks, before = [], position
        if output_after is not None:
            page = await tail.output(position, last=over)
            chunks, position = page.chunks, page.position
        level = after >= version
        # Who is told how it stands has been given what led to it.
        news = standing if level and standing != shown else None
        shown = news or shown
        if events or chunks or news is not None:
            yield Look(events=events, chunks=chunks, position=position, standing=news)
        elif level and over:
            yield Look(position=position, over=True)
            return
        elif level and position == before:
            if tail.failed is not None:
                raise tail.failed
            if not await _rung(bell, beat):
                yield Look(position=position)


async def _rung(bell: asyncio.Event, most: float | None) -> bool:
    """Whether it rings within so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(most):
            await bell.wait()
            return True
    return False


class _Tail:
    """One execution that is watched: the latest that was read of it, and the task that reads."""

    def __init__(self, execution_id: str, read: Reader, pause: Callable[[], float]) -> None:
        self.begun = asyncio.Event()
        """Set once it has been looked at, or cannot be."""
        self.bell = asyncio.Event()
        """Rung, and replaced, when there is something new."""
        self.version = 0
        self.standing: Standing | None = None
        self.over = False
        self.failed: Exception | None = None
        """Why nothing more comes."""
        self.closed = False
        self._id = execution_id
        self._read = read
        self._pause = pause
        self._poked = asyncio.Event()
        self._watchers = self._listeners = 0
        self._events = RecentEvents(partial(_entries, read, execution_id))
        self._output = RecentOutput(partial(_chunks, read, execution_id))
        self._task = asyncio.create_task(self._work())

    def join(self, *, output: bool) -> None:
        """A watcher more, who wants output or not."""
        self._watchers += 1
        self._listeners += output

    def leave(self, *, output: bool) -> bool:
        """A watcher less; whether that was the last one."""
        self._watchers -= 1
        self._listeners -= output
        if not self._listeners:
            self._output.forget()
        if not self._watchers:
            self._task.cancel()
        return not self._watchers

    def poke(self) -> None:
        """Have it looked at soon."""
        self._poked.set()

    def close(self) -> None:
        """Have all watchers end."""
        self.closed = True
        self._task.cancel()
        self.begun.set()
        self._ring()

    async def events(self, after: int) -> Sequence[Entry]:
        """Some of the events after version `after`; none if there are none yet."""
        return [] if after >= self.version else await self._events.after(after)

    async def output(self, after: int, *, last: bool) -> LogPage:
        """Some of the output after position `after`; none if there is none yet, and (`last`) there will be none."""
        known = self._output.known
        page = await self._output.after(after, fresh=last)
        if self._output.known and not known:
            self.poke()
        return page

    def _ring(self) -> None:
        bell, self.bell = self.bell, asyncio.Event()
        bell.set()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        away_since: float | None = None
        while True:
            try:
                await self._look()
                away_since = None
            except StoreError as error:
                away_since = away_since or loop.time()
                if not self.begun.is_set() or loop.time() - away_since > _PATIENCE:
                    return self._fail(error)
            # Also a bug of ours ends every watch, instead of leaving them waiting.
            except Exception as error:
                return self._fail(error)
            await asyncio.sleep(_BREATH if away_since is None else _PAUSE)
            await _rung(self._poked, self._pause())
            self._poked.clear()

    def _fail(self, error: Exception) -> None:
        self.failed = error
        self.begun.set()
        self._ring()

    async def _look(self) -> None:
        known = self.version if self.begun.is_set() else None
        row, entries = await self._read(partial(_seen, self._id, known))
        self._events.add(entries)
        version = entries[-1].version if entries else row.summary.version
        standing = Standing(*lookup.shown(row))
        # What was looked at first: events that came since may have let it go on.
        over = standing.status not in GOING_ON and version == row.summary.version
        wrote = await self._output.look() if self._listeners else False
        # Nobody is at the end before all output is known that there was when this was looked at.
        over = over and (not self._listeners or self._output.known)
        news = wrote or (version, standing, over) != (self.version, self.standing, self.over)
        self.version, self.standing, self.over = version, standing, over
        if news or not self.begun.is_set():
            self.begun.set()
            self._ring()


def _seen(execution_id: str, known: int | None, verbs: Verbs) -> tuple[Row, Sequence[Entry]]:
    """How an execution stands, and its events after version `known`; none at the first look."""
    row = lookup.present(verbs.store, execution_id)
    fresh = known is not None and row.summary.version > known
    return row, verbs.store.read(execution_id, known or 0) if fresh else ()


async def _entries(read: Reader, execution_id: str, after: int) -> Sequence[Entry]:
    return await read(lambda verbs: verbs.store.read_page(execution_id, after))


async def _chunks(read: Reader, execution_id: str, after: int, limit: int) -> LogPage:
    return await read(lambda verbs: verbs.store.read_log(execution_id, after=after, limit=limit))
