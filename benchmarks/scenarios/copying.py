"""What `store copy` takes for each event, beside a bare executemany of the same rows.

Executions of 30 events with a little output are copied into an empty store, and once more, when nothing is left to do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Bench, Row, rates
from cerebelum.backends.sqlite import open_store
from cerebelum.backends.sqlite.library import sqlite3
from cerebelum.store import EventStore, every
from cerebelum.store.copying import copy
from tests.executions import STEPS, fill

EVENTS = 2 * STEPS + 2
_BATCH = 200


def measure(bench: Bench) -> Iterator[Row]:
    count = bench.pick(2_000, 300)
    origin = open_store(f"sqlite:///{bench.path}/origin.db")
    fill(origin, count)
    runs: dict[str, list[float]] = {"store copy": [], "bare executemany": [], "again": []}
    for number in range(bench.pick(3, 2)):
        target = open_store(f"sqlite:///{bench.path}/target{number}.db")
        runs["store copy"].append(timed(origin, target))
        runs["bare executemany"].append(bare(origin, bench.path / f"bare{number}.db"))
        runs["again"].append(timed(origin, target))
        target.close()
    origin.close()
    yield Row("events copied between SQLite files", "events/s", rates(runs, count * EVENTS), True)


def bare(origin: EventStore, file: Path) -> float:
    """Seconds that reading the events of every execution and an executemany of them in big transactions take."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE events (execution_id TEXT NOT NULL, version INTEGER NOT NULL, type TEXT NOT NULL,"
        " at TEXT NOT NULL, data TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (execution_id, version)) STRICT"
    )
    begun = time.perf_counter()
    for rows in _rows(origin):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - begun
    connection.close()
    return seconds


def _rows(origin: EventStore) -> Iterator[list[tuple[object, ...]]]:
    rows: list[tuple[object, ...]] = []
    for row in every(origin):
        name = row.summary.execution_id
        rows += [(name, e.version, e.type, str(e.at), e.text, e.digest) for e in origin.read(name)]
        if len(rows) >= _BATCH * EVENTS:
            yield rows
            rows = []
    yield rows


def timed(origin: EventStore, target: EventStore) -> float:
    """Seconds that copying takes."""
    begun = time.perf_counter()
    outcomes = list(copy(origin, target))
    seconds = time.perf_counter() - begun
    assert not [o for o in outcomes if o.what in ("refused", "left out")]
    return seconds
