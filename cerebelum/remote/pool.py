"""The queues of a store behind a service, to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

import msgspec

from cerebelum.core.errors import UsageError
from cerebelum.core.events import Entry, Queued
from cerebelum.core.summary import Summary
from cerebelum.remote.channel import Channel
from cerebelum.store import Ownership
from cerebelum.store.pooling import Depth, Handover, Perform, Pool, Service, Standing, Worker
from cerebelum.wire import execution_pb2 as wire


class RemotePool(Pool):
    """What a service tells of queues and workers. Nothing can be changed."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def depths(self) -> list[Depth]:
        """See Pool."""
        return msgspec.json.decode(self._asked().depths_json or "[]", type=list[Depth])

    def workers(self) -> list[Worker]:
        """See Pool."""
        return msgspec.json.decode(self._asked().workers_json or "[]", type=list[Worker])

    def standing(self, execution_id: str, queue: str) -> Standing:
        """See Pool."""
        found = self._asked(wire.GetPoolRequest(execution_id=execution_id, queue=queue)).standing_json
        return msgspec.json.decode(found, type=Standing) if found else Standing(0, 0)

    def _asked(self, request: wire.GetPoolRequest | None = None) -> wire.Pool:
        return self._channel.call("GetPool", request or wire.GetPoolRequest(), wire.Pool)

    def submit(self, execution_id: str, entry: Entry, summary: Summary, queued: Queued) -> None:
        """Raises UsageError."""
        self._refuse()

    def hand_over(
        self,
        execution_id: str,
        expected: int,
        entries: Sequence[Entry],
        summary: Summary,
        handovers: Sequence[Handover],
        *,
        fence: Ownership,
        release: bool = False,
    ) -> None:
        """Raises UsageError."""
        self._refuse()

    def withdraw(self, keys: Sequence[str]) -> None:
        """Raises UsageError."""
        self._refuse()

    def wake(self, execution_id: str) -> None:
        """Raises UsageError."""
        self._refuse()

    def offer(self, execution_id: str, handovers: Sequence[Handover]) -> None:
        """Raises UsageError."""
        self._refuse()

    def drain(self, runner_id: str) -> bool:
        """Raises UsageError."""
        self._refuse()

    def service(
        self, worker: Worker, perform: Perform, on_drain: Callable[[], None], tell: Callable[[str], None]
    ) -> Service:
        """Raises UsageError."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UsageError(
            f"the service at {self._channel.address} does not do this", hint="do it where its store is, with --store"
        )
