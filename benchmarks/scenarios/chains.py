"""Workflows of shell steps that do nothing, as whole processes, and what the engine adds to bare processes.

What the engine adds is taken from the first event to the last, beside `subprocess.run` of the same command.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.harness import Bench, Row, Target, interleaved, parallel, per, yaml

BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")


def measure(bench: Bench) -> Iterator[Row]:
    commands: dict[str, list[str]] = {}
    for count, limit in ((15, 1.5), (100, 1.0)):
        ours = yaml(bench.path, f"chain{count}", ["run: 'true'"] * count)
        commands = _commands(bench, ours, dagu_chain(bench.path, count))
        cases = {name: lambda command=command: bench.seconds(command) for name, command in commands.items()}
        runs = interleaved(cases, bench.pick(20 if count == 15 else 10, 3))
        yield Row(f"a chain of {count} `true` steps", "ms", per(runs, 1e3), targets=(Target(limit, "dagu"),))
    peaks = {name: lambda command=command: bench.peak(command) for name, command in commands.items()}
    yield Row("memory at most, in the chain of 100", "MB", interleaved(peaks, bench.pick(5, 2), warm_up=False))
    ours = parallel(bench.path, "group", "run: 'true'", 100, 8)
    commands = _commands(bench, ours, dagu_group(bench.path, 100, 8))
    cases = {name: lambda command=command: bench.seconds(command) for name, command in commands.items()}
    runs = interleaved(cases, bench.pick(10, 3))
    yield Row("100 independent `true` steps, 8 at once", "ms", per(runs, 1e3), targets=(Target(1.0, "dagu"),))
    yield from beyond(bench)


def _commands(bench: Bench, ours: Path, theirs: Path) -> dict[str, list[str]]:
    programs = bench.programs().items()
    commands = {name: [*program, "run", str(ours), "--quiet"] for name, program in programs}
    return {**commands, **({} if bench.dagu is None else {"dagu": [bench.dagu, "start", "--quiet", str(theirs)]})}


def dagu_chain(folder: Path, count: int) -> Path:
    """Its form of a chain."""
    path = folder / f"dagu{count}.yaml"
    needs = ["", *(f"    depends: [s{n}]\n" for n in range(count - 1))]
    path.write_text("steps:\n" + "".join(f"  - name: s{n}\n    command: 'true'\n{needs[n]}" for n in range(count)))
    return path


def dagu_group(folder: Path, count: int, most: int) -> Path:
    """Its form of steps side by side."""
    path = folder / "dagugroup.yaml"
    steps = "".join(f"  - name: s{n}\n    command: 'true'\n" for n in range(count))
    path.write_text(f"type: graph\nmaxActiveSteps: {most}\nsteps:\n{steps}")
    return path


def beyond(bench: Bench) -> Iterator[Row]:
    """What the engine adds to each step, and the bare command beside it."""
    count = bench.pick(100, 50)
    for what, script, bare in (
        ("one program (`true`)", "true", ("true",)),
        ("a script for bash (`true && true`)", "true && true", (*BASH, "true && true")),
    ):
        path = yaml(bench.path, f"beyond{len(script)}", [f"run: {script}"] * count)
        cases: dict[str, Callable[[], float]] = {
            "chain": lambda path=path: execution(bench.path, path),  # type: ignore[misc]
            "subprocess.run": lambda bare=bare: processes(bare, count),  # type: ignore[misc]
        }
        runs = per(interleaved(cases, bench.pick(9, 3)), 1e3 / count)
        yield Row(f"a shell step that is {what}", "ms", runs)
        more = [ours - least for ours, least in zip(runs["chain"], runs["subprocess.run"], strict=True)]
        yield Row("… beyond the bare command", "ms", {"chain": more}, targets=(Target(2.5),))


def processes(command: tuple[str, ...], count: int) -> float:
    """Seconds for so many, one after the other."""
    began = time.perf_counter()
    for _ in range(count):
        subprocess.run(command, check=True)
    return time.perf_counter() - began


def execution(folder: Path, path: Path, database: str | None = None) -> float:
    """Seconds that one execution takes in this process, from its first event to its last."""
    from cerebelum.backends.sqlite import open_store
    from cerebelum.plugins import python, shell, sleep
    from cerebelum.sdk.verbs import Verbs

    every = [*shell.cerebelum_executors(), *python.cerebelum_executors(), *sleep.cerebelum_executors()]
    executors = {executor.key: executor for executor in every}
    client = Verbs(lambda: open_store(f"sqlite:///{folder}/{database or path.stem}.db"), lambda: executors)
    try:
        state = client.run(path, {}).state
    finally:
        client.close()
    assert state.ended == "completed", state.error
    assert state.ended_at is not None
    return (state.ended_at - state.started_at).total_seconds()
