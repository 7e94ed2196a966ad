#!/usr/bin/env python3
"""What an append costs beside a bare sqlite3 loop that makes the same event durable, in the same run.

Rounds of both alternate, so that a slow moment of the disk hits both; the medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from cerebelum.backends.sqlite import open_store
from cerebelum.backends.sqlite.library import library_name, library_version, sqlite3
from cerebelum.core.events import GENESIS, Entry, StepCompleted, encode
from cerebelum.core.summary import Summary
from cerebelum.store import Ownership

NOW = datetime.now(UTC)
ID = "bench-0123456789"


Append = Callable[[Entry, Summary], None]


def feed(count: int, name: str = ID) -> Iterator[tuple[Entry, Summary]]:
    """Entries of about 300 bytes, chained, and what each leaves in the summary."""
    digest = GENESIS
    for version in range(1, count + 1):
        event = StepCompleted(version=version, at=NOW, step="build", attempt=1, output="x" * 180, duration=0.25)
        [entry] = encode(name, [event], digest)
        digest = entry.digest
        yield (
            entry,
            Summary(
                execution_id=name, workflow="bench", status="running", version=version, digest=digest, started_at=NOW,
                updated_at=entry.at, tags=("nightly",), steps_total=15, steps_done=version % 15, current=("build",),
            ),
        )  # fmt: skip


def bare(folder: Path) -> Append:
    """BEGIN IMMEDIATE, INSERT, COMMIT with synchronous=FULL: the least that keeps an event."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE events (execution_id TEXT NOT NULL, version INTEGER NOT NULL, type TEXT NOT NULL, "
        " at INTEGER NOT NULL, data TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (execution_id, version)) STRICT"
    )

    def append(entry: Entry, _: Summary) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", (ID, entry.version, entry.type, 0, entry.text, entry.digest)
        )
        connection.execute("COMMIT")

    return append


def ours(folder: Path) -> Append:
    """The same event with its checks and the summary that `list` reads."""
    store = open_store(f"sqlite:///{folder}/ours.db")
    fence = Ownership("bench", 1)
    return lambda entry, summary: store.append(ID, entry.version - 1, [entry], summary, fence=fence)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--appends", type=int, default=200, help="appends in a round (default: 200)")
    parser.add_argument("--folder", help="where the files are written: name a folder on the disk in question")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        loops = {"bare": bare(Path(folder)), "ours": ours(Path(folder))}
        feeds = {name: list(feed(options.rounds * options.appends)) for name in loops}
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        for number in range(options.rounds):
            for name, append in loops.items():
                batch = feeds[name][number * options.appends : (number + 1) * options.appends]
                start = time.perf_counter()
                for entry, summary in batch:
                    append(entry, summary)
                seconds[name].append((time.perf_counter() - start) / options.appends)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"{library_name()} {library_version()}, {options.rounds} x {options.appends} appends of one event, FULL")
    for name, median in medians.items():
        print(f"{name:5} {median * 1e6:7.1f} µs  {1 / median:7.0f} events/s")
    print(f"ratio {medians['ours'] / medians['bare']:7.2f}")


if __name__ == "__main__":
    main()
