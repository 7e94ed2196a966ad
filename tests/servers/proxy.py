"""A network between a client and a Postgres server that can be cut, slowed down and made to lose what matters."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from tests.servers.postgres import with_server
from tests.servers.wire import WRITES, Wire, any_matches

T = TypeVar("T")
_SIZE = 1 << 16


class Proxy:
    """Forwards connections to the server of a URL, in a thread of its own, until it is closed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = parts.hostname, parts.port
        self.flights: list[list[str]] = []
        """For each time that a client who had logged in sent something and waited: the statements that it sent."""
        self.lost = 0
        """How many connections were cut because of what went through them."""
        self.connections = 0
        """How many were made."""
        self._delay = 0.0
        self._refusing = False
        self._losing = {"request": 0, "answer": 0}
        self._pattern = WRITES
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._listening = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self._port = int(self._listening.sockets[0].getsockname()[1])
        self.url = with_server(url, "127.0.0.1", self._port)
        """The URL that leads through here."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Cut all connections and take no more."""

        async def close() -> None:
            self._listening.close()
            self._cut_all()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._listening.wait_closed()
            # Transports close themselves in the next turn of the loop.
            await asyncio.sleep(0.01)

        self._do(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def round_trips(self) -> int:
        """How often a client who had logged in sent something and waited for the answer."""
        return len(self.flights)

    # -- disturbances -------------------------------------------------------------------------------------------------

    def drop(self) -> None:
        """Reset every connection."""
        self._call(self._cut_all)

    def refuse(self) -> None:
        """Reset every new connection, as if nobody listened, until `accept`."""
        self._refusing = True

    def accept(self) -> None:
        """Let connections and what is in them through again."""
        self._refusing = False
        self._call(self._flowing.set)

    def blackhole(self) -> None:
        """Take connections and what is sent through them, and forward nothing, until `accept`."""
        self._call(self._flowing.clear)

    def delay(self, seconds: float) -> None:
        """Forward everything that much later, in both directions."""
        self._delay = seconds

    def half_close(self) -> None:
        """Tell the clients that no more will come from the server, and go on forwarding what they send."""

        def close() -> None:
            for link in self._links:
                link.half_close()

        self._call(close)

    def lose_acknowledgements(self, count: int = 1, matching: str = WRITES) -> None:
        """The next `count` times that the server has committed something that matches, cut instead of saying so."""
        self._pattern, self._losing["answer"] = matching, count

    def lose_requests(self, count: int = 1, matching: str = WRITES) -> None:
        """The next `count` times that a client sends something that matches, cut instead of forwarding it."""
        self._pattern, self._losing["request"] = matching, count

    # -- inside the thread --------------------------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _call(self, work: Callable[[], None]) -> None:
        async def call() -> None:
            work()

        self._do(call())

    def _cut_all(self) -> None:
        for link in list(self._links):
            link.cut()

    def _lose(self, what: str, statements: list[str]) -> bool:
        """Whether the connection is to be cut because of this."""
        if self._losing[what] and any_matches(statements, self._pattern):
            self._losing[what] -= 1
            self.lost += 1
            return True
        return False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        # Cancelled, it ends quietly: asyncio would complain of a task that it started and we cancelled.
        with suppress(OSError, asyncio.CancelledError):
            try:
                if not self._refusing:
                    await self._flowing.wait()
                    server = await asyncio.open_connection(*self._target)
                    await self._forward(reader, _Link(self, writer, server[1]), server[0])
            finally:
                _reset(writer)

    async def _forward(self, client: asyncio.StreamReader, link: _Link, server: asyncio.StreamReader) -> None:
        self._links.add(link)
        try:
            await asyncio.gather(link.ask(client), link.answer(server))
        finally:
            link.cut()
            self._links.discard(link)

    async def _pass(self) -> None:
        if self._delay:
            await asyncio.sleep(self._delay)
        await self._flowing.wait()


class _Link:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._writers = client, server
        self._wire = Wire()
        self._asking = False
        self._half = False

    def cut(self) -> None:
        for writer in self._writers:
            _reset(writer)

    def half_close(self) -> None:
        self._half = True
        with suppress(OSError, RuntimeError):
            self._writers[0].write_eof()

    async def ask(self, reader: asyncio.StreamReader) -> None:
        client, server = self._writers
        proxy = self._proxy
        while data := await reader.read(_SIZE):
            ready = self._wire.ready
            statements = self._wire.client(data)
            if ready and not self._asking:
                proxy.flights.append([])
            self._asking = True
            if ready:
                proxy.flights[-1] += statements
            if proxy._lose("request", statements):
                self.cut()
                return
            await proxy._pass()
            server.write(data)
            await server.drain()
        if not client.is_closing() and not server.is_closing():
            server.write_eof()

    async def answer(self, reader: asyncio.StreamReader) -> None:
        client, _ = self._writers
        proxy = self._proxy
        held = b""
        while data := await reader.read(_SIZE):
            self._asking = False
            if proxy._lose("answer", self._wire.server(data)):
                self.cut()
                return
            held += data
            # The beginning of an answer that may have to be lost is not to get through, either.
            wire = self._wire
            open_ended = wire.waiting and not wire.copying
            if proxy._losing["answer"] and open_ended and any_matches(wire.asked, proxy._pattern):
                continue
            await proxy._pass()
            if not self._half:
                client.write(held)
                await client.drain()
            held = b""
        if not client.is_closing() and not self._half:
            client.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection without a farewell."""
    connection = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
