"""What a store keeps, as messages of ExecutionService."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from cerebelum.core.events import Entry
from cerebelum.service.rpc.structs import stamp
from cerebelum.store import Chunk, EventStore, LogPage, Row, Tombstone
from cerebelum.store.liveness import reported_dead
from cerebelum.wire import execution_pb2 as wire

_MOST_BYTES = 1 << 20
"""Of output in one message; readers refuse what is larger than four of them."""
_LONG = 1e9
"""Seconds: the silence of a runner that is dead."""


def text(value: Any) -> str:
    """JSON."""
    return msgspec.json.encode(value).decode()


def execution(row: Row) -> wire.Execution:
    """A row whose status is to be shown. What this machine knows of its runner goes with it, for others to judge by."""
    summary = row.summary
    return wire.Execution(
        execution_id=summary.execution_id,
        workflow_name=summary.workflow,
        status=summary.status,
        started_at=stamp(summary.started_at),
        completed_at=stamp(summary.ended_at),
        tags=summary.tags,
        row_json=msgspec.json.encode(_judged(row)),
    )


def _judged(row: Row) -> Row:
    """The row with a runner of which only its beat is known, moving or not."""
    if row.runner is None:
        return row
    silent = _LONG if reported_dead(row) else 0.0
    return msgspec.structs.replace(
        row, runner=msgspec.structs.replace(row.runner, boot_id="", lock="", pid_namespace="", silent=silent)
    )


def event(execution_id: str, entry: Entry) -> wire.ExecutionEvent:
    """An entry of a log."""
    return wire.ExecutionEvent(
        execution_id=execution_id,
        version=entry.version,
        type=entry.type,
        at=stamp(entry.at),
        json=entry.text,
        digest=entry.digest,
    )


def log_pages(page: LogPage, before: int) -> Iterator[wire.LogPage]:
    """A page of output that was read from position `before` on, in messages of a bearable size.

    Only the last one has the new position: who goes on from another one gets the page again.
    """
    part = wire.LogPage(position=before)
    size = 0
    for chunk in page.chunks:
        if size + len(chunk.data) > _MOST_BYTES and size:
            yield part
            part, size = wire.LogPage(position=before), 0
        part.chunks.append(_chunk(chunk))
        size += len(chunk.data)
    part.position = page.position
    yield part


def _chunk(chunk: Chunk) -> wire.LogChunk:
    return wire.LogChunk(
        step=chunk.step,
        attempt=chunk.attempt,
        offset=chunk.offset,
        stream=chunk.stream,
        at=stamp(chunk.at),
        data=chunk.data,
    )


def tombstone(stone: Tombstone) -> wire.Tombstone:
    """What stays of an execution."""
    return wire.Tombstone(execution_id=stone.execution_id, json=text(stone))


def pool(store: EventStore, execution_id: str, queue: str) -> wire.Pool:
    """Queues and workers, and how an execution stands that waits in one, if one is named."""
    from cerebelum.store.pooling import HasPool

    if not isinstance(store, HasPool):
        return wire.Pool()
    found = store.pool()
    standing = text(found.standing(execution_id, queue)) if execution_id else ""
    return wire.Pool(depths_json=text(found.depths()), workers_json=text(found.workers()), standing_json=standing)
