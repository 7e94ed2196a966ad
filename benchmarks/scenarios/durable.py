"""Python functions that do nothing, one after the other, each recorded on disk before the next one begins.

Beside the same chain on DBOS with its default settings, from the call of the workflow to its result in a process that
has launched DBOS before, and beside a bare loop that commits one row per step to the same disk, from the first event to
the last.
"""

from __future__ import annotations

import functools
import json
import operator
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.harness import Bench, Row, Target, interleaved, rates
from cerebelum import Builder, step, workflow
from cerebelum.sdk.workflow import PythonWorkflow

EVENT = "x" * 180
THEIRS = """\
import json, sys, time
from dbos import DBOS

DBOS(config={"name": "chain", "system_database_url": sys.argv[1], "log_level": "ERROR"})

@DBOS.step()
def nothing():
    return None

@DBOS.workflow()
def chain(count):
    for _ in range(count):
        nothing()

DBOS.launch()
print("0", flush=True)
for line in sys.stdin:
    begun = time.perf_counter()
    chain(int(line))
    print(json.dumps(time.perf_counter() - begun), flush=True)
DBOS.destroy()
"""


def nothing() -> None:
    return None


def chain(count: int) -> PythonWorkflow:
    """A workflow of `count` steps, one after the other."""

    @workflow(name="chain")
    def define(wf: Builder) -> None:
        wf.timeline(*[functools.reduce(operator.rshift, (step(name=f"s{n}")(nothing) for n in range(count)))])

    return define


class Dbos:
    """A process with DBOS in it."""

    def __init__(self, python: str, folder: Path, url: str) -> None:
        script = folder / "theirs.py"
        script.write_text(THEIRS)
        self._process = subprocess.Popen(
            [python, script, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
        )
        self._answer()

    def chain(self, count: int) -> float:
        """Seconds that a workflow of `count` steps takes."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Ours:
    """The chain in this process; `inner` are the seconds of each run from the first event to the last."""

    def __init__(self, store: str, count: int) -> None:
        self._store, self._flow = store, chain(count)
        self.inner: list[float] = []

    def __call__(self) -> float:
        began = time.perf_counter()
        result = self._flow.run(store=self._store)
        took = time.perf_counter() - began
        assert result.completed_at is not None
        self.inner.append((result.completed_at - result.started_at).total_seconds())
        return took


def measure(bench: Bench) -> Iterator[Row]:
    count = bench.pick(1_000, 300)
    store = str(bench.path / "ours.db")
    bare = lambda: commits(str(bench.path / "bare.db"), count)  # noqa: E731
    yield from _on(bench, "SQLite", store, bare, f"sqlite:///{bench.path}/dbos.sqlite", count, (5.0, 0.6))
    if bench.postgres is not None:
        yield from _on_postgres(bench, bench.postgres, count)
    ours = Ours("memory:benchmark", count)
    runs = interleaved({"cerebelum": ours, "bare loop": lambda: commits(":memory:", count)}, bench.pick(7, 3))
    yield Row("steps in memory (`memory:`), nothing kept", "steps/s", rates(runs, count), True)


def _on_postgres(bench: Bench, url: str, count: int) -> Iterator[Row]:
    import psycopg

    schema = f"bench_{os.urandom(4).hex()}"
    with ExitStack() as stack:
        connection = stack.enter_context(psycopg.connect(url, autocommit=True))
        connection.execute(f'CREATE SCHEMA "{schema}_bare"'.encode())
        connection.execute(f'CREATE TABLE "{schema}_bare".events (id bigserial PRIMARY KEY, data text)'.encode())
        for name in (schema, f"{schema}_bare"):
            stack.callback(connection.execute, f'DROP SCHEMA IF EXISTS "{name}" CASCADE'.encode())
        insert = f'INSERT INTO "{schema}_bare".events (data) VALUES (%s)'.encode()

        def bare() -> float:
            began = time.perf_counter()
            for _ in range(count):
                connection.execute(insert, (EVENT,))
            return time.perf_counter() - began

        ours = f"{url}{'&' if '?' in url else '?'}schema={schema}"
        theirs = "postgresql+psycopg://" + url.partition("://")[2]
        yield from _on(bench, "PostgreSQL", ours, bare, theirs, count, (3.0, None))


def _on(
    bench: Bench,
    where: str,
    store: str,
    bare: Callable[[], float],
    theirs: str,
    count: int,
    limits: tuple[float, float | None],
) -> Iterator[Row]:
    ours = Ours(store, count)
    rounds = bench.pick(7, 3)
    cases: dict[str, Callable[[], float]] = {"cerebelum": ours}
    with ExitStack() as stack:
        if bench.dbos is not None:
            dbos = Dbos(bench.dbos, bench.path, theirs)
            stack.callback(dbos.close)
            cases["DBOS"] = lambda: dbos.chain(count)
        cases["bare commits"] = bare
        runs = interleaved(cases, rounds)
    by_events = {"cerebelum": ours.inner[1:], "bare commits": runs.pop("bare commits")}
    yield Row(
        f"steps on {where}, the whole call",
        "steps/s",
        rates(runs, count),
        True,
        (Target(limits[0], "DBOS", "at least"),),
    )
    targets = () if limits[1] is None else (Target(limits[1], "bare commits", "at least"),)
    yield Row(f"steps on {where}, first event to last", "steps/s", rates(by_events, count), True, targets)


def commits(database: str, count: int) -> float:
    """Seconds for `count` events, one per transaction, synchronous=FULL."""
    from cerebelum.backends.sqlite.library import sqlite3

    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, data TEXT NOT NULL)")
    begun = time.perf_counter()
    for _ in range(count):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO events (data) VALUES (?)", (EVENT,))
        connection.execute("COMMIT")
    seconds = time.perf_counter() - begun
    connection.close()
    return seconds
