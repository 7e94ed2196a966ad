"""What is waited for before anything happens: whole processes, warm and cold, beside an interpreter that does nothing.

Cold is without what the program reads in the memory of the system; what other processes have mapped stays there.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import click
import msgspec

import cerebelum
from benchmarks.harness import PACKAGE, Bench, Row, Target, interleaved, per, yaml

PYTHON = (sys.executable, "-I", "-c", "pass")
VERBS: dict[str, tuple[str, ...]] = {"--version": ("--version",), "list": ("list",), "status": ("status", "one")}
THEIRS = {"--version": ("version",), "status": ("status",)}
LIMITS = {"--version": 1.3, "list": 3.3, "status": 3.3}
"""How many times as long as the interpreter alone the binary may take."""


def measure(bench: Bench) -> Iterator[Row]:
    flow = yaml(bench.path, "chain", ["run: 'true'"] * 15)
    for program in bench.programs().values():
        bench.seconds([*program, "run", str(flow), "--id", "one", "--or-resume", "--quiet"])
    theirs = dagu(bench)
    for verb, words in VERBS.items():
        commands = {name: [*program, *words] for name, program in bench.programs().items()}
        commands["python3 -I -c pass"] = list(PYTHON)
        if bench.dagu is not None and verb in THEIRS:
            commands["dagu"] = [bench.dagu, *THEIRS[verb], *([str(theirs)] if verb == "status" else [])]
        targets = (Target(LIMITS[verb], "python3 -I -c pass"),) if bench.binary else ()
        runs = interleaved(_cases(bench, commands), bench.pick(25, 7))
        yield Row(f"`{verb}`, warm", "ms", per(runs, 1e3), targets=targets)
        runs = interleaved(_cases(bench, commands, cold=True), bench.pick(7, 2), warm_up=False)
        yield Row(f"`{verb}`, cold", "ms", per(runs, 1e3))
    yield from _in_a_new_store(bench)
    if bench.binary is not None:
        yield _first(bench, bench.binary)
    programs = {f"import {name}": [sys.executable, "-c", f"import {name}"] for name in ("cerebelum", "sys")}
    runs = interleaved(_cases(bench, programs), bench.pick(15, 3))
    yield Row("a Python program that says", "ms", per(runs, 1e3))


def dagu(bench: Bench) -> Path:
    """Its own workflow file, which has been run once."""
    path = bench.path / "dagu.yaml"
    path.write_text("steps:\n" + "".join(f"  - name: s{n}\n    command: 'true'\n" for n in range(15)))
    if bench.dagu is not None:
        bench.seconds([bench.dagu, "start", str(path)])
    return path


def _cases(bench: Bench, commands: Mapping[str, list[str]], *, cold: bool = False) -> dict[str, Callable[[], float]]:
    def case(command: list[str], files: list[Path]) -> Callable[[], float]:
        def once() -> float:
            for file in files:
                evict(file)
            return bench.seconds(command)

        return once

    read = {name: _read_by(bench, name, command) if cold else [] for name, command in commands.items()}
    return {name: case(command, read[name]) for name, command in commands.items()}


def _read_by(bench: Bench, name: str, command: Sequence[str]) -> list[Path]:
    """The files that a program may read."""
    places = [bench.path / ".cache", bench.path / ".local", bench.path / ".config"]
    if name in ("binary", "dagu"):
        places.append(Path(command[0]))
    else:
        library = Path(os.__file__).parent
        places += [*library.glob("*.py"), *(library / name for name in ("__pycache__", "encodings", "collections"))]
        places += [library / name for name in ("importlib", "json", "re", "lib-dynload")]
    if name == "package":
        places += [Path(module.__file__ or "").parent for module in (cerebelum, click, msgspec)]
    return [file for place in places for file in ([place] if place.is_file() else place.rglob("*")) if file.is_file()]


def evict(file: Path) -> None:
    """Have the system forget the content of a file, where nobody has it mapped."""
    descriptor = os.open(file, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def _in_a_new_store(bench: Bench) -> Iterator[Row]:
    """What it takes to make a store, as on a build agent that begins with an empty disk."""
    flow = yaml(bench.path, "short", ["run: 'true'"])
    store = bench.path / "new.db"

    def case(program: Sequence[str], *, new: bool) -> float:
        if new:
            for file in bench.path.glob(f"{store.name}*"):
                file.unlink()
        return bench.seconds([*program, "--store", str(store), "run", str(flow), "--quiet"])

    for name, program in bench.programs().items():
        cases = {
            "new": lambda program=program: case(program, new=True),
            "there": lambda program=program: case(program, new=False),
        }
        runs = per(interleaved(cases, bench.pick(15, 3)), 1e3)
        yield Row(f"`run` of one step, {name}, in a store that is", "ms", runs, targets=(Target(1.25, "there"),))


def _first(bench: Bench, binary: str) -> Row:
    def first() -> float:
        shutil.rmtree(bench.path / ".cache", ignore_errors=True)
        return bench.seconds([binary, "--version"])

    runs = interleaved({"binary": first}, bench.pick(5, 2), warm_up=False)
    return Row(
        "the first start after a download, which unpacks",
        "ms",
        per(runs, 1e3),
        targets=(Target(1000),),
        note=f"the file has {os.path.getsize(binary) / 1e6:.1f} MB",
    )


# -- every millisecond above the interpreter --------------------------------------------------------------------------


def accounts(bench: Bench) -> list[list[str]]:
    """Where the time of a short command goes, in ms: by verb, in the package and in the binary."""
    rounds = bench.pick(15, 3)
    known = {name for name, _ in _imported(bench, [sys.executable, "-X", "importtime", "-c", "pass"])}
    found = {verb: [_account(bench, words, known) for _ in range(rounds)] for verb, words in VERBS.items()}
    middle = {
        verb: {what: statistics.median(each.get(what, 0.0) for each in every) for what in every[0]}
        for verb, every in found.items()
    }
    lines = sorted({what for each in middle.values() for what in each} - {ALL})
    lines.sort(key=lambda what: (not what.startswith("the interpreter"), what.startswith(REST), what))
    return [
        ["ms", *(f"package, `{verb}`" for verb in VERBS)],
        *([what, *(f"{middle[verb].get(what, 0.0):.1f}" for verb in VERBS)] for what in lines),
        [ALL, *(f"**{middle[verb][ALL]:.1f}**" for verb in VERBS)],
        *(_in_the_binary(bench, bench.binary, rounds) if bench.binary else []),
    ]


ALL = "**in all**"
REST = "the work itself, and ending"


def _account(bench: Bench, words: Sequence[str], known: set[str]) -> dict[str, float]:
    """One round: what takes how long. Importing is slower while it is watched, and is scaled by how much."""
    bare, site = bench.seconds(PYTHON) * 1e3, bench.seconds([sys.executable, "-c", "pass"]) * 1e3
    whole = bench.seconds([*PACKAGE, *words]) * 1e3
    began = time.perf_counter()
    modules = list(_imported(bench, [PACKAGE[0], "-X", "importtime", *PACKAGE[1:], *words]))
    watched = (time.perf_counter() - began) * 1e3
    found = {"the interpreter alone (`python3 -I -c pass`)": bare, "`site`, which sets up the environment": site - bare}
    for name, millis in modules:
        if name not in known:
            group = f"importing {group_of(name)}"
            found[group] = found.get(group, 0.0) + millis * min(1.0, whole / watched)
    return {**found, REST: whole - sum(found.values()), ALL: whole}


def _in_the_binary(bench: Bench, binary: str, rounds: int) -> list[list[str]]:
    """The frozen interpreter is asked to do nothing; what a verb takes above that is its own."""
    [inside] = (bench.path / ".cache").rglob("bin/python3")
    commands = {"pass": [str(inside), "-I", "-c", "pass"], **{verb: [binary, *words] for verb, words in VERBS.items()}}
    runs = interleaved(_cases(bench, {"interpreter": list(PYTHON), **commands}), rounds)
    took = {name: statistics.median(values) * 1e3 for name, values in runs.items()}
    more = took["pass"] - took["interpreter"]
    return [
        ["ms", *(f"binary, `{verb}`" for verb in VERBS)],
        ["the interpreter alone (`python3 -I -c pass`)", *[f"{took['interpreter']:.1f}"] * 3],
        ["finding what was unpacked, and its interpreter instead (asked to do nothing)", *[f"{more:+.1f}"] * 3],
        ["imports, the work itself, and ending", *(f"{took[verb] - took['pass']:.1f}" for verb in VERBS)],
        ["**in all**", *(f"**{took[verb]:.1f}**" for verb in VERBS)],
    ]


_LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +([\w.]+)")


def _imported(bench: Bench, command: Sequence[str]) -> Iterator[tuple[str, float]]:
    done = subprocess.run(command, env=bench.environment(), capture_output=True, text=True, check=True)
    for line in done.stderr.splitlines():
        if found := _LINE.match(line):
            yield found[2], int(found[1]) / 1e3


def group_of(module: str) -> str:
    """What an imported module is counted under."""
    root = module.partition(".")[0].lstrip("_")
    if root in ("cerebelum", "msgspec", "click"):
        return root
    if root in ("pysqlite3", "sqlite3"):
        return "SQLite"
    return "the standard library" if module.partition(".")[0] in sys.stdlib_module_names else "others"
