"""Installs what cerebelum is measured against, each in an environment of its own outside the repository.

Versions and hashes are in `peers/`. What is there already is used: `CEREBELUM_BENCH_CACHE` names another folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

LOCKS = Path(__file__).resolve().parent / "peers"


def cache() -> Path:
    """Where they are installed."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("CEREBELUM_BENCH_CACHE") or Path(home) / "cerebelum-benchmarks")


def _installed(name: str, lock: Path, install: Callable[[Path], None]) -> Path:
    """The folder in which `install` was done for this lock; done anew when the lock has changed."""
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache() / f"{name}-{digest}"
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        install(folder)
        (folder / "installed").touch()
    return folder


def dagu() -> str | None:
    """The path of dagu's program, by npm; None, with a line on standard error, where it cannot be had."""
    if shutil.which("npm") is None:
        print("dagu is left out: npm is not there", file=sys.stderr)
        return None

    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(LOCKS / name, folder)
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)

    try:
        folder = _installed("dagu", LOCKS / "package-lock.json", install)
    except subprocess.CalledProcessError as error:
        print(f"dagu is left out: {error}", file=sys.stderr)
        return None
    return str(folder / "node_modules" / "@dagu-org" / "dagu-linux-x64" / "bin" / "dagu")


def dbos() -> str | None:
    """The path of an interpreter that has DBOS; None, with a line on standard error, where it cannot be had."""

    def install(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--require-hashes", "-r", LOCKS / "dbos.lock"], check=True)

    try:
        return str(_installed("dbos", LOCKS / "dbos.lock", install) / "venv" / "bin" / "python")
    except subprocess.CalledProcessError as error:
        print(f"DBOS is left out: {error}", file=sys.stderr)
        return None


def versions() -> dict[str, str]:
    """The versions that the locks name."""
    found = {}
    for line in (LOCKS / "dbos.in").read_text().split():
        name, _, version = line.partition("==")
        found[name] = version
    package = (LOCKS / "package.json").read_text()
    found["dagu"] = package.partition('dagu-linux-x64": "')[2].partition('"')[0]
    return found
