"""How every scenario measures: cases take turns, medians are compared, and what was found has one form."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

PACKAGE = (sys.executable, "-m", "cerebelum")
"""The program as it is installed here."""


class Target(msgspec.Struct, frozen=True):
    """What the first case of a row is to reach."""

    limit: float
    beside: str | None = None
    """The case whose multiple `limit` is; None: it is in the row's own unit."""
    factor: Literal["at most", "at least"] = "at most"


class Row(msgspec.Struct, frozen=True):
    """One thing that was measured: the same by several cases, of which the first is ours."""

    what: str
    unit: str
    runs: dict[str, list[float]]
    """By case: what each round came to."""
    more_is_better: bool = False
    targets: tuple[Target, ...] = ()
    note: str = ""

    def median(self, case: str) -> float:
        return statistics.median(self.runs[case])

    def ours(self) -> str:
        return next(iter(self.runs))

    def ratio(self, case: str) -> float:
        """Ours, so many times that case."""
        return self.median(self.ours()) / self.median(case)

    def missed(self) -> list[Target]:
        """The targets that are not reached."""
        return [target for target in self.targets if not self._reached(target)]

    def _reached(self, target: Target) -> bool:
        if target.beside is not None and target.beside not in self.runs:
            return True
        value = self.median(self.ours()) if target.beside is None else self.ratio(target.beside)
        return value <= target.limit if target.factor == "at most" else value >= target.limit


class Bench(msgspec.Struct, frozen=True):
    """What a scenario gets to work with. A peer that is None is left out."""

    folder: str
    """Empty, on the disk in question."""
    quick: bool = False
    binary: str | None = None
    dagu: str | None = None
    dbos: str | None = None
    """The interpreter that has it."""
    postgres: str | None = None
    """The URL of a database in which schemas may be made."""

    @property
    def path(self) -> Path:
        return Path(self.folder)

    def pick(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def programs(self) -> dict[str, tuple[str, ...]]:
        """The program in its forms, by the name of the case; the binary first."""
        return {**({} if self.binary is None else {"binary": (self.binary,)}), "package": PACKAGE}

    def environment(self) -> dict[str, str]:
        """Variables for a program, with a home of its own in the folder."""
        return {"HOME": self.folder, "PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}

    def seconds(self, command: Sequence[str], cwd: Path | None = None, most: float | None = None) -> float:
        """How long a whole process takes. Raises CalledProcessError, and TimeoutExpired after `most` seconds."""
        environment = self.environment()
        began = time.perf_counter()
        done = subprocess.run(
            command,
            env=environment,
            cwd=cwd,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
            timeout=most,
        )
        took = time.perf_counter() - began
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, stderr=done.stderr)
        return took

    def peak(self, command: Sequence[str], cwd: Path | None = None) -> float:
        """The most memory in MB that a process holds; what it takes in its last milliseconds may be missed."""
        with subprocess.Popen(
            command, env=self.environment(), cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            most = 0.0
            while process.poll() is None:
                most = max(most, memory(process.pid, "VmHWM"))
                time.sleep(0.002)
        return most


def interleaved(
    cases: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: bool = True
) -> dict[str, list[float]]:
    """What each case came to, round by round; the cases take turns, so that a slow moment hits all of them."""
    for case in cases.values() if warm_up else ():
        case()
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            found[name].append(case())
    return found


def per(runs: Mapping[str, Iterable[float]], factor: float) -> dict[str, list[float]]:
    """The same in another unit, so many times as large."""
    return {case: [value * factor for value in values] for case, values in runs.items()}


def rates(runs: Mapping[str, Iterable[float]], count: int) -> dict[str, list[float]]:
    """How many a second, where each took so many seconds for `count`."""
    return {case: [count / value for value in values] for case, values in runs.items()}


def memory(pid: int, what: str = "VmRSS") -> float:
    """MB that a process holds (VmRSS) or held at most (VmHWM); 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{what}:")), 0.0)


def yaml(folder: Path, name: str, steps: Iterable[str], head: str = "") -> Path:
    """A workflow file of these steps, one after the other, each as it stands in braces."""
    path = folder / f"{name}.yaml"
    body = "".join(f"  - {{id: s{number}, {step}}}\n" for number, step in enumerate(steps))
    path.write_text(f"name: {name}\n{head}steps:\n{body}")
    return path


def parallel(folder: Path, name: str, step: str, count: int, most: int) -> Path:
    """A workflow file of `count` such steps side by side, `most` of them at once."""
    path = folder / f"{name}.yaml"
    body = "".join(f"      - {{id: s{number}, {step}}}\n" for number in range(count))
    path.write_text(f"name: {name}\nmax_parallel: {most}\nsteps:\n  - parallel:\n{body}")
    return path
