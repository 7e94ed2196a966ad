"""The file that a run of the benchmarks leaves: what was measured, where, when, and with which versions."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import peers
from benchmarks.harness import Row

FOLDER = Path(__file__).resolve().parent / "results"
PARTIAL = FOLDER / "partial"
"""Runs of a few scenarios, and quick ones; git passes them over."""


class Scenario(msgspec.Struct, frozen=True):
    """What one scenario measured."""

    title: str
    """What it is about, as the first paragraph of its module says it."""
    seconds: float
    """How long it took in all."""
    rows: list[Row]
    accounts: list[list[str]] = []
    """Where time goes, as lines of a table, the first being its head."""
    later: str | None = None
    """For one that was measured anew after the others: when, and with what."""


class Results(msgspec.Struct, frozen=True):
    date: str
    machine: dict[str, Any]
    versions: dict[str, str]
    quick: bool
    scenarios: dict[str, Scenario]


def machine() -> dict[str, Any]:
    """What it ran on."""
    cpu = "unknown"
    memory = 0
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
        memory = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    return {
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "cpu": cpu,
        "cpus": os.cpu_count(),
        "memory_gb": round(memory / 1e9, 1),
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions(folder: str) -> dict[str, str]:
    """Of everything that has a say; `folder` is where the stores are."""
    found = {"cerebelum": _ours(), "python": platform.python_version(), **peers.versions()}
    for name in ("msgspec", "psycopg"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    from cerebelum.backends.sqlite.library import library_name, library_version

    found["sqlite"] = f"{library_version()} ({library_name()})"
    found["file system"] = subprocess.run(
        ["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=False
    ).stdout.strip()
    return found


def _ours() -> str:
    from cerebelum import __version__

    asked = ["git", "-C", str(FOLDER), "describe", "--always", "--dirty"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return f"{__version__} ({commit})" if commit else __version__


def newest() -> Path | None:
    """The newest complete run that is kept."""
    return max(FOLDER.glob("*.json"), default=None)


def load(path: Path) -> Results:
    return msgspec.json.decode(path.read_bytes(), type=Results)


def save(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")


def stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
