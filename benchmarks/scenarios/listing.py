"""How long `list`, `active` and `status` take in a store of many executions, beside a store of few: whole processes.

Two executions are run and their rows are copied: one in a thousand of the copies is still waiting, one in ten has a
second tag.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import PACKAGE, Bench, Row, Target, interleaved, per

FLOW = "name: copied\nsteps:\n  - {id: one, run: 'true'}\n  - {id: go, approval: {message: 'Go?'}}\n"
FEW = 1_000
COMMANDS = (
    ("list",),
    ("active",),
    ("list", "--status", "failed"),
    ("list", "--status", "completed", "--status", "waiting_for_approval"),
    ("list", "--workflow", "copied", "--status", "completed"),
    ("list", "--tag", "nightly"),
    ("list", "--tag", "nightly", "--tag", "tenth", "--status", "completed"),
    ("list", "--tag", "nightly", "--status", "waiting_for_approval"),
    ("status", "x-0"),
)
_COPIED = (
    "workflow",
    "status",
    "reason",
    "version",
    "digest",
    "ended_at",
    "due_at",
    "tags",
    "correlation_id",
    "parent",
)
COPIED = (*_COPIED, "steps_total", "steps_done", "current", "owner", "epoch")


def measure(bench: Bench) -> Iterator[Row]:
    yield from _in(bench, "SQLite", None, bench.pick(1_000_000, 50_000))
    if bench.postgres is not None:
        yield from _in(bench, "PostgreSQL", bench.postgres, bench.pick(200_000, 20_000))


def _in(bench: Bench, where: str, database: str | None, many: int) -> Iterator[Row]:
    program = (bench.binary,) if bench.binary else PACKAGE
    urls, remove = places(database, bench.path, (FEW, many))
    try:
        for count, url in urls.items():
            fill(program, url, bench.path, count)
        for words in COMMANDS[:: 1 if not bench.quick else 4]:
            cases = {
                f"of {count:,}": lambda url=url, words=words: bench.seconds([*program, *words, "--store", url])
                for count, url in reversed(urls.items())
            }
            runs = interleaved(cases, bench.pick(9, 3))
            targets = (Target(1.5, f"of {FEW:,}"),)
            yield Row(f"`{' '.join(words)}` on {where}", "ms", per(runs, 1e3), targets=targets)
    finally:
        remove()


def fill(cerebelum: Sequence[str], url: str, folder: Path, count: int) -> None:
    """A store with `count` executions and the two that they are copies of."""
    flow = folder / "flow.yaml"
    flow.write_text(FLOW)
    program = [*cerebelum, "--store", url]
    for name in ("x", "y"):
        run = [*program, "run", str(flow), "--id", name, "--tag", "nightly", "--park", "-q"]
        subprocess.run(run, check=False, capture_output=True)
    subprocess.run([*program, "approve", "y"], check=True, capture_output=True)
    subprocess.run([*program, "supervise", "--once", "-q"], check=True, capture_output=True)
    fill_sqlite(url.removeprefix("sqlite:///"), count) if url.startswith("sqlite") else fill_postgres(url, count)


def statements(count: int, numbers: str, prefix: str, token: str) -> list[str]:
    """SQL that copies the two executions."""
    columns = ", ".join(COPIED)
    return [
        *(
            f"INSERT INTO {prefix}executions (id, started_at, updated_at, {columns})"
            f" SELECT 'x-' || n, started_at - (n + 1) * 1000000, updated_at, {columns}"
            f" FROM {numbers}, {prefix}executions WHERE id = '{name}' AND n < {count} AND {condition}"
            for name, condition in (("x", "n % 1000 = 0"), ("y", "n % 1000 <> 0"))
        ),
        (
            f"INSERT INTO {prefix}events (execution_id, version, type, at, data, digest{token})"
            f" SELECT 'x-0', version, type, at, data, digest{token} FROM {prefix}events WHERE execution_id = 'x'"
        ),
    ]


def fill_sqlite(path: str, count: int) -> None:
    numbers = f"(WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n + 1 < {count}) SELECT n FROM c)"
    with sqlite3.connect(path) as db:
        for statement in statements(count, numbers, "", ""):
            db.execute(statement)
        tags = "INSERT OR IGNORE INTO tags SELECT {}, started_at, id FROM executions WHERE id LIKE 'x-%{}'"
        for tag, end in (("nightly", ""), ("tenth", "7")):
            db.execute(tags.format(repr(tag), end))
    db.close()


def fill_postgres(url: str, count: int) -> None:
    import psycopg

    base, _, schema = url.rpartition("schema=")
    numbers = f"generate_series(0::bigint, {count - 1}) AS n"
    with psycopg.connect(base.rstrip("?&"), autocommit=True) as db:
        for statement in statements(count, numbers, f"{schema}.", ", token"):
            db.execute(statement.encode())
        # The trigger has added the first tag.
        tagged = f"SELECT 'tenth', started_at, id FROM {schema}.executions WHERE id LIKE 'x-%7'"
        db.execute(f"INSERT INTO {schema}.tags {tagged}".encode())
        db.execute(f"VACUUM ANALYZE {schema}.executions, {schema}.tags, {schema}.events".encode())


def places(database: str | None, folder: Path, counts: tuple[int, ...]) -> tuple[dict[int, str], Callable[[], Any]]:
    """The stores' URLs by size, and what removes them."""
    if database is None:
        return {count: f"sqlite:///{folder}/{count}.db" for count in counts}, lambda: None
    import psycopg

    names = {count: f"bench_{count}_{os.urandom(3).hex()}" for count in counts}

    def remove() -> None:
        with psycopg.connect(database, autocommit=True) as db:
            for name in names.values():
                db.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE'.encode())

    joint = "&" if "?" in database else "?"
    return {count: f"{database}{joint}schema={name}" for count, name in names.items()}, remove
