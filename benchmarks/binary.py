#!/usr/bin/env python3
"""What the binary costs beside the interpreter alone, and beside dagu if that is given. Whole processes, in turn.

    benchmarks/binary.py dist/cerebelum [--dagu PATH] [--rounds N]

Medians and minima in ms; ratios of medians are what is promised. On a busy machine look at the minima.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

LIMITS = {"--version": 1.3, "list": 3.3, "status": 3.3}
"""How many times as long as `python3 -I -c pass` a command may take."""
STEPS = 15


def seconds(command: list[str], env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def chain(folder: Path, body: str, name: str) -> Path:
    path = folder / name
    path.write_text(body)
    return path


def in_turn(cases: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Times by case; the cases take turns, so that a busy moment hits all of them."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, once in cases.items():
            found[name].append(once())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--dagu", help="a dagu program, as in the npm package @dagu-org/dagu-linux-x64")
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    binary = str(given.binary.resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = {"HOME": name, "PATH": os.defpath, "LANG": "C.UTF-8"}
        steps = "".join(f"  - {{id: s{n}, run: 'true'}}\n" for n in range(STEPS))
        ours = chain(folder, f"name: chain\nsteps:\n{steps}", "chain.yaml")

        def first() -> float:
            shutil.rmtree(folder / ".cache", ignore_errors=True)
            return seconds([binary, "--version"], env)

        unpacking = [first() for _ in range(3)]
        seconds([binary, "run", str(ours), "--id", "one", "--quiet"], env)
        cases: dict[str, Callable[[], float]] = {
            "python3 -I -c pass": lambda: seconds([sys.executable, "-I", "-c", "pass"], env),
            "--version": lambda: seconds([binary, "--version"], env),
            "list": lambda: seconds([binary, "list"], env),
            "status": lambda: seconds([binary, "status", "one"], env),
            f"{STEPS} x true": lambda: seconds([binary, "run", str(ours), "--quiet"], env),
        }
        if given.dagu:
            lines = "".join(
                f"  - name: s{n}\n    command: 'true'\n" + (f"    depends: [s{n - 1}]\n" if n else "")
                for n in range(STEPS)
            )
            theirs = chain(folder, f"steps:\n{lines}", "dagu.yaml")
            cases["dagu"] = lambda: seconds([given.dagu, "start", str(theirs)], env)
        found = in_turn(cases, given.rounds)
    print(f"{'size':20} {os.path.getsize(binary) / 1e6:7.1f} MB, at most 20")
    print(
        f"{'first start':20} {min(unpacking) * 1e3:7.0f} ms at best, {max(unpacking) * 1e3:.0f} at worst; at most 1000"
    )
    base = found["python3 -I -c pass"]
    for case, times in found.items():
        middle, least = statistics.median(times), min(times)
        ratio = f"{middle / statistics.median(base):5.2f} x python3 ({least / min(base):.2f} of minima)"
        if case.endswith("true") and "dagu" in found:
            ratio = f"{middle / statistics.median(found['dagu']):5.2f} x dagu, at most 1.5"
        limit = f", at most {LIMITS[case]}" if case in LIMITS else ""
        print(f"{case:20} {middle * 1e3:7.1f} ms, least {least * 1e3:.1f}   {ratio}{limit}")


if __name__ == "__main__":
    main()
