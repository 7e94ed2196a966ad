#!/usr/bin/env python3
"""Steps per second of a chain of Python functions that do nothing, beside the least that making them durable costs.

Each chain is one execution by `run()` of a workflow in Python, from its first event to its last. On disk it stands
beside a bare sqlite3 loop that commits one row per step with synchronous=FULL, in memory beside the same loop in
memory. Rounds alternate; medians are compared. `--parallel` has async functions that wait 0.1 s side by side instead,
and shows how long all of them take.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import operator
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chains import commits, medians

from cerebelum import Builder, step, workflow
from cerebelum.backends.sqlite.library import library_name, library_version
from cerebelum.sdk.workflow import PythonWorkflow


def nothing() -> None:
    return None


async def wait() -> None:
    await asyncio.sleep(0.1)


def chain(count: int) -> PythonWorkflow:
    """A workflow of `count` steps, one after the other."""

    @workflow(name="chain")
    def define(wf: Builder) -> None:
        wf.timeline(*[functools.reduce(operator.rshift, (step(name=f"s{n}")(nothing) for n in range(count)))])

    return define


def group(count: int) -> PythonWorkflow:
    """A workflow of `count` steps side by side."""

    @workflow(name="group", max_parallel=count)
    def define(wf: Builder) -> None:
        wf.timeline([step(name=f"s{n}")(wait) for n in range(count)])

    return define


def executed(store: str, flow: PythonWorkflow) -> float:
    """Seconds that one execution takes, from its first event to its last."""
    result = flow.run(store=store)
    assert result.completed_at is not None
    return (result.completed_at - result.started_at).total_seconds()


def imported(module: str) -> float:
    """Seconds a new interpreter takes with `module` imported, files and all."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - begun


def show_chains(folder: Path, rounds: int, count: int) -> None:
    flow = chain(count)
    for name, database, store in (
        ("disk", str(folder / "bare.db"), str(folder / "chain.db")),
        ("memory", ":memory:", "memory:benchmark"),
    ):
        bare, ours = medians(rounds, lambda d=database: commits(d, count), lambda s=store: executed(s, flow))
        print(f"{name:6}  bare {count / bare:7.0f} commits/s   chain {count / ours:7.0f} steps/s", end="   ")
        print(f"{ours / count * 1e6:5.0f} µs/step   ratio {bare / ours:5.2f}")


def show_group(folder: Path, rounds: int, count: int) -> None:
    flow = group(count)
    [seconds] = medians(rounds, lambda: executed(str(folder / "group.db"), flow))
    print(f"{count} steps that wait 0.1 s, side by side: {seconds:.2f} s in all, {seconds / 0.1:.1f} times as long")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, help="500 in a chain, 1000 in parallel")
    parser.add_argument("--parallel", action="store_true", help="async steps side by side instead of a chain")
    parser.add_argument("--folder", help="where the files are written: name a folder on the disk in question")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        print(f"{library_name()} {library_version()}, {os.cpu_count()} cores, {options.rounds} rounds")
        if options.parallel:
            show_group(folder, options.rounds, options.steps or 1000)
            return
        bare, ours = medians(options.rounds, lambda: imported("sys"), lambda: imported("cerebelum"))
        print(f"import  python {bare * 1e3:5.1f} ms   import cerebelum {(ours - bare) * 1e3:5.1f} ms more (at most 60)")
        show_chains(folder, options.rounds, options.steps or 500)


if __name__ == "__main__":
    main()
