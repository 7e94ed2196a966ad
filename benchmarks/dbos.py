#!/usr/bin/env python3
"""A chain of steps that do nothing, beside the same chain on DBOS, both on SQLite with their default durable settings.

DBOS: one @DBOS.workflow that calls one @DBOS.step, which returns None, so many times; timed from the call of the
workflow to its result, in a process that has launched DBOS before. Ours: one @workflow of so many @step, one after the
other, timed from the first event to the last, and once more as the whole call of `run()`, which also opens the store
and checks the workflow. Both record the outcome of each step on disk before the next one begins (SQLite's
synchronous=FULL; ours keeps a write-ahead log, DBOS SQLite's default journal), and both files are in the same folder.

DBOS gets an environment of its own in that folder, with pip. Rounds alternate; medians are compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from chains import medians
from steps import chain, executed

THEIRS = """\
import json, sys, time
from importlib.metadata import version
from dbos import DBOS

DBOS(config={"name": "chain", "system_database_url": f"sqlite:///{sys.argv[1]}", "log_level": "ERROR"})

@DBOS.step()
def nothing():
    return None

@DBOS.workflow()
def chain(count):
    for _ in range(count):
        nothing()

DBOS.launch()
print(json.dumps(version("dbos")), flush=True)
for line in sys.stdin:
    begun = time.perf_counter()
    chain(int(line))
    print(json.dumps(time.perf_counter() - begun), flush=True)
DBOS.destroy()
"""


class Dbos:
    """A process with DBOS in it."""

    def __init__(self, folder: Path, requirement: str) -> None:
        home = folder / "dbos"
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        python = home / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", requirement], check=True)
        script = home / "chain.py"
        script.write_text(THEIRS)
        self._process = subprocess.Popen(
            [python, script, folder / "dbos.sqlite"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.version = str(self._answer())

    def chain(self, count: int) -> float:
        """Seconds that a workflow of `count` steps takes."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--folder", help="where the files are written: name a folder on the disk in question")
    parser.add_argument("--dbos", default="dbos", help="the requirement for pip, such as dbos==3.4.0")
    options = parser.parse_args()
    count = options.steps
    whole: list[float] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        flow = chain(count)
        dbos = Dbos(folder, options.dbos)

        def ours() -> float:
            begun = time.perf_counter()
            seconds = executed(str(folder / "ours.db"), flow)
            whole.append(time.perf_counter() - begun)
            return seconds

        try:
            theirs, events = medians(options.rounds, lambda: dbos.chain(count), ours)
        finally:
            dbos.close()
    call = sorted(whole[1:])[len(whole[1:]) // 2]
    print(f"DBOS {dbos.version}  {count / theirs:7.0f} steps/s")
    print(f"ours        {count / events:7.0f} steps/s   ratio {theirs / events:5.1f} (at least 5)")
    print(f"whole run   {count / call:7.0f} steps/s   ratio {theirs / call:5.1f}")


if __name__ == "__main__":
    main()
