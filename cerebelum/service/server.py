"""The service as a whole: one event loop with what listens on its addresses, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Protocol

from cerebelum.host.heaps import few_heaps
from cerebelum.service.operations import Operations
from cerebelum.service.reading import Reader
from cerebelum.service.settings import Address, Settings
from cerebelum.service.tails import Tails

GRACE = 5.0
"""Seconds that requests under way have to end in, once the service is told to stop."""


class Listener(Protocol):
    """What serves one address."""

    async def start(self) -> Address:
        """Listen; the address, with the port that the system chose. Raises UsageError if it cannot be had."""
        ...

    async def stop(self, grace: float) -> None:
        """Take no more requests, and end at the latest after `grace` seconds."""
        ...


async def serve(operations: Operations, settings: Settings, on_ready: Callable[[dict[str, Address]], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP. `on_ready` is told the addresses, by `grpc` and `http`."""
    few_heaps()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopped.set)
    listening: list[Listener] = []
    try:
        addresses = {}
        for kind, listener in listeners(operations, settings).items():
            addresses[kind] = await listener.start()
            listening.append(listener)
        on_ready(addresses)
        await stopped.wait()
    finally:
        await asyncio.gather(*(listener.stop(GRACE) for listener in listening))


def listeners(operations: Operations, settings: Settings) -> dict[str, Listener]:
    """What serves the addresses of the settings, not started yet; all of them follow executions together."""
    found: dict[str, Listener] = {}
    tails = Tails(Reader(operations.client.verbs))
    if settings.http is not None:
        from cerebelum.service.web.server import WebServer

        found["http"] = WebServer(operations, settings, settings.http, tails=tails)
    if settings.grpc is not None:
        from cerebelum.service.rpc.server import RpcServer

        found["grpc"] = RpcServer(operations, settings, settings.grpc, tails)
    return found
