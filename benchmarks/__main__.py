"""Runs the scenarios, prints a table of medians with ratios, and keeps everything as JSON.

python -m benchmarks [SCENARIO ...] [--quick] [--binary PATH] [--into FILE]
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from benchmarks import peers
from benchmarks.harness import Bench
from benchmarks.report import table
from benchmarks.results import FOLDER, PARTIAL, Results, Scenario, load, machine, save, stderr, today, versions

SCENARIOS = (
    *("startup", "chains", "growth", "durable", "append", "supervise", "reading", "listing"),
    *("output", "memory", "latency", "waits", "copying", "descriptors"),
)
BINARY = Path(__file__).resolve().parent.parent / "dist" / "cerebelum"


@contextmanager
def database(folder: Path) -> Iterator[str | None]:
    """The URL of a database of a server that runs meanwhile; None, with a line, where there is none."""
    try:
        from tests.servers.postgres import Postgres, hand_over, private_folder, programs
    except ImportError as error:
        stderr(f"PostgreSQL is left out: {error}")
        yield None
        return
    binaries = programs()
    if binaries is None:
        stderr("PostgreSQL is left out: no server is installed")
        yield None
        return
    place = private_folder()
    hand_over(place)
    server = Postgres(place / "server", binaries)
    server.start()
    try:
        yield server.url
    finally:
        server.kill()
        subprocess.run(["rm", "-rf", str(place)], check=False)


def measured(name: str, bench: Bench, folder: Path) -> Scenario:
    """What a scenario finds, in a process of its own. Raises CalledProcessError."""
    place = folder / name
    place.mkdir()
    asked = msgspec.json.encode(msgspec.structs.replace(bench, folder=str(place)))
    found = folder / f"{name}.json"
    command = [sys.executable, "-m", "benchmarks", "--child", name, "--found", str(found)]
    subprocess.run(command, input=asked, check=True)
    return msgspec.json.decode(found.read_bytes(), type=Scenario)


def child(name: str, found: Path) -> None:
    """In that process."""
    bench = msgspec.json.decode(sys.stdin.buffer.read(), type=Bench)
    module = importlib.import_module(f"benchmarks.scenarios.{name}")
    began = time.perf_counter()
    rows = list(module.measure(bench))
    accounts = module.accounts(bench) if hasattr(module, "accounts") else []
    title = " ".join((module.__doc__ or "").split("\n\n")[0].split())
    found.write_bytes(msgspec.json.encode(Scenario(title, time.perf_counter() - began, rows, accounts)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=f"Scenarios: {', '.join(SCENARIOS)}.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="all of them, unless some are named")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and smaller ones: to see whether it works")
    parser.add_argument("--binary", type=Path, help="the program as one file (default: dist/cerebelum)")
    parser.add_argument("--folder", help="where the files are written: name a folder on the disk in question")
    parser.add_argument("--into", type=Path, help="a results file in which these scenarios are replaced")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--found", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.into is not None and not given.into.is_file():
        parser.error(f"--into: {given.into} is not there; it takes a results file that there is")
    if unknown := sorted(set(given.scenarios) - set(SCENARIOS)):
        parser.error(f"there is no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    return given


def prepared(given: argparse.Namespace, postgres: str | None) -> Bench:
    binary = given.binary or (BINARY if BINARY.exists() else None)
    if binary is None:
        stderr("the binary is left out: dist/cerebelum is not there; `make binary` builds it")
    return Bench(
        folder="",
        quick=given.quick,
        binary=None if binary is None else str(binary.resolve()),
        dagu=peers.dagu(),
        dbos=peers.dbos(),
        postgres=postgres,
    )


def main() -> int:
    given = arguments()
    if given.child:
        child(given.child, given.found)
        return 0
    on = machine()
    failed = []
    scenarios: dict[str, Scenario] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=given.folder, prefix="cerebelum-bench-")))
        bench = prepared(given, stack.enter_context(database(folder)))
        used = versions(str(folder))
        for name in given.scenarios or SCENARIOS:
            try:
                scenarios[name] = measured(name, bench, folder)
            except subprocess.CalledProcessError:
                failed.append(name)
                continue
            print(table(name, scenarios[name]), flush=True)
            stderr(f"({name}: {scenarios[name].seconds:.0f} s)")
    results = Results(today(), on, used, given.quick, scenarios)
    path = (PARTIAL if given.quick or given.scenarios or failed else FOLDER) / f"{results.date}.json"
    if given.into is not None:
        before, path = load(given.into), given.into
        later = f"{results.date[:10]}, cerebelum {used['cerebelum']}, load before: {on['load_before']}"
        scenarios = {name: msgspec.structs.replace(found, later=later) for name, found in scenarios.items()}
        results = msgspec.structs.replace(before, scenarios={**before.scenarios, **scenarios})
    save(results, path)
    print(f"kept in {os.path.relpath(path)}")
    if failed:
        stderr(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
