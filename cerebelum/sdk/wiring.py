"""How this room gets the plugins and the store, which are put together above it, in `app.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cerebelum.core.errors import UsageError

if TYPE_CHECKING:
    from cerebelum.sdk.verbs import Verbs

_connect: Callable[[str | None], Verbs] | None = None


def use(connect: Callable[[str | None], Verbs]) -> None:
    """Have `connect(store)` called for verbs on a store: a URL or path, or None for the default one."""
    global _connect
    _connect = connect


def verbs(store: str | None) -> Verbs:
    """The verbs on a store; it is opened when it is first needed. Raises UsageError for a URL nobody knows."""
    if _connect is None:
        raise UsageError("this room is entered through `cerebelum`", hint="from cerebelum import ExecutionClient")
    return _connect(store)
