#!/usr/bin/env python3
"""How fast a step's output is captured, and what that costs in memory, beside a pipe that throws the same bytes away.

Each measurement is a process of its own, so that the growth of its memory is that of one run.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cerebelum.backends.sqlite import open_store
from cerebelum.plugins import shell
from cerebelum.sdk.verbs import Verbs

PRINTER = "yes 'a line of output as a build tool prints them, of about eighty bytes in all, say' | head -c {}"


def baseline(size: int) -> float:
    """Seconds that the same bytes take through one pipe."""
    begun = time.perf_counter()
    subprocess.run(["bash", "-c", f"{PRINTER.format(size)} | cat > /dev/null"], check=True)
    return time.perf_counter() - begun


def captured(folder: str, size: int) -> tuple[float, float]:
    """Seconds a step takes that prints `size` bytes, and by how many MiB it lets the runner's memory grow."""
    executors = {executor.key: executor for executor in shell.cerebelum_executors()}
    client = Verbs(lambda: open_store(f"sqlite:///{folder}/output.db"), lambda: executors)
    path = Path(folder) / "flow.yaml"
    path.write_text("steps: [{id: warm, run: echo warm}]\n")
    client.run(path, {})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path.write_text(f"steps:\n  - id: print\n    run: {PRINTER.format(size)}\n")
    state = client.run(path, {}).state
    client.close()
    # `head` ends before `yes` does, which then dies of SIGPIPE: with pipefail that is no success, and no matter here.
    seconds = state.steps["print"].duration or 0.0
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def measured(folder: str | None, size: int) -> tuple[float, float]:
    """`captured`, in a fresh process."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        command = [sys.executable, __file__, "--capture", place, "--size", str(size)]
        seconds, grown = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        return seconds, grown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=1 << 30, help="bytes to print (default: 1 GiB)")
    parser.add_argument("--folder", help="where the store is written: name a folder on the disk in question")
    parser.add_argument("--capture", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.capture:
        print(json.dumps(captured(options.capture, options.size)))
        return
    rounds = [(baseline(options.size), *measured(options.folder, options.size)) for _ in range(options.rounds)]
    bare, ours, grown = (statistics.median(column) for column in zip(*rounds, strict=True))
    megabytes = options.size / 1e6
    print(f"{megabytes:.0f} MB, {options.rounds} rounds")
    print(f"pipe to /dev/null  {megabytes / bare:7.0f} MB/s")
    print(f"captured           {megabytes / ours:7.0f} MB/s   (at least 100)   {bare / ours:.2f} of the pipe's rate")
    print(f"memory grew by     {grown:7.1f} MiB    (less than 64)")


if __name__ == "__main__":
    main()
