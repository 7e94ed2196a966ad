"""The file behind a SQLite store: made when first written, checked to be ours, and safe from forks and replacement."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from cerebelum.backends.sqlite.headroom import Headroom, log_of
from cerebelum.backends.sqlite.library import (
    APPLICATION_ID,
    BUSY,
    LOCKED,
    PROTOCOL,
    SCHEMA_VERSION,
    damaged,
    explain,
    replaced,
    require_library,
    sqlite3,
)
from cerebelum.core.errors import StoreError
from cerebelum.host.standstill import NOT_NOW

T = TypeVar("T")

SCHEME = "sqlite:///"
BUSY_TIMEOUT = 5.0
"""Seconds SQLite waits for a lock before Python gets a chance to see signals."""
PATIENCE = 30.0
"""Seconds after which waiting for a lock is an error."""

_UNQUOTED = b"/._-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_opened: dict[tuple[int, int], tuple[int, int]] = {}
"""Files this process has open, by (device, inode): the pid that opened them and how many connections there are."""
_opened_lock = threading.Lock()
_inherited: list[sqlite3.Connection] = []
"""Connections that came along in a fork; closing them here would disturb the parent's."""


class Lane:
    """One connection and the lock that gives it to one thread at a time; connected when first needed.

    `synced` says that each of its commits waits for the disk.
    """

    def __init__(self, *pragmas: str, synced: bool = False) -> None:
        self.pragmas = pragmas
        self.synced = synced
        self.headroom: Headroom | None = None
        self.lock = threading.Lock()
        self.connection: sqlite3.Connection | None = None
        self.identity = (0, 0)


