"""Which SQLite and which schema is used, and what errors mean to a user: what happened, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import msgspec

from cerebelum.core.errors import StoreError

if TYPE_CHECKING:
    import sqlite3
else:
    try:
        import pysqlite3 as sqlite3
    except ImportError:
        import sqlite3

__all__ = [
    "APPLICATION_ID",
    "BUSY",
    "LOCKED",
    "PROTOCOL",
    "SCHEMA_VERSION",
    "damaged",
    "explain",
    "library_name",
    "library_version",
]
__all__ += ["replaced", "require_library", "sqlite3", "understood", "warnings"]

T = TypeVar("T")

APPLICATION_ID = 0x4352424C
"""What marks an SQLite file as a store of ours: "CRBL"."""
SCHEMA_VERSION = 3
"""How many migrations of `schema.py` a store has gone through."""
OLDEST_LIBRARY = (3, 38, 0)
"""The first release of SQLite that has all we ask for: STRICT tables, and JSON without being built for it."""
SAFE_LIBRARY = (3, 51, 3)
"""The first release of SQLite in which writing while checkpointing cannot corrupt the WAL."""

BUSY, LOCKED, PROTOCOL = 5, 6, 15
_ERROR, _READONLY, _CORRUPT, _CANTOPEN = 1, 8, 11, 14
_READONLY_DBMOVED = 1032
_EXPLANATIONS = {
    3: ("access to the store was denied", "check the permissions of the file and its folder"),
    BUSY: (
        "another process kept the store locked for too long",
        "find out who has it open (fuser, lsof), then try again; nothing was written",
    ),
    LOCKED: ("another process kept the store locked for too long", "try again; nothing was written"),
    _READONLY: (
        "the store cannot be written",
        "make the file and its folder writable for this user, or choose another place with --store",
    ),
    10: (
        "the store could not be read or written",
        "check the disk, quotas and the limit on file sizes (ulimit -f); what was recorded before is safe",
    ),
    _CORRUPT: (
        "the store is damaged",
        "copy it and its -wal file away before anything else, then run 'cerebelum store verify'",
    ),
    13: ("the disk is full", "free some space, then resume; what was recorded before is safe"),
    PROTOCOL: ("the store's locks do not work here", "keep it on a local disk, not on a network file system"),
    18: ("this is too large for the store", "keep large data in files and record where they are"),
    19: ("the log and its summary disagree", "run 'cerebelum store verify'"),
    26: ("this is not an SQLite database", "choose another file with --store"),
}


def library_version() -> str:
    """The version of SQLite in use, such as `3.53.4`."""
    return sqlite3.sqlite_version


def library_name() -> str:
    """Where that SQLite comes from: `pysqlite3` (its wheel) or `sqlite3` (this Python)."""
    return sqlite3.__name__


def warnings() -> list[str]:
    """What a user should know about the SQLite in use; usually nothing."""
    if sqlite3.sqlite_version_info >= SAFE_LIBRARY:
        return []
    safe = ".".join(map(str, SAFE_LIBRARY))
    text = "can damage a store when processes write and checkpoint at the same instant"
    return [
        f"SQLite {sqlite3.sqlite_version} {text} (fixed in {safe}); install pysqlite3 or a Python with a newer SQLite"
    ]


def require_library(path: str) -> None:
    """Raises StoreError if the SQLite in use is too old for a store."""
    if sqlite3.sqlite_version_info < OLDEST_LIBRARY:
        raise StoreError(
            f"SQLite {sqlite3.sqlite_version} is too old, {'.'.join(map(str, OLDEST_LIBRARY))} is needed",
            where=path,
            hint="install pysqlite3, or use a Python with a newer SQLite",
        )


def explain(error: sqlite3.Error, path: str) -> StoreError:
    """The library's error as one that says what is the matter with this file, and what to do."""
    code = getattr(error, "sqlite_errorcode", 0)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    kind = code & 0xFF
    if code == _READONLY_DBMOVED:
        return replaced(path)
    if kind == _CANTOPEN or (kind == _READONLY and not _writable(os.path.dirname(path))):
        message, hint = _why_not_opened(path)
    elif kind == _ERROR and "no such" in str(error):
        message, hint = f"parts of the store are missing ({error})", "restore it from a backup, or choose another file"
    elif kind in _EXPLANATIONS:
        message, hint = _EXPLANATIONS[kind]
        if kind == BUSY and (known := _holder(path)) is not None:
            message, hint = f"the store was kept locked for too long by {known[0]}", f"{known[1]}; nothing was written"
    elif "decode" in str(error):
        return damaged(path, error)
    else:
        message, hint = "the store failed", "run 'cerebelum doctor'"
    return StoreError(f"{message} ({name}: {error})", where=path, hint=hint)


def _holder(path: str) -> tuple[str, str] | None:
    from cerebelum.backends.sqlite.holder import described

    return described(path)


def _why_not_opened(path: str) -> tuple[str, str]:
    folder = os.path.dirname(path)
    if os.path.exists(path) and not os.access(path, os.R_OK):
        return "the store cannot be read by this user", "ask its owner for permission, or choose another with --store"
    if not _writable(folder):
        return (
            "the store is in a folder that cannot be written, where SQLite cannot even read it",
            f"SQLite keeps two more files (-wal, -shm) beside it: make {folder} writable, or copy the store elsewhere",
        )
    return "the store cannot be opened", "check the disk, the permissions, and the number of open files (ulimit -n)"


def _writable(folder: str) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def damaged(path: str, error: Exception) -> StoreError:
    """The error for contents that nothing of ours can have written."""
    message, hint = _EXPLANATIONS[_CORRUPT]
    return StoreError(f"{message} ({error})", where=path, hint=hint)


def understood(where: str, read: Callable[[], T]) -> T:
    """What `read` makes of rows. Raises StoreError for rows that we cannot have written."""
    try:
        return read()
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise damaged(where, error) from error


def replaced(path: str) -> StoreError:
    """The error for a file that is not the one that was opened."""
    return StoreError(
        "the store was deleted or replaced while it was open; nothing more is written",
        where=path,
        hint="put the original file back, then resume; an execution whose log is gone must be run again",
    )
