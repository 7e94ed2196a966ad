#!/usr/bin/env python3
"""How long `list`, `active` and `status` take in a store of many executions, beside a store of few, interleaved.

One execution is run and its rows are copied; one in a thousand of the copies is still waiting. Whole processes are
timed; printed are medians and their ratio.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FLOW = "name: copied\nsteps:\n  - {id: one, run: 'true'}\n  - {id: go, approval: {message: 'Go?'}}\n"
FEW = 1_000
COMMANDS = (("list",), ("active",), ("list", "--status", "failed"), ("status", "x-0"))


def fill(cerebelum: list[str], store: Path, count: int) -> None:
    """A store with `count` executions."""
    flow = store.with_suffix(".yaml")
    flow.write_text(FLOW)
    for name in ("x", "y"):
        run = [*cerebelum, "--store", str(store), "run", str(flow), "--id", name, "--park", "-q"]
        subprocess.run(run, check=False, capture_output=True)
    subprocess.run([*cerebelum, "--store", str(store), "approve", "y"], check=True, capture_output=True)
    subprocess.run([*cerebelum, "--store", str(store), "supervise", "--once", "-q"], check=True, capture_output=True)
    with sqlite3.connect(store) as db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(executions)")]
        kept = [c for c in columns if c not in ("id", "started_at", "updated_at")]
        for name, condition in (("x", "n % 1000 = 0"), ("y", "n % 1000 <> 0")):
            db.execute(
                f"WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n + 1 < {count})"
                f" INSERT INTO executions (id, started_at, updated_at, {', '.join(kept)})"
                f" SELECT 'x-' || n, started_at - (n + 1) * 1000000, updated_at, {', '.join(kept)}"
                f" FROM c, executions WHERE id = '{name}' AND {condition}"
            )
        for name in ("x-0",):
            db.execute(
                "INSERT INTO events SELECT ?, version, type, at, data, digest FROM events WHERE execution_id = 'x'",
                (name,),
            )
    db.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--program", help="a binary instead of the package")
    given = parser.parse_args()
    cerebelum = [given.program] if given.program else [sys.executable, "-m", "cerebelum"]
    with tempfile.TemporaryDirectory() as name:
        stores = {count: Path(name, f"{count}.db") for count in (FEW, given.many)}
        for count, store in stores.items():
            fill(cerebelum, store, count)
        for words in COMMANDS:
            took: dict[int, list[float]] = {count: [] for count in stores}
            for _ in range(given.rounds):
                for count, store in stores.items():
                    begin = time.perf_counter()
                    command = [*cerebelum, *words, "--store", str(store)]
                    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                    took[count].append(time.perf_counter() - begin)
            few, many = (statistics.median(took[count]) * 1000 for count in stores)
            print(
                f"{' '.join(words):24} {FEW:,}: {few:.1f} ms   {given.many:,}: {many:.1f} ms   ratio {many / few:.2f}"
            )


if __name__ == "__main__":
    main()
