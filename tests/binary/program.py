"""Which program the end-to-end tests drive: the package, or the binary that CEREBELUM_BIN names. `make test-binary`"""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping

BINARY = os.environ.get("CEREBELUM_BIN")
_CACHE = "CEREBELUM_CACHE_DIR"


def program(*python_options: str) -> list[str]:
    """The beginning of a command line of cerebelum. Options of the interpreter mean nothing to the binary."""
    return [os.path.abspath(BINARY)] if BINARY else [sys.executable, *python_options, "-m", "cerebelum"]


def environment() -> Mapping[str, str]:
    """What the binary needs in its environment in order not to unpack itself anew in the empty home of each test."""
    return {_CACHE: os.environ[_CACHE]} if BINARY else {}


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
