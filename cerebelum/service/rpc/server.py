"""The gRPC server."""

from __future__ import annotations

from cerebelum.core.errors import UsageError
from cerebelum.service.operations import Operations
from cerebelum.service.settings import Address, Settings


class RpcServer:
    """What serves gRPC on one address."""

    def __init__(self, operations: Operations, settings: Settings, address: Address) -> None:
        self._address = address

    async def start(self) -> Address:
        """See Listener."""
        raise UsageError("this version has no gRPC", hint="--no-grpc")

    async def stop(self, grace: float) -> None:
        """See Listener."""
