#!/usr/bin/env python3
"""What `store copy` takes for each event, beside a bare executemany of the same rows, in the same run.

    .venv/bin/python -m benchmarks.copying
    .venv/bin/python -m benchmarks.copying --into postgresql://localhost/empty --back

Executions of 30 events with a little output are made in a store, copied into an empty one, once more (when nothing is
left to do), and with --back from there into a fresh SQLite file, whose logs have to be those of the beginning.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cerebelum.app import App
from cerebelum.backends.sqlite import open_store
from cerebelum.backends.sqlite.library import library_name, library_version, sqlite3
from cerebelum.store import EventStore, every
from cerebelum.store.copying import copy
from tests.executions import STEPS, fill

EVENTS = 2 * STEPS + 2
_BATCH = 200


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


def timed(origin: EventStore, target: EventStore) -> tuple[float, int]:
    """Seconds that copying takes, and how many events were written."""
    begun = time.perf_counter()
    outcomes = list(copy(origin, target))
    seconds = time.perf_counter() - begun
    assert not [o for o in outcomes if o.what in ("refused", "left out")]
    return seconds, sum(o.events for o in outcomes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--origin", metavar="URL", help="where they are made, unless it has some (default: a new file)")
    parser.add_argument("--into", metavar="URL", help="an empty store (default: a new SQLite file)")
    parser.add_argument("--back", action="store_true", help="also copy back into an SQLite file")
    options = parser.parse_args()
    app = App(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        origin = app.open_store(options.origin or f"sqlite:///{folder}/origin.db")
        target = app.open_store(options.into or f"sqlite:///{folder}/target.db")
        if not origin.totals().events:
            fill(origin, options.executions)
        if target.totals().events:
            sys.exit("the store to copy into is not empty")
        print(f"{library_name()} {library_version()}, {origin.describe().kind} to {target.describe().kind}")
        seconds = {"bare": bare(origin, Path(folder, "bare.db"))}
        seconds["copy"], events = timed(origin, target)
        seconds["again"], none = timed(origin, target)
        assert none == 0
        if options.back:
            last = open_store(f"sqlite:///{folder}/back.db")
            seconds["back"], _ = timed(target, last)
            names = [row.summary.execution_id for row in every(origin)]
            assert all(origin.read(name) == last.read(name) for name in names[:: max(1, len(names) // 1000)])
        for name, took in seconds.items():
            print(f"{name:6} {took:7.2f} s  {events / took:8.0f} events/s")
        print(f"ratio {seconds['copy'] / seconds['bare']:6.2f}")
        for store in (origin, target):
            store.close()


if __name__ == "__main__":
    main()
