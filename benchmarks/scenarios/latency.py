"""How soon an execution goes on after somebody approved, and how soon another terminal shows what happens.

A runner and a watcher, processes of their own, wait for an approval; the time is from the approval's being recorded to
the line that the runner, or the watcher, prints of the step after it. On SQLite both look now and then.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.harness import PACKAGE, Bench, Row
from cerebelum.app import App
from cerebelum.sdk.verbs import Verbs

FLOW = "name: ask\nsteps:\n  - {id: go, approval: {message: 'Go?'}}\n  - {id: on, run: 'true'}\n"


def measure(bench: Bench) -> Iterator[Row]:
    (bench.path / "ask.yaml").write_text(FLOW)
    urls = {"SQLite": f"sqlite:///{bench.path}/ask.db"}
    with ExitStack() as stack:
        if bench.postgres is not None:
            import psycopg

            schema = f"bench_{os.urandom(4).hex()}"
            admin = stack.enter_context(psycopg.connect(bench.postgres, autocommit=True))
            stack.callback(admin.execute, f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'.encode())
            urls["PostgreSQL"] = f"{bench.postgres}{'&' if '?' in bench.postgres else '?'}schema={schema}"
        clients = {kind: App({**os.environ, "CEREBELUM_STORE": url}).client() for kind, url in urls.items()}
        took: dict[str, list[tuple[float, float]]] = {kind: [] for kind in urls}
        for _ in range(bench.pick(10, 3)):
            for kind, url in urls.items():
                took[kind].append(once(bench, clients[kind], url))
        for client in clients.values():
            client.close()
    for place, what in enumerate(("from an approval to the next step", "from an event to the line of `watch`")):
        yield Row(what, "ms", {kind: [each[place] * 1e3 for each in times] for kind, times in took.items()})


def when(process: subprocess.Popen[bytes], step: str, found: list[float]) -> None:
    """Note when the process prints that the step has started."""
    assert process.stdout is not None
    for line in process.stdout:
        said = json.loads(line)
        if said.get("type") == "StepStarted" and said.get("step") == step:
            found.append(time.perf_counter())
            process.stdout.read()
            return


def once(bench: Bench, client: Verbs, url: str) -> tuple[float, float]:
    """Seconds until the runner and the watcher say that it goes on."""
    name = f"ask-{os.urandom(4).hex()}"
    program = [*PACKAGE, "--store", url]
    run = [*program, "run", str(bench.path / "ask.yaml"), "--id", name, "--json"]
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
    # Long enough for the watcher to have come, and at any moment between two looks.
    time.sleep(1 + random.random())
    client.approve(name, by="benchmark")
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    runner.wait()
    watcher.wait()
    return times[0][0] - began, times[1][0] - began
