"""Counts the instructions of fixed work, and compares them with those recorded: times on shared machines prove nothing.

    python -m benchmarks.check                   fails (1) where something takes over 10 % more than recorded
    python -m benchmarks.check --record          writes benchmarks/counts.json anew
    python -m benchmarks.check fold append       these alone

Exit code 2: valgrind is not there. Counts of another build of Python, or of other libraries, mean nothing beside the
recorded ones: that is said, and the exit code is 0.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks.counted import WORKS
from benchmarks.results import stderr

COUNTS = Path(__file__).resolve().parent / "counts.json"
STARTS = {"--version": ["--version"], "list": ["list"], "status": ["status", "one"]}
"""Whole processes of the package, by the name of what is counted."""
MOST = 1.10


class Counts(msgspec.Struct, frozen=True):
    built: dict[str, str]
    """What a count depends on besides our code."""
    instructions: dict[str, int]


def built() -> dict[str, str]:
    from cerebelum.backends.sqlite.library import library_name, library_version

    done = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True)
    return {
        "python": f"{sys.version} at {platform.machine()}, {' '.join(platform.libc_ver())}",
        "msgspec": version("msgspec"),
        "click": version("click"),
        "sqlite": f"{library_name()} {library_version()}",
        "valgrind": done.stdout.strip(),
    }


def collected(command: list[str], home: Path) -> int:
    """How many instructions a process takes. Raises RuntimeError."""
    environment = {"PATH": os.defpath, "HOME": str(home), "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--"]
    root = COUNTS.parent.parent
    done = subprocess.run([*valgrind, *command], env=environment, cwd=root, capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return int(found[1])


def counted(name: str, home: Path) -> int:
    """How many instructions what has that name takes."""
    if name in STARTS:
        return collected([sys.executable, "-m", "cerebelum", *STARTS[name]], home)
    once, twice = (collected([sys.executable, "-m", "benchmarks.counted", name, times], home) for times in "12")
    return twice - once


def all_counted(names: list[str]) -> dict[str, int]:
    """The instructions by name, so many at once as there are processors."""
    with tempfile.TemporaryDirectory(prefix="cerebelum-count-") as folder:
        home = Path(folder)
        flow = home / "chain.yaml"
        flow.write_text("name: chain\nsteps:\n" + "".join(f"  - {{id: s{n}, run: 'true'}}\n" for n in range(15)))
        run = [sys.executable, "-m", "cerebelum", "run", str(flow), "--id", "one", "-q"]
        subprocess.run(run, env={"PATH": os.defpath, "HOME": folder}, check=True, capture_output=True)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return dict(zip(names, pool.map(lambda name: counted(name, home), names), strict=True))


def verdict(name: str, count: int, recorded: int | None) -> tuple[str, bool]:
    """A line about a count, and whether it is too much."""
    if recorded is None:
        return f"{name:10} {count:15,} instructions, recorded: none; --record writes it", True
    ratio = count / recorded
    words = f"{name:10} {count:15,} instructions, {ratio:.3f} × the recorded {recorded:,}"
    return (f"{words}: TOO MUCH, at most {MOST:.2f}", True) if ratio > MOST else (words, False)


def differences(here: dict[str, str], recorded: dict[str, str]) -> list[str]:
    """Lines that say why counts made here mean nothing beside the recorded ones; none if they do."""
    return [
        f"NOTHING IS COMPARED: {what} is {now}; recorded with {recorded.get(what)}"
        for what, now in here.items()
        if recorded.get(what) != now
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check", description="Counts instructions.")
    names = [*WORKS, *STARTS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all, unless some are named: {', '.join(names)}")
    parser.add_argument("--record", action="store_true", help="write the counts down instead of comparing them")
    given = parser.parse_args()
    if unknown := sorted(set(given.names) - set(names)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(names)}")
    if shutil.which("valgrind") is None:
        stderr("valgrind is not there, so no instructions can be counted; install it (apt-get install valgrind)")
        return 2
    here = built()
    recorded = msgspec.json.decode(COUNTS.read_bytes(), type=Counts) if COUNTS.exists() else Counts(here, {})
    if (lines := differences(here, recorded.built)) and not given.record:
        stderr("\n".join(lines))
        return 0
    counts = all_counted(given.names or names)
    if given.record:
        kept = recorded.instructions if recorded.built == here else {}
        COUNTS.write_bytes(msgspec.json.format(msgspec.json.encode(Counts(here, {**kept, **counts})), indent=1) + b"\n")
        print(f"{len(counts)} counts are recorded in benchmarks/counts.json")
        return 0
    verdicts = [verdict(name, count, recorded.instructions.get(name)) for name, count in counts.items()]
    print("\n".join(line for line, _ in verdicts))
    return 1 if any(much for _, much in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
