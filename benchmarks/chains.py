#!/usr/bin/env python3
"""What the engine adds to a chain of steps, beside the least such steps can cost, measured in the same run.

Shell: 100 steps `true` beside `subprocess.run` of the same command. Python: in-process functions that do nothing
beside a bare sqlite3 loop that makes one event durable per commit. Rounds alternate; medians are compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cerebelum.backends.sqlite import open_store
from cerebelum.backends.sqlite.library import library_name, library_version, sqlite3
from cerebelum.plugins import python, shell
from cerebelum.sdk.verbs import Verbs

COMMAND = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", "true"]
EVENT = "x" * 180


def workflow(folder: Path, name: str, steps: list[str]) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(f"name: {name}\nsteps:\n" + "".join(f"  - {{id: s{n}, {step}}}\n" for n, step in enumerate(steps)))
    return path


def chain(folder: Path, path: Path, number: int) -> float:
    """Seconds that one execution takes, from its first event to its last."""
    executors = {e.key: e for e in [*shell.cerebelum_executors(), *python.cerebelum_executors()]}
    client = Verbs(lambda: open_store(f"sqlite:///{folder}/{path.stem}.db"), lambda: executors)
    try:
        state = client.run(path, {}).state
    finally:
        client.close()
    assert state.ended == "completed", state.error
    assert state.ended_at is not None
    return (state.ended_at - state.started_at).total_seconds()


def processes(count: int) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        subprocess.run(COMMAND, check=True)
    return time.perf_counter() - begun


def commits(database: str, count: int) -> float:
    """Seconds for `count` events, one per transaction, synchronous=FULL."""
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


def medians(rounds: int, *loops: Callable[[], float]) -> list[float]:
    """The median seconds of each loop, after a round that does not count."""
    for loop in loops:
        loop()
    taken = [[loop() for loop in loops] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*taken, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--shell-steps", type=int, default=100)
    parser.add_argument("--python-steps", type=int, default=2000)
    parser.add_argument("--folder", help="where the files are written: name a folder on the disk in question")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        (folder / "tasks.py").write_text("def nothing():\n    return None\n")
        print(f"{library_name()} {library_version()}, {os.cpu_count()} cores, {options.rounds} rounds")
        count = options.shell_steps
        path = workflow(folder, "shell", ["run: 'true'"] * count)
        bare, ours = medians(options.rounds, lambda: processes(count), lambda: chain(folder, path, count))
        print(f"shell   bare {bare / count * 1e3:6.2f} ms/step   chain {ours / count * 1e3:6.2f} ms/step", end="   ")
        print(f"beyond {(ours - bare) / count * 1e3:5.2f} ms/step (at most 2.5)")
        steps = options.python_steps
        path = workflow(folder, "python", ["python: 'tasks.py:nothing'"] * steps)
        bare, ours = medians(
            options.rounds, lambda: commits(f"{folder}/bare.db", steps), lambda: chain(folder, path, steps)
        )
        print(f"python  bare {steps / bare:6.0f} commits/s  chain {steps / ours:6.0f} steps/s", end="    ")
        print(f"ratio {bare / ours:5.2f} (at least 0.50)")


if __name__ == "__main__":
    main()
