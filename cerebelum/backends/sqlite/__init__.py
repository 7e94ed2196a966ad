"""Keeps events in one SQLite file that all processes of a machine may use at once: the store you get unasked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cerebelum.backends.sqlite.library import library_name, library_version, warnings
from cerebelum.backends.sqlite.store import SqliteStore, open_memory, open_store
from cerebelum.store import EventStore

__all__ = ["SqliteStore", "cerebelum_backends", "library_name", "library_version"]
__all__ += ["open_memory", "open_store", "warnings"]


def cerebelum_backends() -> Mapping[str, Callable[[str], EventStore]]:
    return {"sqlite": open_store, "memory": open_memory}
