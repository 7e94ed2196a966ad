#!/usr/bin/env python3
"""What a step costs that sleeps beside many others, from few to many: processor time per step, and the ratio.

All steps of a run sleep at once; each costs five events. A ratio near 1 (or below: the start counts, too) says that
what a step costs does not depend on how many others there are.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from cerebelum.backends.sqlite import open_store
from cerebelum.plugins import sleep
from cerebelum.sdk.verbs import Verbs


def cost(folder: Path, count: int) -> float:
    """Seconds of processor time per step of a run with `count` of them."""
    path = folder / f"{count}.yaml"
    steps = "".join(f"      - {{id: s{n}, sleep: 1s}}\n" for n in range(count))
    path.write_text(f"name: waits\nmax_parallel: 1000\nsteps:\n  - parallel:\n{steps}")
    executors = {e.key: e for e in sleep.cerebelum_executors()}
    client = Verbs(lambda: open_store(f"sqlite:///{folder}/{count}.db"), lambda: executors)
    try:
        begun = time.process_time()
        assert client.run(path, {}).state.ended == "completed"
        return (time.process_time() - begun) / count
    finally:
        client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[250, 500, 1000, 2000])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        cost(Path(name), 10)
        first = None
        for count in given.counts:
            each = cost(Path(name), count)
            first = first or each
            print(f"{count:>6} steps: {each * 1e6:6.0f} us each, ratio {each / first:.2f}")


if __name__ == "__main__":
    main()
