"""Going through everything in a store, page by page, while others write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec.structs import replace

from cerebelum.core.state import Status
from cerebelum.store import EventStore, Query, Row, Tombstone, Totals

_PAGE = 200


def every(store: EventStore, query: Query | None = None) -> Iterator[Row]:
    """The rows that match, newest start first; none twice, and none left out that is there all the time."""
    query = replace(query or Query(), limit=_PAGE)
    while True:
        page = store.find(query)
        yield from page.rows
        if not page.has_more:
            return
        last = page.rows[-1].summary
        query = replace(query, after=(last.started_at, last.execution_id))


def every_tombstone(store: EventStore) -> Iterator[Tombstone]:
    """All tombstones, by id."""
    after = ""
    while found := store.tombstones(after=after):
        yield from found
        after = found[-1].execution_id


def counted(store: EventStore) -> Totals:
    """How much there is, by looking at every summary."""
    executions: Counter[Status] = Counter()
    events = 0
    for row in every(store):
        executions[row.summary.status] += 1
        events += row.summary.version
    return Totals(dict(executions), events, sum(1 for _ in every_tombstone(store)))
