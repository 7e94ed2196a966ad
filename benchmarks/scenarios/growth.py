"""Whether a step costs the same in an execution of 100 steps and in one of 10,000, from the first event to the last."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.harness import Bench, Row, Target, interleaved, per, yaml
from benchmarks.scenarios.chains import dagu_chain, execution

FEW = 100
MOST = 90


def measure(bench: Bench) -> Iterator[Row]:
    sizes = (10_000, 1_000, FEW) if not bench.quick else (1_000, FEW)
    (bench.path / "tasks.py").write_text("def nothing():\n    return None\n")
    for kind, step in (("Python", "python: 'tasks.py:nothing'"), ("shell", "run: 'true'")):
        cases: dict[str, Callable[[], float]] = {}
        for size in sizes:
            path = yaml(bench.path, f"{kind}{size}", [step] * size)
            # A few of the small ones, so that a slow moment weighs the same.
            times = max(1, min(10, sizes[0] // 2 // size))
            cases[f"{size:,} steps"] = lambda path=path, size=size, times=times: (
                sum(execution(bench.path, path) for _ in range(times)) / times / size  # type: ignore[misc]
            )
        runs = interleaved(cases, bench.pick(3, 2))
        target = Target(1.1, f"{FEW} steps")
        yield Row(f"time of a {kind} step in a chain of", "ms", per(runs, 1e3), targets=(target,))
    if bench.dagu is not None and not bench.quick:
        yield from _whole(bench, bench.dagu, sizes[-2::-1])


def _whole(bench: Bench, dagu: str, sizes: tuple[int, ...]) -> Iterator[Row]:
    """Whole processes, few rounds; dagu is ended after a while, since its time grows with the square."""
    for size in sizes:
        ours = yaml(bench.path, f"whole{size}", ["run: 'true'"] * size)
        theirs = dagu_chain(bench.path, size)
        cases: dict[str, Callable[[], float]] = {
            name: partial(bench.seconds, [*program, "run", str(ours), "--quiet"])
            for name, program in bench.programs().items()
        }
        cases["dagu"] = partial(_bounded, bench, [dagu, "start", "--quiet", str(theirs)])
        runs = interleaved(cases, 2 if size == 1_000 else 1, warm_up=False)
        note = f"dagu was ended after {MOST} s" if runs["dagu"][0] >= MOST else ""
        yield Row(f"a chain of {size:,} `true` steps", "s", runs, targets=(Target(1.0, "dagu"),), note=note)


def _bounded(bench: Bench, command: list[str]) -> float:
    try:
        return bench.seconds(command, most=MOST)
    except subprocess.TimeoutExpired:
        return float(MOST)
