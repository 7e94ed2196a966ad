"""Which program the end-to-end tests drive: the package, or the binary that CEREBELUM_BIN names. `make test-binary`"""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping

BINARY = os.environ.get("CEREBELUM_BIN")
_CACHE = "CEREBELUM_CACHE_DIR"
_WITHOUT = "CEREBELUM_WITHOUT"
"""Turns the tricks off that make starting fast (cerebelum/start/tricks.py): all tests are to pass without them, too."""

TRICKS = _WITHOUT not in os.environ
"""Whether the tricks are on: what only they do can be tested then."""


def program(*python_options: str) -> list[str]:
    """The beginning of a command line of cerebelum. Options of the interpreter mean nothing to the binary."""
    return [os.path.abspath(BINARY)] if BINARY else [sys.executable, *python_options, "-m", "cerebelum"]


def environment() -> Mapping[str, str]:
    """What the program needs in its environment in every test, whatever that has cleared.

    Without the cache the binary would unpack itself anew in the empty home of each test.
    """
    names = [_WITHOUT] if _WITHOUT in os.environ else []
    return {name: os.environ[name] for name in ([*names, _CACHE] if BINARY else names)}


def share_cache() -> str | None:
    """Make a cache for all tests, and for the processes that run them; returns it unless there is no need for one."""
    if not BINARY or _CACHE in os.environ:
        return None
    os.environ[_CACHE] = folder = tempfile.mkdtemp(prefix="cerebelum-tests-")
    return folder


def remove_cache(folder: str) -> None:
    """Remove what `share_cache` made."""
    shutil.rmtree(folder, ignore_errors=True)
    del os.environ[_CACHE]