class StoreFile:
    """One store file: made when first written, checked to be ours, watched for being deleted or replaced."""

    on_disk = True

    def __init__(self, path: str, patience: float) -> None:
        self.path = path
        self.url = f"{SCHEME}{path}"
        self.patience = patience
        self._identity: tuple[int, int] | None = None
        self._pid: int | None = None
        self._closed = False

    def read(self, lane: Lane, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """What `work` returns, seeing one snapshot; None if there is no store yet. Raises StoreError.

        An older store is read as it is: it may be where nothing can be written.
        """

        def snapshot(connection: sqlite3.Connection) -> T:
            self._check_identity()
            connection.execute("BEGIN")
            result = work(connection)
            connection.execute("COMMIT")
            return result

        return self._run(lane, snapshot, create=False, migrate=False)

    def write(self, lane: Lane, work: Callable[[sqlite3.Connection], T], *, create: bool = True) -> T | None:
        """What `work` returns, in one committed transaction; None if there is no store and `create` is false.

        Nothing is written when `work` raises. Raises StoreError.
        """

        def transaction(connection: sqlite3.Connection) -> T:
            with NOT_NOW:
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    result = work(connection)
                    self._check_identity()
                    if lane.headroom is not None:
                        lane.headroom.make()
                    connection.execute("COMMIT")
                except BaseException:
                    self._roll_back(lane)
                    raise
            return result

        return self._run(lane, transaction, create=create, migrate=True)

    def outside(self, lane: Lane, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """What `work` returns, which begins its own transactions; None if there is no store. Raises StoreError."""

        def checked(connection: sqlite3.Connection) -> T:
            self._check_identity()
            return work(connection)

        return self._run(lane, checked, create=False, migrate=False)

    def sizes(self) -> tuple[int, int]:
        """Bytes of the file, and of the log beside it."""
        return _size(self.path), _size(log_of(self.path))

    def close(self, lane: Lane) -> None:
        """Close the lane's connection, and use no lane any more; everything committed stays."""
        self._closed = True
        self.leave(lane)

    def leave(self, lane: Lane) -> None:
        """Close the lane's connection."""
        if self._pid not in (None, os.getpid()):
            if lane.connection is not None:
                _inherited.append(lane.connection)
                lane.connection = None
            return
        with lane.lock:
            self._disconnect(lane)

    def _run(self, lane: Lane, work: Callable[[sqlite3.Connection], T], *, create: bool, migrate: bool) -> T | None:
        if self._pid not in (None, os.getpid()):
            raise forked(self.path)
        with lane.lock:
            deadline = time.monotonic() + self.patience
            while True:
                if self._closed:
                    raise StoreError("the store is closed", where=self.path)
                try:
                    connection = lane.connection or self._connect(lane, create=create, migrate=migrate)
                    return None if connection is None else work(connection)
                except sqlite3.Error as error:
                    self._roll_back(lane)
                    if _is_busy(error) and time.monotonic() < deadline:
                        time.sleep(0.01)
                        continue
                    self._disconnect(lane)
                    raise explain(error, self.path) from error
                except UnicodeDecodeError as error:
                    self._disconnect(lane)
                    raise damaged(self.path, error) from error
                except UnicodeEncodeError as error:
                    self._roll_back(lane)
                    raise refused(error, self.path) from error
                except BaseException:
                    self._roll_back(lane)
                    raise

    def _connect(self, lane: Lane, *, create: bool, migrate: bool) -> sqlite3.Connection | None:
        identity = identify(self.path)
        if identity is None and self._identity is not None:
            raise replaced(self.path)
        if identity is None:
            if not create:
                return None
            make_file(self.path)
            identity = identify(self.path)
        if identity is None or (self._identity or identity) != identity:
            raise replaced(self.path)
        require_library(self.path)
        _claim(identity, self.path)
        connection = None
        ready = False
        try:
            connection = _open(self.path, min(BUSY_TIMEOUT, self.patience))
            prepared = _prepare(connection, self.path, create=create, migrate=migrate)
            if prepared and identify(self.path) != identity:
                raise replaced(self.path)
            for pragma in lane.pragmas if prepared else ():
                connection.execute(pragma)
            ready = prepared
        finally:
            if not ready:
                if connection is not None:
                    connection.close()
                _release(identity)
        if not ready:
            return None
        self._identity = lane.identity = identity
        self._pid = os.getpid()
        lane.connection = connection
        lane.headroom = Headroom(self.path) if lane.synced else None
        return connection

    def _disconnect(self, lane: Lane) -> None:
        connection, lane.connection = lane.connection, None
        headroom, lane.headroom = lane.headroom, None
        if headroom is not None:
            headroom.close()
        if connection is not None:
            try:
                connection.close()
            finally:
                _release(lane.identity)

    def _roll_back(self, lane: Lane) -> None:
        if lane.connection is not None and lane.connection.in_transaction:
            try:
                lane.connection.rollback()
            except sqlite3.Error:
                self._disconnect(lane)

    def _check_identity(self) -> None:
        # SQLite goes on writing happily into a file that was deleted.
        try:
            status = os.stat(self.path)
        except OSError:
            raise replaced(self.path) from None
        if (status.st_dev, status.st_ino) != self._identity:
            raise replaced(self.path)


def identify(path: str) -> tuple[int, int] | None:
    """Device and inode of the file, None if there is none. Raises StoreError if it cannot be a store."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"the store cannot be reached: {error.strerror}", where=path, hint="choose another place with --store"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        what = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise StoreError(
            f"the store is {what}", where=path, hint="--store takes a file, such as sqlite:///folder/cerebelum.db"
        )
    return status.st_dev, status.st_ino


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def make_file(path: str) -> None:
    """Create the empty file (0600) and the folders it needs (0700), durably. Raises StoreError."""
    target = os.path.realpath(path)
    missing = []
    folder = os.path.dirname(target)
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    try:
        for each in reversed(missing):
            try:
                os.mkdir(each, 0o700)
            except FileExistsError:
                continue
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return
        for each in [folder, *missing]:
            descriptor = os.open(each, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        raise StoreError(
            f"the store cannot be created: {error.strerror} ({error.filename or target})",
            where=path,
            hint="make that folder writable, or choose another place with --store or CEREBELUM_STORE",
        ) from error


def _open(path: str, timeout: float) -> sqlite3.Connection:
    # mode=rw: SQLite must not create the file, it would make it readable for everybody.
    quoted = "".join(chr(byte) if byte in _UNQUOTED else f"%{byte:02x}" for byte in os.fsencode(path))
    return sqlite3.connect(
        f"file://{quoted}?mode=rw", uri=True, timeout=timeout, isolation_level=None, check_same_thread=False
    )


def _prepare(connection: sqlite3.Connection, path: str, *, create: bool, migrate: bool) -> bool:
    """Whether the file is a store that can be used, after creating or migrating it where that is due."""
    connection.execute("BEGIN")
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    empty = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    connection.execute("COMMIT")
    if empty and application == 0 and version == 0:
        if not create:
            return False
    elif application != APPLICATION_ID or version < 1:
        raise StoreError(
            "this is an SQLite database, but not a store of cerebelum",
            where=path,
            hint="choose another file with --store",
        )
    if version > SCHEMA_VERSION:
        from cerebelum import __version__

        raise StoreError(
            f"the store has schema version {version}; cerebelum {__version__} knows versions up to {SCHEMA_VERSION}",
            where=path,
            hint="a newer cerebelum wrote it; use that version or a newer one",
        )
    if version < SCHEMA_VERSION and migrate:
        from cerebelum.backends.sqlite import schema

        schema.migrate(connection)
    return True


def _claim(identity: tuple[int, int], path: str) -> None:
    """Count a connection; refuse one to a file that a parent process had open when it forked this one.

    SQLite would take the parent's locks, which this process does not have, for its own.
    """
    with _opened_lock:
        pid, count = _opened.get(identity, (os.getpid(), 0))
        if pid != os.getpid():
            raise forked(path)
        _opened[identity] = pid, count + 1


def _release(identity: tuple[int, int]) -> None:
    with _opened_lock:
        pid, count = _opened[identity]
        if count > 1:
            _opened[identity] = pid, count - 1
        else:
            del _opened[identity]


def refused(error: UnicodeEncodeError, path: str) -> StoreError:
    """The error for text that is no Unicode."""
    return StoreError(
        f"{error.object!r} cannot be stored: it is not Unicode text",
        where=path,
        hint="it came from bytes that are not UTF-8; write it differently",
    )


def forked(path: str) -> StoreError:
    """The error for a process that has only a copy of what another one opened."""
    return StoreError(
        "this process was forked from one that has the store open, and SQLite cannot be carried across a fork",
        where=path,
        hint="close the store before forking, or start the process anew (multiprocessing's 'spawn')",
    )


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (BUSY, LOCKED, PROTOCOL)
