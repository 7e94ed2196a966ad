"""What steps cost that wait side by side, from few to many: processor time for each, and how long all of them take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from benchmarks.harness import Bench, Row, Target, interleaved, parallel, per
from benchmarks.scenarios.chains import execution
from cerebelum import Builder, step, workflow
from cerebelum.sdk.workflow import PythonWorkflow


def measure(bench: Bench) -> Iterator[Row]:
    sizes = (2_000, 250) if not bench.quick else (500, 100)

    def cost(size: int) -> float:
        path = parallel(bench.path, f"waits{size}", "sleep: 1s", size, 1_000)
        began = time.process_time()
        execution(bench.path, path)
        return (time.process_time() - began) / size

    cases = {f"{size:,} steps": lambda size=size: cost(size) for size in sizes}
    runs = interleaved(cases, bench.pick(3, 1))
    target = Target(1.25, f"{sizes[1]} steps")
    yield Row("processor time of a step that sleeps, among", "µs", per(runs, 1e6), targets=(target,))
    count = bench.pick(1_000, 200)
    flow = group(count)
    store = str(bench.path / "group.db")
    runs = interleaved({"all": lambda: _took(flow, store)}, bench.pick(5, 2))
    yield Row(f"{count:,} async functions that wait 0.1 s, side by side", "s", runs)


async def wait() -> None:
    await asyncio.sleep(0.1)


def group(count: int) -> PythonWorkflow:
    """A workflow of `count` steps side by side."""

    @workflow(name="group", max_parallel=count)
    def define(wf: Builder) -> None:
        wf.timeline([step(name=f"s{n}")(wait) for n in range(count)])

    return define


def _took(flow: PythonWorkflow, store: str) -> float:
    result = flow.run(store=store)
    assert result.completed_at is not None
    return (result.completed_at - result.started_at).total_seconds()
