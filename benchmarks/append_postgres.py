#!/usr/bin/env python3
"""What an append costs on PostgreSQL beside a bare psycopg loop that inserts the same event, and how many executions
share the way to the disk; all in the same run. Each has a schema of its own.

A second bare loop also keeps a row of the execution up to date, in the same statement, if it has the owner and the
version that are expected: with that much to write, a loop like the first one can hardly be faster.

    benchmarks/append_postgres.py postgresql://user@host/database

It makes schemas of its own there and removes them. Rounds alternate; the medians are compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time
from collections.abc import Callable

import psycopg
from append import Append, feed

from cerebelum.backends.postgres import open_store
from cerebelum.core.events import Entry
from cerebelum.core.summary import Summary
from cerebelum.store import EventStore, Ownership

MANY = 16


def bare(url: str, name: str) -> Append:
    """One INSERT per commit, with synchronous_commit=on: the least that keeps an event."""
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("SET synchronous_commit = on")
    sql = f'INSERT INTO "{name}".events VALUES (%s, %s, %s, %s, %s, %s)'

    def append(entry: Entry, _: Summary) -> None:
        connection.execute(sql, ("bench", entry.version, entry.type, 0, entry.text, entry.digest))

    return append


def kept(url: str, name: str) -> Append:
    """The same, where one statement also checks and changes what is known of the execution."""
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("SET synchronous_commit = on")
    connection.execute(f"INSERT INTO \"{name}\".executions VALUES ('bench', 0, '', 0, 0, '', 'bench', 1)")
    sql = (
        f'WITH changed AS (UPDATE "{name}".executions SET version = %s, digest = %s, updated_at = %s, steps_done = %s,'
        " current = %s WHERE id = %s AND version = %s AND owner = %s AND epoch = %s RETURNING id)"
        f' INSERT INTO "{name}".events SELECT id, %s, %s, %s, %s, %s FROM changed'
    )

    def append(entry: Entry, summary: Summary) -> None:
        known = (entry.version, entry.digest, 0, summary.steps_done, summary.current[0])
        where = ("bench", entry.version - 1, "bench", 1)
        connection.execute(sql, (*known, *where, entry.version, entry.type, 0, entry.text, entry.digest))

    return append


def timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def together(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--appends", type=int, default=200, help="appends of each execution in a round (default: 200)")
    options = parser.parse_args()
    suffix = os.urandom(4).hex()
    schemas = [f"bench_{kind}_{suffix}" for kind in ("bare", "kept", "one", "many")]
    joint = "&" if "?" in options.url else "?"
    with psycopg.connect(options.url, autocommit=True) as admin:
        try:
            for schema in schemas[:2]:
                admin.execute(f'CREATE SCHEMA "{schema}"')
                admin.execute(
                    f'CREATE TABLE "{schema}".events (execution_id text NOT NULL, version integer NOT NULL,'
                    " type text NOT NULL, at bigint NOT NULL, data text NOT NULL, digest text NOT NULL,"
                    " PRIMARY KEY (execution_id, version))"
                )
            admin.execute(
                f'CREATE TABLE "{schemas[1]}".executions (id text PRIMARY KEY, version integer NOT NULL,'
                " digest text NOT NULL, updated_at bigint NOT NULL, steps_done integer NOT NULL, current text NOT NULL,"
                " owner text, epoch bigint NOT NULL) WITH (fillfactor = 70)"
            )
            loops = {"bare": bare(options.url, schemas[0]), "kept": kept(options.url, schemas[1])}
            one, many = (f"{options.url}{joint}schema={schema}" for schema in schemas[2:])
            measure(options, loops, one, many)
        finally:
            for schema in schemas:
                admin.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


def measure(options: argparse.Namespace, loops: dict[str, Append], one: str, many: str) -> None:
    alone, shared = open_store(one), open_store(many)
    count = options.rounds * options.appends
    names = ["alone", *(f"bench-{number}" for number in range(MANY))]
    feeds = {name: list(feed(count, name)) for name in names}
    seconds: dict[str, list[float]] = {"bare": [], "kept": [], "one": [], "many": []}

    def ours(store: EventStore, name: str, number: int) -> None:
        for entry, summary in feeds[name][number * options.appends : (number + 1) * options.appends]:
            store.append(name, entry.version - 1, [entry], summary, fence=Ownership("bench", 1))

    def inserted(loop: Append, number: int) -> None:
        for entry, summary in feeds["alone"][number * options.appends : (number + 1) * options.appends]:
            loop(entry, summary)

    for number in range(options.rounds):
        for name, loop in loops.items():
            seconds[name].append(timed(lambda: inserted(loop, number)) / options.appends)  # noqa: B023
        seconds["one"].append(timed(lambda: ours(alone, "alone", number)) / options.appends)  # noqa: B023
        works = [lambda name=name: ours(shared, name, number) for name in names[1:]]  # noqa: B023
        seconds["many"].append(timed(lambda: together(works)) / options.appends / MANY)  # noqa: B023
    alone.close()
    shared.close()
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"{options.rounds} x {options.appends} appends of one event, each acknowledged by the server's disk")
    texts = {"bare": "INSERT in a bare loop", "kept": "INSERT and UPDATE in one", "one": "one execution"}
    for name, text in (texts | {"many": f"{MANY} executions"}).items():
        print(f"{text:24} {medians[name] * 1e6:7.1f} µs  {1 / medians[name]:7.0f} events/s")
    print(f"INSERT and UPDATE in one: {medians['bare'] / medians['kept']:.2f} x the bare loop's rate")
    print(f"one execution: {medians['bare'] / medians['one']:.2f} x the bare loop's rate")
    print(f"{MANY} executions: {medians['one'] / medians['many']:.2f} x one execution's rate")


if __name__ == "__main__":
    main()
