"""Tells many listeners what happens anywhere in a store: what the store says, and what one look for all of them finds.

Some stores tell of nothing, and none of the death of a runner. So while anybody listens, what goes on and what is
newest is looked at now and then, and compared with the look before; and a store that can is asked whose events it got
since, which also finds an old execution that went on for less than the time between two looks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple

from cerebelum.core.errors import StoreError
from cerebelum.core.status import GOING_ON, Status
from cerebelum.sdk.verbs import Verbs
from cerebelum.service.reading import Reader
from cerebelum.store import Change, Query, Row, lookup

_MOST_GOING_ON = 500
_NEWEST = 100
"""How many are looked at; where more go on, listeners are told now and then that anything may have changed."""
_OFTEN = 0.25
"""Seconds between two looks where the store tells of nothing."""
_SELDOM = 2.0
"""Seconds between two looks where it does."""
_PART = 20
"""A look may take one part in so many of the time."""
_GATHERED = 0.3
"""Seconds from telling a listener to telling it more."""
_MOST_PENDING = 1000
"""Executions with changes that a listener has not heard of; beyond, anything may have changed."""

ANYTHING = Change("unknown")


class _Seen(NamedTuple):
    version: int
    status: Status


class _Look(NamedTuple):
    seen: dict[str, _Seen]
    more: bool
    """Whether more goes on."""
    mark: str | None
    """Up to where the log was looked at, if the store can tell whose events came after that."""
    appended: tuple[str, ...] | None
    """Whose did."""


class Changes:
    """Listeners, and the one look for all of them. Belongs to one event loop."""

    def __init__(self, read: Reader) -> None:
        self._read = read
        self._listeners: set[_Listener] = set()
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    @contextmanager
    def listener(self, *, told: bool) -> Iterator[_Listener]:
        """Somebody who hears from now on. `told`: whether the store tells of changes by itself."""
        listener = _Listener()
        self._listeners.add(listener)
        if self._closed:
            listener.close()
        elif self._looking is None:
            self._looking = asyncio.create_task(self._look_again(_SELDOM if told else _OFTEN))
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    def tell(self, change: Change) -> None:
        """Have all listeners hear of a change."""
        for listener in self._listeners:
            listener.tell(change)

    def close(self) -> None:
        """End what the listeners hear."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        for listener in self._listeners:
            listener.close()

    async def _look_again(self, every: float) -> None:
        before: dict[str, _Seen] | None = None
        mark: str | None = None
        away = more = False
        while True:
            began = time.monotonic()
            try:
                look = await self._read(partial(_look, mark))
            except StoreError:
                away = True
            else:
                for change in _differences(before, look):
                    self.tell(change)
                more = look.more
                # What happened before the first look was not looked for.
                if more or away or before is None or look.appended is None:
                    self.tell(ANYTHING)
                before, mark, away = look.seen, look.mark, False
            pause = max(every, _PART * (time.monotonic() - began))
            await asyncio.sleep(max(pause, _SELDOM) if away or more else pause)


class _Listener:
    """What somebody has not heard yet."""

    def __init__(self) -> None:
        self._pending: dict[Change, None] = {}
        self._some = asyncio.Event()
        self._closed = False

    def tell(self, change: Change) -> None:
        """Something that it is to hear of."""
        if len(self._pending) >= _MOST_PENDING or not change.execution_id:
            self._pending = {ANYTHING: None}
        elif ANYTHING not in self._pending:
            self._pending[change] = None
        self._some.set()

    def close(self) -> None:
        """It hears nothing any more."""
        self._closed = True
        self._some.set()

    async def hear(self, beat: float | None) -> AsyncIterator[Sequence[Change]]:
        """What happened since it heard last, and nothing after `beat` seconds without anything."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(beat):
                    await self._some.wait()
            if self._closed:
                return
            self._some.clear()
            pending, self._pending = list(self._pending), {}
            yield pending
            await asyncio.sleep(_GATHERED)


def _look(mark: str | None, verbs: Verbs) -> _Look:
    """What goes on and what is newest, and what was appended to since a mark."""
    # First, so that what is appended meanwhile is in the next look.
    appended = verbs.store.appended(mark)
    going_on = verbs.store.find(Query(status=GOING_ON, limit=_MOST_GOING_ON))
    rows: list[Row] = [*going_on.rows, *verbs.store.find(Query(limit=_NEWEST)).rows]
    seen = {row.summary.execution_id: _Seen(row.summary.version, lookup.shown(row)[0]) for row in rows}
    mark, executions = (None, ()) if appended is None else (appended.mark, appended.executions)
    return _Look(seen, going_on.has_more, mark, executions)


def _differences(before: Mapping[str, _Seen] | None, look: _Look) -> Iterator[Change]:
    if before is None:
        return
    now = look.seen
    yield from (Change("events", name) for name in look.appended or ())
    for name, seen in now.items():
        known = before.get(name)
        if known is None or known.version != seen.version:
            yield Change("events", name)
        elif known.status != seen.status:
            yield Change("owner", name)
    # What has ended, or was pruned; or is just older now than what is looked at, which does no harm.
    yield from (Change("events", name) for name in before if name not in now)
