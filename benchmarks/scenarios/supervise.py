"""A crowd of executions that all become due, driven by one `supervise --once`, beside what the disk can take.

Each sleeps, and then runs four Python functions that do nothing. The disk's limit is a bare loop that commits as many
events at a time as a commit of ours had, and one event at a time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.copies import copy
from benchmarks.harness import PACKAGE, Bench, Row, yaml
from benchmarks.scenarios.durable import EVENT
from cerebelum.backends.sqlite import open_store
from cerebelum.backends.sqlite.library import sqlite3

STEPS = 4


def measure(bench: Bench) -> Iterator[Row]:
    count = bench.pick(1_000, 200)
    due = prepared(bench, count)
    rounds = bench.pick(3, 1)
    for most in (16, 1_000):
        runs: dict[str, list[float]] = {"supervise": []}
        together: list[float] = []
        for _ in range(rounds):
            took, events, commits = driven(bench, due, most)
            runs["supervise"].append(events / took)
            together.append(events / commits)
            each = max(1, round(events / commits))
            runs.setdefault("a bare loop, as many to a commit", []).append(bare(bench.path, each))
            runs.setdefault("a bare loop, one to a commit", []).append(bare(bench.path, 1))
        yield Row(f"events of {count:,} executions in one supervise, {most} at once", "events/s", runs, True)
        yield Row("… events in a commit", "events", {"supervise": together}, True)


def prepared(bench: Bench, count: int) -> Path:
    """A store whose executions are all due."""
    (bench.path / "tasks.py").write_text("def nothing():\n    return None\n")
    flow = yaml(bench.path, "crowd", ["sleep: 0.1s", *["python: 'tasks.py:nothing'"] * STEPS])
    path = bench.path / "due.db"
    run = [*PACKAGE, "--store", str(path), "run", str(flow), "--id", "first", "--park", "-q"]
    subprocess.run(run, env=bench.environment(), check=False, capture_output=True)
    store = open_store(f"sqlite:///{path}")
    copy(store, "first", count - 1)
    store.close()
    time.sleep(0.2)
    return path


def driven(bench: Bench, due: Path, most: int) -> tuple[float, int, int]:
    """Seconds that the whole process takes, and how many events and commits it made."""
    path = bench.path / "crowd.db"
    for file in bench.path.glob("crowd.db*"):
        file.unlink()
    shutil.copy(due, path)
    # Held open, so that the file beside it in which SQLite counts its commits stays.
    with sqlite3.connect(path, isolation_level=None) as connection:
        before, made = _events(connection), _commits(path)
        took = bench.seconds([*PACKAGE, "--store", str(path), "supervise", "--once", "--max", str(most), "-q"])
        [left] = connection.execute("SELECT count(*) FROM executions WHERE status <> 'completed'").fetchone()
        assert not left, f"{left} executions were not completed"
        counted = _events(connection) - before, _commits(path) - made
    connection.close()
    return took, *counted


def _events(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])


def _commits(path: Path) -> int:
    """So many transactions were written, says the third number of the index of the write-ahead log.

    Another process reads it: to open and close the file here would drop the locks that SQLite holds on it.
    """
    asked = ["od", "-An", "-tu4", "-j8", "-N4", f"{path}-shm"]
    return int(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)


def bare(folder: Path, each: int) -> float:
    """Events a second of a loop that commits so many at a time, synchronous=FULL."""
    path = folder / f"bare-{os.urandom(4).hex()}.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, data TEXT NOT NULL)")
    commits = max(50, 2_000 // each)
    began = time.perf_counter()
    for _ in range(commits):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO events (data) VALUES (?)", [(EVENT,)] * each)
        connection.execute("COMMIT")
    took = time.perf_counter() - began
    connection.close()
    return commits * each / took
