#!/usr/bin/env python3
"""How soon an execution goes on after somebody approved, and how soon `watch` shows it, beside SQLite in the same run.

    benchmarks/reaction.py postgresql://user@host/database

A runner and a watcher, processes of their own, wait for an approval; the time is from the approval's being recorded to
the line that the runner, or the watcher, prints of the step after it. On SQLite both look now and then.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from cerebelum.app import App
from cerebelum.sdk.verbs import Verbs

FLOW = "name: ask\nsteps:\n  - {id: go, approval: {message: 'Go?'}}\n  - {id: on, run: 'true'}\n"


def when(process: subprocess.Popen[bytes], step: str, found: list[float]) -> None:
    """Note when the process prints that the step has started."""
    assert process.stdout is not None
    for line in process.stdout:
        said = json.loads(line)
        if said.get("type") == "StepStarted" and said.get("step") == step:
            found.append(time.perf_counter())
            process.stdout.read()
            return


def once(client: Verbs, url: str, folder: Path) -> tuple[float, float]:
    """Seconds until the runner and the watcher say that it goes on."""
    name = f"ask-{os.urandom(4).hex()}"
    program = [sys.executable, "-m", "cerebelum", "--store", url]
    run = [*program, "run", str(folder / "ask.yaml"), "--id", name, "--json"]
    runner = subprocess.Popen(run, stdout=subprocess.PIPE)
    assert runner.stdout is not None
    while json.loads(runner.stdout.readline())["type"] != "ApprovalRequested":
        pass
    watcher = subprocess.Popen([*program, "watch", name, "--json"], stdout=subprocess.PIPE)
    times: list[list[float]] = [[], []]
    threads = [
        threading.Thread(target=when, args=(process, "on", found))
        for process, found in zip((runner, watcher), times, strict=True)
    ]
    for thread in threads:
        thread.start()
    time.sleep(1 + random.random())
    client.approve(name, by="benchmark")
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    runner.wait()
    watcher.wait()
    return times[0][0] - began, times[1][0] - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    schema = f"bench_{os.urandom(4).hex()}"
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "ask.yaml").write_text(FLOW)
        urls = {
            "SQLite": f"sqlite:///{name}/ask.db",
            "PostgreSQL": f"{given.url}{'&' if '?' in given.url else '?'}schema={schema}",
        }
        clients = {kind: App({**os.environ, "CEREBELUM_STORE": url}).client() for kind, url in urls.items()}
        took: dict[str, list[tuple[float, float]]] = {kind: [] for kind in urls}
        for _ in range(given.rounds):
            for kind, url in urls.items():
                took[kind].append(once(clients[kind], url, Path(name)))
        for client in clients.values():
            client.close()
    import psycopg

    with psycopg.connect(given.url, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'.encode())
    for place, who in enumerate(("runner", "watcher")):
        medians = {kind: statistics.median(each[place] for each in times) * 1000 for kind, times in took.items()}
        worst = max(each[place] for each in took["PostgreSQL"]) * 1000
        print(
            f"{who:8} SQLite {medians['SQLite']:6.1f} ms"
            f"   PostgreSQL {medians['PostgreSQL']:6.1f} ms (worst {worst:.1f})"
            f"   ratio {medians['PostgreSQL'] / medians['SQLite']:.2f}"
        )


if __name__ == "__main__":
    main()
