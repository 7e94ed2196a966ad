"""How the database is opened, once per process however many handles there are, and which keys stand for what."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import lmdb

from cerebelum.core.errors import StoreError

SCHEMA_VERSION = 1
NAMES = (
    *("meta", "events", "executions", "starts", "tags", "dues", "runners", "processes", "claims"),
    *("output", "places", "graves"),
)
"""The databases in the file; `starts`, `tags` and `dues` are indexes of `executions`."""
MAP_SIZE = 64 << 30
"""The most that a store can hold. Only addresses are taken, not memory or disk."""
READERS = 1024
"""How many can read at the same instant."""
LONGEST_ID = 255
"""Longer than any id that there is, and short enough for a key with more behind it."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Shelf:
    """An open database: its environment, its databases by name, and how many handles and calls use it."""

    def __init__(self, environment: lmdb.Environment, databases: dict[str, Any]) -> None:
        self.environment = environment
        self.databases = databases
        self.handles = 0
        self.calls = 0


# LMDB's locks are lost when a process opens a file twice and closes it once, so all handles share one opening.
_shelves: dict[str, Shelf] = {}
_inherited: list[Any] = []
_lock = threading.Condition()


def _forked() -> None:
    """What the parent had open is the parent's: kept, so that nothing closes it, and not used."""
    global _lock
    _inherited.append(dict(_shelves))
    _shelves.clear()
    _lock = threading.Condition()


os.register_at_fork(after_in_child=_forked)


