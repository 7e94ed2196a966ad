"""What catching file descriptors 1 and 2 adds to steps that are functions in the runner's own process.

The same chain of steps, each of which prints a line, is run with the descriptors caught (as on the command line) and
left alone (as in somebody else's process); every run is a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.harness import Bench, Row, interleaved, per, yaml

CHILD = """
import sys
from pathlib import Path
from cerebelum.backends.sqlite import open_store
from cerebelum.plugins import python
from cerebelum.sdk.verbs import Verbs
from cerebelum.steps import descriptors

if sys.argv[1] == "caught":
    descriptors.allow(lambda out, err: None)
client = Verbs(lambda: open_store(f"sqlite:///{sys.argv[1]}.db"), lambda: {"python": python.Python()})
state = client.run(Path("prints.yaml"), {}).state
assert state.ended == "completed", state.error
Path("seconds").write_text(str((state.ended_at - state.started_at).total_seconds()))
"""


def measure(bench: Bench) -> Iterator[Row]:
    steps = bench.pick(500, 200)
    (bench.path / "tasks.py").write_text("def say():\n    print('a line')\n")
    yaml(bench.path, "prints", ["python: 'tasks.py:say'"] * steps)

    def run(way: str) -> float:
        command = [sys.executable, "-c", CHILD, way]
        subprocess.run(command, cwd=bench.path, check=True, stdout=subprocess.DEVNULL)
        return float((bench.path / "seconds").read_text())

    runs = interleaved({way: lambda way=way: run(way) for way in ("caught", "left alone")}, bench.pick(5, 2))  # type: ignore[misc]
    yield Row("a Python step that prints, descriptors", "µs", per(runs, 1e6 / steps))
