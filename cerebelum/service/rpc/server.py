"""What listens for gRPC."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from cerebelum.core.errors import UsageError
from cerebelum.service.operations import Operations
from cerebelum.service.rpc import batches
from cerebelum.service.rpc.executions import Executions
from cerebelum.service.rpc.gate import Gate
from cerebelum.service.rpc.handling import Desk
from cerebelum.service.rpc.worker import Worker
from cerebelum.service.settings import Address, Settings
from cerebelum.service.shares import connections
from cerebelum.service.tails import Tails
from cerebelum.wire import execution_pb2, worker_pb2

_MOST_STREAMS = 2000
"""Streams open at once; half of them for one caller: see Shares."""
_MOST_CALLS = 3000
"""Calls under way, also those that are just being refused."""
_MOST_CONNECTIONS = 1000
_TELLING = 1.0
"""Seconds for telling those who watch the health that it ends."""
_OPTIONS = (
    # Two services on one port would each get a part of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    # Of one connection: more than a caller may have, so that one too many is refused instead of waiting in the client.
    ("grpc.max_concurrent_streams", 1200),
    # Connections that do not say what they speak, or have nothing to say.
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 120_000),
    # Who is gone without a word is noticed within a minute and a half; who asks more often than this is sent away.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
)


class RpcServer:
    """Serves gRPC at one address."""

    def __init__(self, operations: Operations, settings: Settings, address: Address, tails: Tails) -> None:
        self._operations = operations
        self._settings = settings
        self._address = address
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()
        self._tails = tails

    async def start(self) -> Address:
        """Listen; the address, with the port that the system chose. Raises UsageError."""
        batches.see_through()
        tokens, address = self._settings.tokens, self._address
        most = connections(_MOST_CONNECTIONS, self._settings.listeners)
        server = self._server = grpc.aio.server(
            interceptors=(Gate(tokens),),
            options=(*_OPTIONS, ("grpc.max_allowed_incoming_connections", most)),
            maximum_concurrent_rpcs=_MOST_CALLS,
        )
        desk = Desk(tokens, self._settings.say, _MOST_STREAMS)
        services: dict[Any, object] = {
            worker_pb2.DESCRIPTOR.services_by_name["WorkerService"]: Worker(self._operations),
            execution_pb2.DESCRIPTOR.services_by_name["ExecutionService"]: Executions(self._operations, self._tails),
        }
        server.add_generic_rpc_handlers(tuple(desk.handlers(name, servicer) for name, servicer in services.items()))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = [descriptor.full_name for descriptor in services]
        reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
        try:
            port = self._bind(server)
        except RuntimeError:
            raise UsageError(
                f"{address.text()} cannot be listened on", hint="is it in use? name another one with --grpc"
            ) from None
        await server.start()
        for name in ("", *names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return Address(address.host, port)

    def _bind(self, server: grpc.aio.Server) -> int:
        if self._settings.tls is None:
            return server.add_insecure_port(self._address.text())
        chain, key = (_read(path) for path in self._settings.tls)
        return server.add_secure_port(self._address.text(), grpc.ssl_server_credentials([(key, chain)]))

    async def stop(self, grace: float) -> None:
        """Take no more calls, and end those that are under way after `grace` seconds."""
        # Somebody who watches it, and reads nothing, would hold it up.
        with suppress(TimeoutError):
            async with asyncio.timeout(_TELLING):
                await self._health.enter_graceful_shutdown()
        await self._tails.close()
        if self._server is not None:
            await self._server.stop(grace)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"it cannot be read: {error.strerror}", where=path) from None
