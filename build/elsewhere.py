"""Runs the built file on other distributions, each in a folder of its own made by debootstrap. `make elsewhere`

Needs root, debootstrap and a network the first time; what cannot be had is listed as skipped. Exits 1 if one fails.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 1200
"""Seconds for unpacking a distribution, or for one command in it."""
SYSTEMS = {
    "bionic": "Ubuntu 18.04",
    "bullseye": "Debian 11",
    "focal": "Ubuntu 20.04",
    "jammy": "Ubuntu 22.04",
    "trixie": "Debian 13",
}

WORKFLOW = """
name: elsewhere
steps:
  - {id: shell, run: 'cat /etc/os-release; echo one >> effects'}
  - {id: python, python: 'tasks.py:everything'}
  - {id: apart, python: 'tasks.py:everything', isolated: true}
  - {id: fails, run: 'test -e mended'}
  - {id: end, run: 'echo end >> effects'}
"""
TASKS = """
import bz2, concurrent.futures, ctypes, curses, hashlib, lzma, math, multiprocessing, os, platform, sqlite3, ssl
import asyncio, subprocess, sys, threading, time, zlib
import psycopg, pysqlite3

def everything():
    assert ssl.create_default_context().get_ca_certs() or ssl.create_default_context().cert_store_stats()["x509"]
    for module in (sqlite3, pysqlite3):
        assert module.connect(":memory:").execute("select exp(1) > 2.7").fetchone()[0]
    assert (math.hypot(3, 4), math.log2(8), math.pow(0, 0), math.exp(0)) == (5, 3, 1, 1)
    for wrong in (lambda: math.log(0), lambda: math.exp(1e4), lambda: math.pow(0, -1)):
        try:
            wrong()
        except (ValueError, OverflowError):
            continue
        raise AssertionError("no error")
    os.mkfifo("fifo"); assert os.stat("fifo").st_mode == os.lstat("fifo").st_mode; os.unlink("fifo")
    with open("tasks.py") as file:
        assert os.fstat(file.fileno()).st_size == os.path.getsize("tasks.py")
    lock, began = threading.Lock(), time.monotonic()
    assert lock.acquire() and not lock.acquire(timeout=0.2) and 0.1 < time.monotonic() - began < 5
    for method in ("spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            assert list(pool.map(math.sqrt, [4, 9])) == [2, 3]
    said = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True, check=True).stdout
    assert said == "42\\n" and os.openpty()
    async def child():
        return await (await asyncio.create_subprocess_exec("true")).wait()
    assert asyncio.run(child()) == 0
    return {"glibc": platform.libc_ver()[1]}
"""


class Wrong(Exception):
    """What does not work there."""


def make(system: str, cache: Path) -> str:
    """Unpack a distribution into the cache unless it is there; returns why that is not possible, or nothing."""
    if (cache / system).is_dir():
        return ""
    if os.getuid() or not shutil.which("debootstrap"):
        return "needs root" if os.getuid() else "debootstrap is not installed"
    partial = cache / f"{system}.part"
    shutil.rmtree(partial, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", system, partial],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    if done.returncode:
        return f"debootstrap: {(done.stdout + done.stderr).strip().splitlines()[-1]}"
    partial.rename(cache / system)
    return ""


@contextmanager
def entered(root: Path) -> Iterator[None]:
    """The file systems that every running system has, mounted as long as this lasts."""
    kinds = {"proc": "proc", "dev/shm": "tmpfs", "dev/pts": "devpts", "work": "tmpfs"}
    with ExitStack() as stack:
        for place, kind in kinds.items():
            (root / place).mkdir(parents=True, exist_ok=True)
            options = ["-o", "newinstance,ptmxmode=0666"] if kind == "devpts" else []
            subprocess.run(["mount", "-t", kind, *options, kind, root / place], check=True)
            stack.callback(_unmount, root / place)
        ptmx = root / "dev" / "ptmx"
        ptmx.unlink(missing_ok=True)
        ptmx.symlink_to("pts/ptmx")
        yield


def _unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", place], check=False)


def use(binary: Path, root: Path) -> str:
    """Use the binary in that system; returns the status that its execution has in the end. Raises Wrong."""
    with entered(root):
        desk = root / "work"
        shutil.copy(binary, desk / "cerebelum")
        (desk / "flow.yaml").write_text(WORKFLOW)
        (desk / "tasks.py").write_text(TASKS)

        def say(*arguments: str, code: int = 0) -> str:
            env = {"HOME": "/work", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}
            command = ["chroot", str(root), "sh", "-c", 'cd /work; exec ./cerebelum "$@"', "-", *arguments]
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
            # The dynamic linker complains on standard error and goes on.
            if done.returncode != code or "GLIBC" in done.stderr:
                raise Wrong(f"{arguments}: exit code {done.returncode}: {done.stdout}{done.stderr}")
            return done.stdout

        json.loads(say("--version", "--json"))
        say("run", "flow.yaml", "--id", "e", code=1)
        (desk / "mended").touch()
        say("resume", "e")
        if (desk / "effects").read_text() != "one\nend\n":
            raise Wrong(f"effects: {(desk / 'effects').read_text()}")
        say("store", "verify")
        return str(json.loads(say("status", "e", "--json"))["status"])


def main() -> None:
    """Command line: the binary, and names of systems if not all are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", type=Path)
    parser.add_argument("systems", nargs="*", help=f"of {', '.join(SYSTEMS)}")
    parser.add_argument("--cache", type=Path, default=ROOT / "dist" / "elsewhere")
    given = parser.parse_args()
    failed = False
    for system in given.systems or SYSTEMS:
        why = "only for x86-64 so far" if platform.machine() != "x86_64" else make(system, given.cache.resolve())
        if why:
            print(f"{SYSTEMS[system]} ({system}): skipped: {why}", flush=True)
            continue
        try:
            result = use(given.binary.resolve(), given.cache.resolve() / system)
        except Wrong as what:
            result, failed = f"WRONG: {what}", True
        print(f"{SYSTEMS[system]} ({system}): {result}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
