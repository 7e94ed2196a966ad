#!/usr/bin/env python3
"""What catching file descriptors 1 and 2 adds to steps that are functions in the runner's own process.

The same chain of steps, each of which prints a line, is run with the descriptors left alone (as in somebody else's
process) and caught (as on the command line); every run is a process of its own, rounds alternate, medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import os, sys
from pathlib import Path
from cerebelum.backends.sqlite import open_store
from cerebelum.plugins import python
from cerebelum.sdk.verbs import Verbs
from cerebelum.steps import descriptors

if sys.argv[1] == "caught":
    descriptors.allow(lambda out, err: None)
client = Verbs(lambda: open_store(f"sqlite:///{sys.argv[1]}.db"), lambda: {"python": python.Python()})
state = client.run(Path("chain.yaml"), {}).state
assert state.ended == "completed", state.error
Path("seconds").write_text(str((state.ended_at - state.started_at).total_seconds()))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=500)
    given = parser.parse_args()
    took: dict[str, list[float]] = {"left alone": [], "caught": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tasks.py").write_text("def say():\n    print('a line')\n")
        steps = "".join(f"  - {{id: s{n}, python: 'tasks.py:say'}}\n" for n in range(given.steps))
        (folder / "chain.yaml").write_text(f"name: chain\nsteps:\n{steps}")
        for _ in range(given.rounds):
            for way, seconds in took.items():
                subprocess.run([sys.executable, "-c", CHILD, way], cwd=folder, check=True, stdout=subprocess.DEVNULL)
                seconds.append(float((folder / "seconds").read_text()))
    per_step = {way: statistics.median(seconds) / given.steps * 1e6 for way, seconds in took.items()}
    for way, micros in per_step.items():
        print(f"{way:>11}: {micros:7.0f} us a step")
    print(f"      ratio: {per_step['caught'] / per_step['left alone']:7.2f}")


if __name__ == "__main__":
    main()
