"""Listens on an address and speaks HTTP there: uvicorn's protocol, in the event loop that is there already."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from email.utils import formatdate
from typing import cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from cerebelum.core.errors import UsageError
from cerebelum.service.operations import Operations
from cerebelum.service.reading import Reader
from cerebelum.service.settings import Address, Settings
from cerebelum.service.shares import Shares, connections
from cerebelum.service.tails import Tails
from cerebelum.service.web.application import Application
from cerebelum.service.web.connection import Connection
from cerebelum.service.web.limits import Limits

_BACKLOG = 1024
_SWEEP = 0.5
"""Seconds from one look for connections that take too long to the next."""


class WebServer:
    """What serves HTTP on one address: see Listener. `tails` may be shared with others who serve the same store."""

    def __init__(
        self,
        operations: Operations,
        settings: Settings,
        address: Address,
        *,
        tails: Tails | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._operations = operations
        self._settings = settings
        self._address = address
        self._tails = tails or Tails(Reader(operations.client.verbs))
        self._limits = limits or Limits()
        self._shares = Shares(connections(self._limits.connections, settings.listeners))
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._application: Application | None = None

    @property
    def application(self) -> Application:
        """What answers, once this has started."""
        assert self._application is not None
        return self._application

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._state.connections)

    async def start(self) -> Address:
        """Listen; the address, with the port that the system chose.

        Raises UsageError if it cannot be had, or the certificate cannot be used.
        """
        tls = None if self._settings.tls is None else _tls(*self._settings.tls)
        listening = _bound(self._address)
        address = Address(self._address.host, listening.getsockname()[1])
        self._application = Application(self._operations, self._settings, address, self._tails, self._limits)
        config = Config(
            self._application,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=self._limits.idle_seconds,
            h11_max_incomplete_event_size=self._limits.head,
        )
        config.load()
        seconds = None if tls is None else self._limits.head_seconds
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(config, self._state, self._limits, self._shares),
            sock=listening,
            ssl=tls,
            backlog=_BACKLOG,
            ssl_handshake_timeout=seconds,
            ssl_shutdown_timeout=seconds,
        )
        self._sweeping = asyncio.create_task(self._sweep())
        return address

    async def stop(self, grace: float) -> None:
        """Take no more requests, end streams, and end at the latest after `grace` seconds."""
        if self._server is None or self._sweeping is None or self._application is None:
            return
        self._server.close()
        await self._application.close()
        await self._tails.close()
        for connection in self._connections():
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._ended()
        for task in list(self._state.tasks):
            task.cancel()
        for connection in self._connections():
            connection.transport.abort()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)
        self._sweeping.cancel()

    async def _ended(self) -> None:
        while self._state.tasks:
            await asyncio.wait(self._state.tasks, return_when=asyncio.FIRST_COMPLETED)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
            for connection in self._connections():
                connection.sweep(loop.time())
            await asyncio.sleep(_SWEEP)

    def _connections(self) -> list[Connection]:
        return cast(list[Connection], list(self._state.connections))


def _bound(address: Address) -> socket.socket:
    """A socket with this address. Raises UsageError."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"there is no address {address.text()}: {error.strerror}") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(place)
    except OSError as error:
        listening.close()
        hint = "choose another one with: serve --http HOST:PORT"
        raise UsageError(f"{address.text()} cannot be listened on: {error.strerror}", hint=hint) from None
    return listening


def _tls(certificate: str, key: str) -> ssl.SSLContext:
    """What these files are needed for. Raises UsageError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # A key that needs a password is refused, and nobody asked for it.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except OSError as error:
        why = error.strerror or error
        raise UsageError(f"the certificate and its key cannot be used: {why}", where=certificate) from None
    return context
