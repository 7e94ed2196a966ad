"""Stores in memory, for tests: each a SQLite database that lives as long as this process and is seen by it alone.

All handles on one share a connection, so that a call costs a lock and no file, and sees one moment of it.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from typing import TypeVar

from cerebelum.backends.sqlite.file import Lane, forked, refused
from cerebelum.backends.sqlite.library import explain, require_library, sqlite3
from cerebelum.core.errors import StoreError, UsageError

T = TypeVar("T")

_SIZE = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"


class _Database:
    """One database, which its first write makes a store."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection: sqlite3.Connection | None = None


_databases: dict[str, _Database] = {}
_opening = threading.Lock()


def _after_fork() -> None:
    # The child has a copy that nobody shares with it, and maybe one that somebody was in the middle of writing.
    global _opening
    _opening = threading.Lock()
    _inherited.append(dict(_databases))
    _databases.clear()


_inherited: list[dict[str, _Database]] = []
os.register_at_fork(after_in_child=_after_fork)


class StoreMemory:
    """One handle on the database of a URL, `memory:` or `memory:NAME`: what `StoreFile` is to a file.

    Raises UsageError if that is no such URL.
    """

    on_disk = False

    def __init__(self, url: str) -> None:
        if not re.fullmatch(r"memory:[A-Za-z0-9._-]*", url):
            raise UsageError(
                f"{url!r} does not name a store in memory",
                hint="write memory: or memory:NAME, with letters, digits, dots, underscores and hyphens",
            )
        self.path = self.url = url
        self._pid = os.getpid()
        self._closed = False
        with _opening:
            self._database = _databases.setdefault(url, _Database())

    def read(self, lane: Lane, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """What `work` returns; None if nothing was ever written. Raises StoreError."""
        return self._run(work, create=False)

    outside = read

    def write(self, lane: Lane, work: Callable[[sqlite3.Connection], T], *, create: bool = True) -> T | None:
        """What `work` returns, in one transaction; None if nothing was ever written and `create` is false.

        Nothing is written when `work` raises. Raises StoreError.
        """

        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN")
            result = work(connection)
            connection.execute("COMMIT")
            return result

        return self._run(transaction, create=create)

    def sizes(self) -> tuple[int, int]:
        """Bytes of the database, and none of a log beside it."""
        return self._run(lambda c: int(c.execute(_SIZE).fetchone()[0]), create=False) or 0, 0

    def close(self, lane: Lane) -> None:
        """This handle is not used any more; the database stays."""
        self._closed = True

    def leave(self, lane: Lane) -> None:
        """There is no connection to close: all share one."""

    def _run(self, work: Callable[[sqlite3.Connection], T], *, create: bool) -> T | None:
        if self._pid != os.getpid():
            raise forked(self.path)
        with self._database.lock:
            if self._closed:
                raise StoreError("the store is closed", where=self.path)
            connection = self._database.connection
            try:
                if connection is None:
                    if not create:
                        return None
                    connection = self._database.connection = _new(self.path)
                return work(connection)
            except sqlite3.Error as error:
                raise explain(error, self.path) from error
            except UnicodeEncodeError as error:
                raise refused(error, self.path) from error
            finally:
                if connection is not None and connection.in_transaction:
                    connection.rollback()


def _new(name: str) -> sqlite3.Connection:
    from cerebelum.backends.sqlite import schema

    require_library(name)
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    schema.migrate(connection)
    # It costs a third of an append, and guards against statements that are not ours: here there are none.
    connection.execute("DROP TRIGGER events_are_not_replaced")
    return connection