class Handle:
    """One handle on the database of a folder; opened when first used, created when first written."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.abspath(folder)
        self._pid = os.getpid()
        self._shelf: Shelf | None = None
        self._closed = False
        self._key = ""

    @contextmanager
    def transaction(self, *, write: bool = False, create: bool | None = None) -> Iterator[Transaction | None]:
        """A transaction, which an exception undoes; None if there is no store yet, and none is made by it.

        One is made by whoever writes, unless `create` says otherwise. Raises StoreError for what the database says, if
        the store was closed, and in a forked process.
        """
        with self._using(write if create is None else create) as shelf:
            if shelf is None:
                yield None
                return
            with shelf.environment.begin(write=write) as transaction:
                yield Transaction(transaction, shelf.databases)

    def close(self) -> None:
        """Refuse further calls; the last handle closes the database, once nobody is inside a call any more."""
        with _lock:
            self._closed = True
            shelf, self._shelf = self._shelf, None
            if shelf is None or self._pid != os.getpid():
                return
            shelf.handles -= 1
            _lock.wait_for(lambda: shelf.handles or not shelf.calls)
            if not shelf.handles and _shelves.get(self._key) is shelf:
                del _shelves[self._key]
                shelf.environment.close()

    @contextmanager
    def _using(self, create: bool) -> Iterator[Shelf | None]:
        if self._pid != os.getpid():
            hint = "close the store before forking, or start the process anew"
            raise StoreError("this process was forked from the one that opened it", where=self.folder, hint=hint)
        try:
            with _lock:
                if self._closed:
                    raise StoreError("the store is closed", where=self.folder)
                shelf = self._shelf = self._shelf or self._opened(create)
                if shelf is not None:
                    shelf.calls += 1
            try:
                yield shelf
            finally:
                if shelf is not None:
                    with _lock:
                        shelf.calls -= 1
                        _lock.notify_all()
        except (lmdb.Error, OSError) as error:
            raise self._explained(error) from None

    def _opened(self, create: bool) -> Shelf | None:
        """The database, from another handle or from the disk; None if it is not there and not to be made."""
        if not create and not os.path.exists(os.path.join(self.folder, "data.mdb")):
            return None
        if create:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
        status = os.stat(self.folder)
        self._key = f"{status.st_dev}:{status.st_ino}"
        shelf = _shelves.get(self._key)
        if shelf is None:
            shelf = _open(self.folder, create)
            if shelf is None:
                return None
            _shelves[self._key] = shelf
        shelf.handles += 1
        return shelf

    def _explained(self, error: Exception) -> StoreError:
        hints = {
            lmdb.MapFullError: "prune executions that nobody needs any more",
            lmdb.ReadersFullError: "too many processes read at once; end some of them",
            lmdb.CorruptedError: "copy the folder away before anything else",
            lmdb.InvalidError: "is this the folder of an LMDB store?",
            OSError: "is there space on the disk, and may this user write there?",
        }
        hint = next((text for kind, text in hints.items() if isinstance(error, kind)), "see the database's message")
        return StoreError(f"the store failed ({error})", where=self.folder, hint=hint)


def _open(folder: str, create: bool) -> Shelf | None:
    environment = lmdb.open(
        folder, map_size=MAP_SIZE, max_dbs=len(NAMES), max_readers=READERS, mode=0o600, create=create
    )
    try:
        # Processes that were killed leave their places at the table.
        environment.reader_check()
        if create:
            # All of them at once: whoever is killed here leaves a whole store or none.
            with environment.begin(write=True) as transaction:
                databases = {name: environment.open_db(name.encode(), transaction) for name in NAMES}
                if transaction.get(b"schema_version", db=databases["meta"]) is None:
                    transaction.put(b"schema_version", b"%d" % SCHEMA_VERSION, db=databases["meta"])
        else:
            databases = {name: environment.open_db(name.encode(), create=False) for name in NAMES}
        with environment.begin() as transaction:
            found = int(transaction.get(b"schema_version", db=databases["meta"]))
        if found > SCHEMA_VERSION:
            hint = "use the version of this plugin that wrote it, or a newer one"
            raise StoreError(f"the store has schema version {found}", where=folder, hint=hint)
        return Shelf(environment, databases)
    except lmdb.NotFoundError:
        # Whoever made it was killed before the first write.
        environment.close()
        return None
    except BaseException:
        environment.close()
        raise


class Transaction:
    """Gets, puts and walks through keys in one snapshot."""

    def __init__(self, transaction: lmdb.Transaction, databases: dict[str, Any]) -> None:
        self._transaction = transaction
        self._databases = databases

    def get(self, name: str, key: bytes) -> bytes | None:
        value: bytes | None = self._transaction.get(key, db=self._databases[name])
        return value

    def put(self, name: str, key: bytes, value: bytes) -> None:
        self._transaction.put(key, value, db=self._databases[name])

    def delete(self, name: str, key: bytes) -> None:
        self._transaction.delete(key, db=self._databases[name])

    def up(self, name: str, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys that begin with `prefix` and are greater than `after`, in order, with their values."""
        with self._transaction.cursor(self._databases[name]) as cursor:
            there = cursor.set_range(max(prefix, after))
            while there:
                key, value = bytes(cursor.key()), bytes(cursor.value())
                if not key.startswith(prefix):
                    return
                if key != after:
                    yield key, value
                there = cursor.next()

    def down(self, name: str, prefix: bytes, before: bytes) -> Iterator[bytes]:
        """Keys that begin with `prefix` and are less than `before`, the greatest first."""
        with self._transaction.cursor(self._databases[name]) as cursor:
            there = cursor.prev() if cursor.set_range(before) else cursor.last()
            while there:
                key = bytes(cursor.key())
                if not key.startswith(prefix):
                    return
                yield key
                there = cursor.prev()


# --- keys ----------------------------------------------------------------------------------------------------------


def named(identity: str) -> bytes | None:
    """The key of an execution or runner; None for what cannot be an id, and is therefore not there."""
    possible = identity.isascii() and 0 < len(identity) <= LONGEST_ID and "\0" not in identity
    return identity.encode() if possible else None


def below(identity: bytes, number: int = 0) -> bytes:
    """The key of the `number`th of what belongs to an execution; the order of keys is that of numbers."""
    return identity + b"\0" + number.to_bytes(8)


def number_of(key: bytes) -> int:
    """The number in a key."""
    return int.from_bytes(key[-8:])


def at(moment: datetime) -> bytes:
    """A time, so that the order of keys is that of times."""
    return ((moment - _EPOCH) // timedelta(microseconds=1) + (1 << 63)).to_bytes(8)


def digested(text: str) -> bytes:
    """What stands for a text that may be longer than a key, or hold anything; lone surrogates equal nothing stored."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=24).digest()
