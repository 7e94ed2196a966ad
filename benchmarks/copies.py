"""Stores with many executions: those that were run once are written again under other names, digests and all."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from msgspec.structs import replace

from cerebelum.core.events import GENESIS, decode, encode
from cerebelum.store import EventStore, Query, Whole

_BATCH = 500


def copy(store: EventStore, execution_id: str, count: int) -> None:
    """Put `count` copies of an execution that nobody drives beside it."""
    copies = _copies(store, execution_id, count)
    while batch := list(itertools.islice(copies, _BATCH)):
        store.restore(batch)


def _copies(store: EventStore, execution_id: str, count: int) -> Iterator[Whole]:
    summary = store.find(Query(id=execution_id, limit=1)).rows[0].summary
    events = [decode(entry.text) for entry in store.read(execution_id)]
    for number in range(count):
        name = f"copy-{number:07}"
        entries = encode(name, events, GENESIS)
        yield Whole(replace(summary, execution_id=name, digest=entries[-1].digest), 1, entries)
