"""What one append costs, with its checks and the summary that `list` reads, beside a bare insert of the same event.

Each is acknowledged by the disk before the next one begins. On PostgreSQL also beside a statement that keeps a
summary up to date as well, and what executions cost that append at once and share the way to the disk.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from benchmarks.harness import Bench, Row, Target, interleaved, per
from cerebelum.backends import postgres, sqlite
from cerebelum.backends.sqlite.library import sqlite3
from cerebelum.core.events import GENESIS, Entry, StepCompleted, encode
from cerebelum.core.summary import Summary
from cerebelum.store import EventStore, Ownership

NOW = datetime.now(UTC)
MANY = 16
Append = Callable[[Entry, Summary], None]


def feed(name: str) -> Iterator[tuple[Entry, Summary]]:
    """Entries of about 300 bytes, chained, and what each leaves in the summary."""
    digest, version = GENESIS, 0
    while True:
        version += 1
        event = StepCompleted(version=version, at=NOW, step="build", attempt=1, output="x" * 180, duration=0.25)
        [entry] = encode(name, [event], digest)
        digest = entry.digest
        summary = Summary(
            execution_id=name, workflow="bench", status="running", version=version, digest=digest, started_at=NOW,
            updated_at=entry.at, tags=("nightly",), steps_total=15, steps_done=version % 15, current=("build",),
        )  # fmt: skip
        yield entry, summary


def measure(bench: Bench) -> Iterator[Row]:
    count = 200
    cases = {
        "cerebelum": timed("ours", ours(on_sqlite(bench.path)), count),
        "bare insert": timed("bare", bare(bench.path), count),
    }
    runs = interleaved(cases, bench.pick(40, 8))
    yield Row("an append on SQLite", "µs", per(runs, 1e6 / count), targets=(Target(1.67, "bare insert"),))
    if bench.postgres is not None:
        yield from _on_postgres(bench.postgres, count, bench.pick(15, 4))


def on_sqlite(folder: Path) -> EventStore:
    return sqlite.open_store(f"sqlite:///{folder}/ours.db")


def bare(folder: Path) -> Append:
    """BEGIN IMMEDIATE, INSERT, COMMIT with synchronous=FULL: the least that keeps an event."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE events (execution_id TEXT NOT NULL, version INTEGER NOT NULL, type TEXT NOT NULL, "
        " at INTEGER NOT NULL, data TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (execution_id, version)) STRICT"
    )

    def append(entry: Entry, summary: Summary) -> None:
        connection.execute("BEGIN IMMEDIATE")
        values = (summary.execution_id, entry.version, entry.type, 0, entry.text, entry.digest)
        connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", values)
        connection.execute("COMMIT")

    return append


def ours(store: EventStore) -> Append:
    """The same event with its checks and the summary that `list` reads."""
    fence = Ownership("bench", 1)
    return lambda entry, summary: store.append(summary.execution_id, entry.version - 1, [entry], summary, fence=fence)


def timed(name: str, append: Append, count: int) -> Callable[[], float]:
    """Appends that many events to an execution, and says how long that took; the events are made before."""
    events = feed(name)

    def once() -> float:
        batch = list(itertools.islice(events, count))
        began = time.perf_counter()
        for entry, summary in batch:
            append(entry, summary)
        return time.perf_counter() - began

    return once


def _on_postgres(url: str, count: int, rounds: int) -> Iterator[Row]:
    suffix, joint = os.urandom(4).hex(), "&" if "?" in url else "?"
    plain, summed, one, many = (f"bench_{kind}_{suffix}" for kind in ("bare", "kept", "one", "many"))
    with ExitStack() as stack:
        connection = stack.enter_context(psycopg.connect(url, autocommit=True))
        for schema in (plain, summed, one, many):
            stack.callback(connection.execute, f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'.encode())
        stores = [postgres.open_store(f"{url}{joint}schema={schema}") for schema in (one, many)]
        for store in stores:
            stack.callback(store.close)
        works = [timed(f"bench-{number}", ours(stores[1]), count) for number in range(MANY)]
        cases = {
            "cerebelum": timed("alone", ours(stores[0]), count),
            "bare insert": timed("bare", _inserting(connection, plain), count),
            "bare insert and update in one": timed("bare", _keeping(connection, summed), count),
            f"{MANY} executions at once": lambda: _together(works),
        }
        yield Row("an append on PostgreSQL", "µs", per(interleaved(cases, rounds), 1e6 / count))


def _inserting(connection: psycopg.Connection, schema: str) -> Append:
    """One INSERT per commit: the least that keeps an event."""
    connection.execute(f'CREATE SCHEMA "{schema}"'.encode())
    connection.execute(
        f'CREATE TABLE "{schema}".events (execution_id text NOT NULL, version integer NOT NULL,'
        " type text NOT NULL, at bigint NOT NULL, data text NOT NULL, digest text NOT NULL,"
        " PRIMARY KEY (execution_id, version))".encode()
    )
    sql = f'INSERT INTO "{schema}".events VALUES (%s, %s, %s, %s, %s, %s)'.encode()

    def append(entry: Entry, summary: Summary) -> None:
        values = (summary.execution_id, entry.version, entry.type, 0, entry.text, entry.digest)
        connection.execute(sql, values)

    return append


def _keeping(connection: psycopg.Connection, schema: str) -> Append:
    """The same, where the statement also checks and changes what is known of the execution."""
    _inserting(connection, schema)
    connection.execute(
        f'CREATE TABLE "{schema}".executions (id text PRIMARY KEY, version integer NOT NULL,'
        " digest text NOT NULL, updated_at bigint NOT NULL, steps_done integer NOT NULL, current text NOT NULL,"
        " owner text, epoch bigint NOT NULL) WITH (fillfactor = 70)".encode()
    )
    connection.execute(f"INSERT INTO \"{schema}\".executions VALUES ('bare', 0, '', 0, 0, '', 'bench', 1)".encode())
    sql = (
        f'WITH changed AS (UPDATE "{schema}".executions SET version = %s, digest = %s, updated_at = %s,'
        " steps_done = %s, current = %s WHERE id = %s AND version = %s AND owner = %s AND epoch = %s RETURNING id)"
        f' INSERT INTO "{schema}".events SELECT id, %s, %s, %s, %s, %s FROM changed'
    ).encode()

    def append(entry: Entry, summary: Summary) -> None:
        known = (entry.version, entry.digest, 0, summary.steps_done, summary.current[0])
        where = (summary.execution_id, entry.version - 1, "bench", 1)
        connection.execute(sql, (*known, *where, entry.version, entry.type, 0, entry.text, entry.digest))

    return append


def _together(works: list[Callable[[], float]]) -> float:
    """Seconds per execution for all of them at once, the making of their events included."""
    began = time.perf_counter()
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - began) / len(works)
