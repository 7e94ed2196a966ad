"""How this room gets the plugins and the store, which are put together above it, in `app.py`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cerebelum.core.errors import UsageError

if TYPE_CHECKING:
    from cerebelum.sdk.verbs import Verbs

_connect: Callable[[str | None], Verbs] | None = None
_main: Callable[[Sequence[str]], int] | None = None


def use(connect: Callable[[str | None], Verbs], main: Callable[[Sequence[str]], int]) -> None:
    """Have `connect(store)` called for verbs on a store (a URL or path, or None for the default one).

    `main(words)` performs a command line and gives its exit code.
    """
    global _connect, _main
    _connect, _main = connect, main


def verbs(store: str | None) -> Verbs:
    """The verbs on a store; it is opened when it is first needed. Raises UsageError for a URL nobody knows."""
    if _connect is None:
        raise _unwired()
    return _connect(store)


def main(words: Sequence[str]) -> int:
    """Perform a command line; its exit code."""
    if _main is None:
        raise _unwired()
    return _main(words)


def program() -> list[str]:
    """What begins a command line of this program."""
    return [sys.executable, "-m", "cerebelum"]


def _unwired() -> UsageError:
    return UsageError("this room is entered through `cerebelum`", hint="from cerebelum import ExecutionClient")
