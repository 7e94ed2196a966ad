#!/usr/bin/env python3
"""What `watch` costs while nothing happens, and how soon it shows an event, beside a process that does nothing.

A run waits in a step; `watch --json` follows it for a while, and its processor time is taken, as is that of a process
that sleeps in Python as often. Then the step is let go, and the time from its event to the line of `watch` is taken.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

FLOW = "name: watched\nsteps:\n" + "".join(
    f"  - {{id: s{n}, run: 'until test -e go{n}; do sleep 0.02; done'}}\n" for n in range(10)
)
IDLE = "import time\nwhile True: time.sleep(0.1)"


def ticks(pid: int) -> int:
    """Processor time of a process so far, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    cerebelum = [sys.executable, "-m", "cerebelum", "--store", "x.db"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "flow.yaml").write_text(FLOW)
        run = subprocess.Popen([*cerebelum, "run", "flow.yaml", "--id", "x", "-q"], cwd=folder)
        while subprocess.run([*cerebelum, "status", "x"], cwd=folder, capture_output=True, check=False).returncode:
            time.sleep(0.05)
        watch = subprocess.Popen([*cerebelum, "watch", "x", "--json"], cwd=folder, stdout=subprocess.PIPE)
        idle = subprocess.Popen([sys.executable, "-c", IDLE])
        assert watch.stdout is not None
        time.sleep(1.0)
        before = {process.pid: ticks(process.pid) for process in (watch, idle)}
        time.sleep(given.seconds)
        whole = given.seconds * os.sysconf("SC_CLK_TCK") / 100
        for what, process in (("watch", watch), ("a process that sleeps as often", idle)):
            print(f"{what}: {(ticks(process.pid) - before[process.pid]) / whole:.2f} % of a core")
        idle.kill()
        idle.wait()
        late = []
        for n in range(10):
            (folder / f"go{n}").touch()
            while True:
                event = json.loads(watch.stdout.readline())
                if event["type"] == "StepCompleted" and event["step"] == f"s{n}":
                    late.append(time.time() - datetime.fromisoformat(event["at"]).timestamp())
                    break
        watch.wait()
        run.wait()
        print(f"an event is shown after {statistics.median(late) * 1000:.0f} ms, at most {max(late) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
