"""How fast a step's output is taken and kept, beside `tee` into a file, and by how much the runner's memory grows.

Each measurement is a process of its own. Of such an output the first and the last part are kept, 16 MiB together.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from benchmarks.harness import Bench, Row, Target, rates

PRINTER = "yes 'a line of output as a build tool prints them, of about eighty bytes in all, say' | head -c {}"
CHILD = """
import json, os, sys
from pathlib import Path
from benchmarks.harness import memory
from cerebelum.backends.sqlite import open_store
from cerebelum.plugins import shell
from cerebelum.sdk.verbs import Verbs

folder, printer = sys.argv[1:]
executors = {executor.key: executor for executor in shell.cerebelum_executors()}
client = Verbs(lambda: open_store(f"sqlite:///{folder}/output.db"), lambda: executors)
path = Path(folder) / "flow.yaml"
path.write_text("steps: [{id: warm, run: echo warm}]\\n")
client.run(path, {})
before = memory(os.getpid(), "VmHWM")
path.write_text(f"steps:\\n  - id: print\\n    run: {printer}\\n")
# `head` ends before `yes` does, which then dies of SIGPIPE: with pipefail that is no success, and no matter here.
state = client.run(path, {}).state
client.close()
print(json.dumps([state.steps["print"].duration, memory(os.getpid(), "VmHWM") - before]))
"""


def measure(bench: Bench) -> Iterator[Row]:
    size = bench.pick(1_000_000_000, 100_000_000)
    printer = PRINTER.format(size)

    def piped(into: str) -> Callable[[], float]:
        def once() -> float:
            began = time.perf_counter()
            subprocess.run(["bash", "-c", f"{printer} | {into}"], check=True, cwd=bench.path)
            return time.perf_counter() - began

        return once

    runs: dict[str, list[float]] = {"captured": [], "tee": [], "cat": []}
    grown = []
    for _ in range(bench.pick(3, 2)):
        command = [sys.executable, "-c", CHILD, str(bench.path), printer]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        seconds, more = json.loads(done.stdout)
        runs["captured"].append(seconds)
        grown.append(more)
        runs["tee"].append(piped("tee log > /dev/null")())
        runs["cat"].append(piped("cat > /dev/null")())
        (bench.path / "log").unlink()
    named = {"captured": runs["captured"], "tee into a file": runs["tee"], "cat to /dev/null": runs["cat"]}
    yield Row(
        f"{size / 1e6:,.0f} MB from one step",
        "MB/s",
        rates(named, size // 1_000_000),
        True,
        (Target(100, factor="at least"),),
    )
    yield Row("… memory of the runner grows by", "MB", {"runner": grown}, targets=(Target(64),))
