"""Keeps events in one SQLite file that all processes of a machine may use at once: the store you get unasked."""

from __future__ import annotations

from cerebelum.backends.sqlite.library import library_name, library_version, warnings
from cerebelum.backends.sqlite.store import SqliteStore, open_store

__all__ = ["SqliteStore", "library_name", "library_version", "open_store", "warnings"]
