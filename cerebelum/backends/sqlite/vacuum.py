"""Writes a store into a new file with SQLite's own means: one moment of it, compact, while others go on writing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cerebelum.backends.sqlite.file import Lane, StoreFile
from cerebelum.backends.sqlite.library import explain, sqlite3

if TYPE_CHECKING:
    from sqlite3 import Connection

    from cerebelum.backends.sqlite.memory import StoreMemory

_STEPS = 5_000
"""Instructions of SQLite's machine between two calls of `heed`: at most some milliseconds."""


def into(file: StoreFile | StoreMemory, path: str, heed: Callable[[], None]) -> None:
    """Write the store into the empty file `path`. Raises StoreError, and what `heed` raises."""
    raised: list[BaseException] = []

    def look() -> int:
        try:
            heed()
        except BaseException as error:
            raised.append(error)
        return len(raised)

    def write(connection: Connection) -> bool:
        connection.set_progress_handler(look, _STEPS)
        try:
            connection.execute("VACUUM INTO ?", (path,))
            return True
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
                # What the library cannot pass on may also have been Ctrl-C, on the way into `look`.
                raise (raised[0] if raised else KeyboardInterrupt) from None
            raise
        finally:
            connection.set_progress_handler(None, 0)

    lane = Lane()
    try:
        if not file.outside(lane, write):
            return
    finally:
        file.leave(lane)
    # Only a file that says so is opened with a log of its own, in which readers and writers do not wait for each other.
    try:
        connection = sqlite3.connect(path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise explain(error, path) from error
