"""Server-sent events: what happens in an execution, and what changes anywhere, as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from starlette.types import Message, Receive, Scope, Send

from cerebelum.core.errors import CerebelumError, UsageError
from cerebelum.core.events import Entry
from cerebelum.service.shares import Shares
from cerebelum.service.tails import Look, Standing, Tails
from cerebelum.service.web.asked import LARGEST, Streamed
from cerebelum.service.web.errors import Refused
from cerebelum.service.web.limits import Limits
from cerebelum.service.web.looking import event_lines, output_shape
from cerebelum.store import Change

if TYPE_CHECKING:
    from cerebelum.service.web.contract import ChangeTold, StandingChanged

_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    # Proxies are not to gather it.
    (b"x-accel-buffering", b"no"),
]
_RETRY = b"retry: 1000\n\n"
_BEAT = b": beat\n\n"
_BATCH = 32 << 10
"""Bytes that are sent at once, at least one message."""

_SAME = 32
"""Events that are put into words once for all who watch."""

T = TypeVar("T")


class EventStream(Generic[T]):
    """A stream of messages, each made of what `open` gives one after the other."""

    def __init__(
        self,
        source: Callable[[], AbstractAsyncContextManager[AsyncIterator[T]]],
        messages: Callable[[T], Iterable[bytes]],
        slots: Shares,
        limits: Limits,
        who: str,
    ) -> None:
        self._source = source
        self._messages = messages
        self._slots = slots
        self._limits = limits
        self._who = who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, to its end or until nobody takes it. Raises what opening raises, before anything is sent.

        Raises Refused (503) if there are too many.
        """
        if not self._slots.take(self._who):
            raise Refused(503, "there are too many streams open already", hint="try again later")
        sending, gone = asyncio.create_task(self._send(send)), asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)
            self._slots.give_back(self._who)

    async def _send(self, send: Send) -> None:
        async with self._source() as items:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            # Who is slow is let go, and comes back with what it has seen last.
            with suppress(TimeoutError):
                await self._put(send, _RETRY)
                # A store that stays away, say: the one that comes back is told.
                with suppress(CerebelumError):
                    async for item in items:
                        for part in _gathered(self._messages(item)):
                            await self._put(send, part)
                await self._put(send, b"", more=False)

    async def _put(self, send: Send, part: bytes, *, more: bool = True) -> None:
        message: Message = {"type": "http.response.body", "body": part, "more_body": more}
        async with asyncio.timeout(self._limits.send_seconds):
            await send(message)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _gathered(messages: Iterable[bytes]) -> Iterator[bytes]:
    part = bytearray()
    for message in messages:
        part += message
        if len(part) >= _BATCH:
            yield bytes(part)
            part.clear()
    if part:
        yield bytes(part)


def message(kind: str, data: Any, number: int | None = None) -> bytes:
    """One server-sent event; `data` is JSON already if it is bytes."""
    body = data if isinstance(data, bytes) else msgspec.json.encode(data)
    front = b"" if number is None else b"id: %d\n" % number
    return b"event: %s\n%sdata: %s\n\n" % (kind.encode(), front, body)


def of_execution(
    tails: Tails, name: str, asked: Streamed, last_event_id: str | None, slots: Shares, limits: Limits, who: str
) -> EventStream[Look]:
    """What happens in one execution, until it does not go on any more. Raises UsageError."""
    after = asked.after if not last_event_id else _number(last_event_id)
    output_after = asked.log_after if asked.output else None
    told = _Teller(name)
    return EventStream(
        lambda: tails.watch(name, after=after, output_after=output_after, beat=limits.beat_seconds),
        told.messages,
        slots,
        limits,
        who,
    )


class _Teller:
    """Makes messages of looks at one execution."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._standing: Standing | None = None

    def messages(self, look: Look) -> Iterator[bytes]:
        for entry in look.events:
            yield _of_event(self._name, entry)
        if look.chunks:
            yield message("output", output_shape(look.chunks, look.position))
        if look.standing is not None:
            self._standing = look.standing
            yield message("status", _standing(look.standing))
        if look.over and self._standing is not None:
            yield message("end", _standing(self._standing))
        if look == Look(position=look.position):
            yield _BEAT


@lru_cache(_SAME)
def _of_event(name: str, entry: Entry) -> bytes:
    [line] = event_lines(name, [entry])
    return message("event", line, entry.version)


def _standing(now: Standing) -> StandingChanged:
    return {"status": now.status, "reason": now.reason}


def of_all(tails: Tails, slots: Shares, limits: Limits, who: str) -> EventStream[Sequence[Change]]:
    """What changes anywhere."""
    return EventStream(lambda: tails.changes(limits.beat_seconds), _changes, slots, limits, who)


def _changes(told: Sequence[Change]) -> Iterator[bytes]:
    for change in told:
        data: ChangeTold = {"execution_id": change.execution_id or None, "kind": change.kind}
        yield message("change", data)
    if not told:
        yield _BEAT


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) < LARGEST):
        raise UsageError(f"Last-Event-ID {text[:60]!r} is no version of an event")
    return int(text)
