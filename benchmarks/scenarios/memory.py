"""What is held in memory: by a runner whose step waits, over many steps, and by `supervise` over many sleepers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from benchmarks.copies import copy
from benchmarks.harness import PACKAGE, Bench, Row, Target, memory, yaml
from cerebelum.backends.sqlite import open_store
from cerebelum.backends.sqlite.library import sqlite3

# Says at which step how much is held; /proc is asked by the step itself, which is a function in the runner's process.
TASKS = """
import os
from pathlib import Path

at = 0

def nothing():
    global at
    at += 1
    if at in (1000, {last}):
        size = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        with open("sizes", "a") as file:
            file.write(f"{{size}}\\n")
"""


def measure(bench: Bench) -> Iterator[Row]:
    yield Row("a runner whose step waits", "MB", at_rest(bench), targets=(Target(35),))
    yield growth(bench)
    yield from sleepers(bench)


@contextmanager
def running(bench: Bench, command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended in the end."""
    process = subprocess.Popen(
        command, env=bench.environment(), cwd=bench.path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def at_rest(bench: Bench) -> dict[str, list[float]]:
    """By form of the program, two seconds into a step."""
    flow = yaml(bench.path, "waits", ["run: 'true'", "run: touch waiting && sleep 1000"])
    sizes: dict[str, list[float]] = {}
    # The package first: the limit is about it.
    for name, program in reversed(bench.programs().items()):
        for _ in range(bench.pick(3, 1)):
            (bench.path / "waiting").unlink(missing_ok=True)
            with running(bench, [*program, "run", str(flow), "-q"]) as process:
                while not (bench.path / "waiting").exists():
                    time.sleep(0.01)
                time.sleep(2)
                sizes.setdefault(name, []).append(memory(process.pid))
    return sizes


def growth(bench: Bench) -> Row:
    """After the 1,000th Python step and after the last, in one process."""
    last = bench.pick(10_000, 2_000)
    (bench.path / "tasks.py").write_text(TASKS.format(last=last))
    flow = yaml(bench.path, "many", ["python: 'tasks.py:nothing'"] * last)
    bench.seconds([*PACKAGE, "run", str(flow), "-q"], bench.path)
    early, late = map(float, (bench.path / "sizes").read_text().split())
    runs = {f"at step {last:,}": [late], "at step 1,000": [early]}
    return Row("a runner of many steps", "MB", runs, targets=(Target(1.05, "at step 1,000"),))


def sleepers(bench: Bench) -> Iterator[Row]:
    """`supervise` of a store full of executions that sleep for long, of which one wakes up."""
    count = bench.pick(100_000, 10_000)
    path = bench.path / "sleepers.db"
    program = [*PACKAGE, "--store", str(path)]
    flow = yaml(bench.path, "sleeps", ["sleep: 30d", "run: 'true'"])
    run = [*program, "run", str(flow), "--id", "first", "--park", "-q"]
    subprocess.run(run, env=bench.environment(), check=False, capture_output=True)
    store = open_store(f"sqlite:///{path}")
    copy(store, "first", count)
    store.close()
    sizes, idle, late = [], [], []
    with running(bench, [*program, "supervise", "-q"]) as process:
        time.sleep(3)
        for number in range(bench.pick(5, 2)):
            ticks = processor(process.pid)
            time.sleep(2)
            idle.append((processor(process.pid) - ticks) / 2 * 100)
            sizes.append(memory(process.pid))
            late.append(_woken(bench, program, path, f"wakes-{number}"))
    yield Row(f"supervise of {count:,} that sleep", "MB", {"supervise": sizes})
    yield Row("… share of one processor", "%", {"supervise": idle})
    yield Row("… from the end of a sleep to the next step", "ms", {"supervise": late}, targets=(Target(1500),))


def processor(pid: int) -> float:
    """Seconds of processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _woken(bench: Bench, program: Sequence[str], path: Path, name: str) -> float:
    """ms from the moment that a sleep is over to the start of the step after it."""
    flow = yaml(bench.path, "wakes", ["sleep: 1500ms", "run: 'true'"])
    run = [*program, "run", str(flow), "--id", name, "--park", "-q"]
    subprocess.run(run, env=bench.environment(), check=False, capture_output=True)
    connection = sqlite3.connect(path)
    asked = "SELECT type, at, data FROM events WHERE execution_id = ? ORDER BY version"
    while True:
        events = connection.execute(asked, (name,)).fetchall()
        if events and events[-1][0] == "ExecutionCompleted":
            break
        time.sleep(0.05)
    connection.close()
    started = [at for kind, at, _ in events if kind == "StepStarted"][-1]
    until = next(data for kind, _, data in events if kind == "SleepStarted").partition('"until":"')[2].partition('"')[0]
    return float(started) / 1e3 - datetime.fromisoformat(until).timestamp() * 1e3


if sys.platform != "linux":
    raise SystemExit("memory is read from /proc, which only Linux has")
