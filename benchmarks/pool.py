"""Executions per second of a pool, by the number of workers, and statements per execution.

    python -m benchmarks.pool [--executions 60] [--steps 5] [--workers 1,2,4]

A server of its own, workers as processes, executions of so many steps that do nothing (`true`).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from cerebelum.app import App
from cerebelum.core.events import Queued
from cerebelum.sdk import pool
from cerebelum.store import Query
from tests.servers.postgres import Postgres, programs, schema_of, with_schema, without_schema


def main(arguments: list[str]) -> int:
    """The script; returns the exit code."""
    parser = argparse.ArgumentParser(prog="pool")
    parser.add_argument("--executions", type=int, default=60)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--concurrency", type=int, default=1)
    wanted = parser.parse_args(arguments)
    binaries = programs()
    assert binaries is not None, "no Postgres is installed"
    folder = Path(tempfile.mkdtemp(prefix="cerebelum-pool-"))
    folder.chmod(0o755)
    server = Postgres(folder / "server", binaries)
    server.start()
    try:
        for workers in map(int, wanted.workers.split(",")):
            measure(server, folder, workers, wanted.executions, wanted.steps, wanted.concurrency)
    finally:
        server.kill()
    return 0


def measure(server: Postgres, folder: Path, workers: int, executions: int, steps: int, concurrency: int) -> None:
    """Print what so many workers do."""
    url = with_schema(server.url, f"pool_{workers}")
    environ = {**os.environ, "CEREBELUM_STORE": url, "HOME": str(folder)}
    flow = folder / "flow.yaml"
    lines = "".join(f"  - {{id: s{at}, run: 'true'}}\n" for at in range(steps))
    flow.write_text(f"name: none\nportable: true\nsteps:\n{lines}")
    app = App(environ)
    client = app.client()
    began = time.monotonic()
    for _ in range(executions):
        pool.submit(client, flow, {}, Queued("build"))
    submitted = executions / (time.monotonic() - began)
    before = _transactions(url)
    command = [sys.executable, "-m", "cerebelum", "worker", "--queue", "build", "--concurrency", str(concurrency)]
    began = time.monotonic()
    crew = [
        subprocess.Popen([*command, "--quiet"], env={**environ, "CEREBELUM_HOST": f"agent-{at}"}, cwd=folder)
        for at in range(workers)
    ]
    first = None
    while (left := len(client.store.find(Query(status=("queued", "running"), limit=1000)).rows)) > 0:
        if first is None and left < executions:
            first = time.monotonic()
        time.sleep(0.05)
    took = time.monotonic() - (first or began)
    for worker in crew:
        worker.terminate()
    for worker in crew:
        worker.wait()
    transactions = (_transactions(url) - before) / executions
    print(
        f"{workers} workers of {concurrency}: {executions / took:.1f} executions/s of {steps} steps,"
        f" {transactions:.0f} transactions each; submitted {submitted:.0f}/s",
        flush=True,
    )
    app.close()
    with psycopg.connect(without_schema(url), autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA "{schema_of(url)}" CASCADE')


def _transactions(url: str) -> int:
    time.sleep(1.2)
    with psycopg.connect(without_schema(url), autocommit=True) as connection:
        row = connection.execute(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
