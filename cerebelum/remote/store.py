"""A store behind a service, to look at: whoever changes executions there asks the service itself to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, cast

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from cerebelum.core.errors import CerebelumError, NotFound, UsageError
from cerebelum.core.events import Entry
from cerebelum.core.summary import Summary
from cerebelum.remote.channel import Channel
from cerebelum.store import (
    PAGE_SIZE,
    Change,
    Chunk,
    Claim,
    Description,
    EventStore,
    LogPage,
    Ownership,
    Page,
    Process,
    Query,
    Row,
    Runner,
    Started,
    Stream,
    Tombstone,
    Totals,
    Whole,
)
from cerebelum.store.contract import ChangeKind
from cerebelum.wire import execution_pb2 as wire

if TYPE_CHECKING:
    from cerebelum.store.pooling import Pool

_AGAIN_SECONDS = 1.0
"""Until the service is asked again for changes, when it was lost."""


class RemoteStore(EventStore):
    """What a service lets one look at, as a store. Nothing can be written."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._closing = threading.Event()

    # -- looking ------------------------------------------------------------------------------------------------------

    def read(self, execution_id: str, after: int = 0) -> list[Entry]:
        """The entries after a version."""
        return self._entries(wire.GetHistoryRequest(execution_id=execution_id, after_version=after))

    def read_page(self, execution_id: str, after: int = 0, *, size: int = PAGE_SIZE) -> list[Entry]:
        """Some of them."""
        return self._entries(wire.GetHistoryRequest(execution_id=execution_id, after_version=after, size=max(size, 1)))

    def _entries(self, request: wire.GetHistoryRequest) -> list[Entry]:
        try:
            return [
                Entry(found.version, found.type, _moment(found.at), found.json, found.digest)
                for found in self._channel.stream("GetHistory", request, wire.ExecutionEvent)
            ]
        except NotFound:
            return []

    def find(self, query: Query) -> Page:
        """The executions that match; whether their runners are alive is what the service says."""
        if query.due_before is not None:
            self._refuse()
        request = wire.FindExecutionsRequest(
            execution_id=query.id,
            id_prefix=query.id_prefix,
            status=query.status,
            workflow_name=query.workflow,
            tags=query.tag,
            since=_stamp(query.since),
            after_started_at=None if query.after is None else _stamp(query.after[0]),
            after_execution_id=None if query.after is None else query.after[1],
            limit=query.limit,
            offset=query.offset,
            count_to=query.count_to,
            stored=True,
            dead_runners=query.dead_runners,
        )
        rows: list[Row] = []
        has_more, total = False, None
        for page in self._channel.stream("FindExecutions", request, wire.ExecutionPage):
            rows += [msgspec.json.decode(found.row_json, type=Row) for found in page.executions]
            has_more, total = page.has_more, page.total if page.HasField("total") else None
        return Page(rows, has_more, total)

    def read_log(
        self,
        execution_id: str,
        *,
        step: str | None = None,
        attempt: int | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> LogPage:
        """Output after a position."""
        request = wire.GetLogsRequest(
            execution_id=execution_id, step=step, attempt=attempt, after_position=after, limit=limit
        )
        chunks: list[Chunk] = []
        position = after
        for page in self._channel.stream("GetLogs", request, wire.LogPage):
            chunks += [_chunk(found) for found in page.chunks]
            position = page.position
        return LogPage(chunks, position)

    def tombstones(self, execution_id: str | None = None, *, after: str = "", limit: int = 1000) -> list[Tombstone]:
        """What stays of executions that were pruned."""
        request = wire.GetTombstonesRequest(execution_id=execution_id, after_execution_id=after, limit=limit)
        found = self._channel.stream("GetTombstones", request, wire.Tombstone)
        return [msgspec.json.decode(stone.json, type=Tombstone) for stone in found]

    def describe(self) -> Description:
        """What the store says about itself, with the service before it."""
        found = self._channel.call("GetStore", wire.GetStoreRequest(), wire.Store)
        said = msgspec.json.decode(found.description_json, type=Description)
        details = {**said.details, "service": self._channel.address, "service_version": found.version}
        return msgspec.structs.replace(said, details=details)

    def totals(self) -> Totals:
        """How much there is in it."""
        found = self._channel.call("GetStore", wire.GetStoreRequest(totals=True), wire.Store)
        return msgspec.json.decode(found.totals_json, type=Totals)

    def workflows(self) -> list[Started]:
        """The workflows of which there are executions."""
        found = self._channel.call("GetStore", wire.GetStoreRequest(workflows=True), wire.Store)
        return msgspec.json.decode(found.workflows_json, type=list[Started])

    def subscribe(self, hear: Callable[[Change], None], execution_id: str = "") -> Callable[[], None]:
        """Have `hear(change)` called in a thread that listens to the service, for as long as that lasts."""
        listening = _Listening(self._channel, hear, self._closing)
        return listening.end

    def claims(self, group: str | None = None) -> list[Claim]:
        """Who has or wants which lock."""
        found = self._channel.call("GetStore", wire.GetStoreRequest(claims=True), wire.Store)
        # A service of an older version knows of none.
        every = msgspec.json.decode(found.claims_json or "[]", type=list[Claim])
        return [claim for claim in every if group in (None, claim.group)]

    def pool(self) -> Pool:
        """Queues and workers, to look at."""
        from cerebelum.remote.pool import RemotePool

        return RemotePool(self._channel)

    def processes(self, execution_id: str) -> list[Process]:
        """None: they are nobody's here."""
        return []

    def close(self) -> None:
        """Let go of the service."""
        self._closing.set()
        self._channel.close()

    # -- what is not done from here -----------------------------------------------------------------------------------

    def append(
        self,
        execution_id: str,
        expected: int,
        entries: Sequence[Entry],
        summary: Summary,
        *,
        fence: Ownership | None = None,
        release: bool = False,
    ) -> None:
        """Raises UsageError."""
        self._refuse()

    def own(self, execution_id: str, owner: str | None, expected: Ownership) -> Ownership | None:
        """Raises UsageError."""
        self._refuse()

    def claim(
        self, execution_id: str, group: str, at: datetime, fence: Ownership, *, alone: bool = False
    ) -> list[Claim]:
        """Raises UsageError."""
        self._refuse()

    def unclaim(self, execution_id: str, expected: Ownership | None) -> bool:
        """Raises UsageError."""
        self._refuse()

    def beat(self, runner: Runner) -> None:
        """Raises UsageError."""
        self._refuse()

    def note_process(self, execution_id: str, process: Process, *, gone: bool = False) -> None:
        """Raises UsageError."""
        self._refuse()

    def write_log(
        self, execution_id: str, chunks: Sequence[Chunk], drop: Sequence[tuple[str, int, int, int]] = ()
    ) -> None:
        """Raises UsageError."""
        self._refuse()

    def prune(self, tombstone: Tombstone) -> None:
        """Raises UsageError."""
        self._refuse()

    def restore(self, executions: Sequence[Whole]) -> None:
        """Raises UsageError."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UsageError(
            f"the service at {self._channel.address} does not do this", hint="do it where its store is, with --store"
        )


class _Listening:
    """A thread that hears of changes from a service, and asks again when it was lost."""

    def __init__(self, channel: Channel, hear: Callable[[Change], None], closing: threading.Event) -> None:
        self._channel = channel
        self._hear = hear
        self._closing = closing
        self._ended = threading.Event()
        self._stream: Any = None
        threading.Thread(target=self._listen, name="cerebelum-changes", daemon=True).start()

    def _listen(self) -> None:
        while not (self._ended.is_set() or self._closing.is_set()):
            with suppress(CerebelumError, ValueError):
                self._stream = self._channel.stream(
                    "WatchChanges", wire.WatchChangesRequest(), wire.Change, endless=True
                )
                for change in self._stream:
                    self._hear(Change(cast(ChangeKind, change.kind), change.execution_id))
                    if self._ended.is_set():
                        return
            self._ended.wait(_AGAIN_SECONDS)
            # Whatever happened meanwhile was not heard of.
            self._hear(Change("unknown"))

    def end(self) -> None:
        """Hear of no more."""
        self._ended.set()
        if self._stream is not None:
            self._stream.cancel()


def _chunk(found: wire.LogChunk) -> Chunk:
    return Chunk(found.step, found.attempt, found.offset, cast(Stream, found.stream), _moment(found.at), found.data)


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(UTC)


def _stamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
