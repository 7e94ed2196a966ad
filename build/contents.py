"""What belongs into the binary: distributions, and which parts of the standard library do not."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, requires
from pathlib import PurePath
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = {"cerebelum": "pool,web", "cerebelum-service": "pool,service"}
"""The files that are built, with the extras of the package that each has in it."""
FILE = os.environ.get("CEREBELUM_FILE", "cerebelum")
"""The one that is being built."""
ROOTS = (f"cerebelum[{EXTRAS[FILE]}]",)
NOT_SHIPPED = {
    *("tkinter", "_tkinter", "turtle", "turtledemo", "idlelib", "test", "ensurepip", "venv", "lib2to3"),
    # Readline and gdbm are under the GPL, Berkeley DB (behind _dbm) under one like it; nis brings a Kerberos along.
    *("readline", "_gdbm", "_dbm", "nis"),
    *("nt", "msvcrt", "winreg", "winsound", "msilib", "_msi", "_winapi"),
}
NOT_NEEDED = {
    # What the packages of the program import only if it is there, or for what the program does not do.
    *("chardet", "charset_normalizer", "pygments", "markdown_it", "mdurl", "IPython", "numpy"),
    *("setuptools", "pkg_resources", "pip", "wheel", "pytest", "_pytest", "hypothesis", "mypy", "wcwidth"),
    # Procrastinate without its own command line, and without other ways to the database.
    *("procrastinate.contrib", "procrastinate.cli", "procrastinate.shell", "procrastinate.testing", "django"),
    # uvicorn without what makes it faster: that is compiled, and for more requests than are made here.
    "grpc_tools",
    *("httptools", "uvloop", "watchfiles", "websockets", "wsproto", "trio", "dotenv", "jinja2", "httpx", "httpcore"),
}
if FILE == "cerebelum":
    # It alone is a quarter of the larger file.
    NOT_NEEDED |= {"grpc", "grpc_health", "grpc_reflection", "google"}
SYSTEM = frozenset({"libgcc_s.so.1", "libstdc++.so.6"}) if FILE == "cerebelum-service" else frozenset[str]()
"""Libraries that are the system's, as they are for every wheel for Linux: gRPC is compiled C++."""
# Time zones are the system's.
_WITHOUT_MODULES = {"tzdata", "markdown-it-py"}


def bundled() -> list[str]:
    """Names of the installed distributions that the program needs, itself included, sorted."""
    found: set[str] = set()
    waiting = [Requirement(root) for root in ROOTS]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        try:
            needs = [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:
            raise SystemExit(f"{name} is not installed; `make dev` does that") from None
        extras = wanted.extras or {""}
        if name in found and extras == {""}:
            continue
        found.add(name)
        waiting += [n for n in needs if n.marker is None or any(n.marker.evaluate({"extra": e}) for e in extras)]
    return sorted(found - {canonicalize_name(name) for name in NOT_NEEDED} - _WITHOUT_MODULES)


class Sqlite(NamedTuple):
    """The library that the program will use."""

    owner: str
    version: tuple[int, ...]
    least: tuple[int, ...]
    promised: bool
    """Whether `least` is what the binary promises, or what there is where pysqlite3 has no wheel."""


def sqlite() -> Sqlite:
    """SQLite as the program chooses it: pysqlite3's where that is installed, else the interpreter's."""
    try:
        from pysqlite3 import dbapi2
    except ModuleNotFoundError:
        import sqlite3

        return Sqlite("Python", sqlite3.sqlite_version_info, (3, 38), promised=False)
    return Sqlite("pysqlite3", dbapi2.sqlite_version_info, (3, 51, 3), promised=True)


def is_test(module: str) -> bool:
    """Whether a module of the standard library is there for its own tests."""
    parts = module.split(".")
    return parts[0].startswith(("_test", "_xx", "xx", "_ctypes_test")) or not {"test", "tests", "idle_test"}.isdisjoint(
        parts
    )


def is_bookkeeping(path: str) -> bool:
    """Whether a file of a `.dist-info` is more than what a program can ask for: about one installation, say.

    Such files differ between equal installations. Licences are all in one file of the binary.
    """
    parts = PurePath(path).parts
    return any(part.endswith(".dist-info") for part in parts) and parts[-1] not in ("METADATA", "entry_points.txt")
