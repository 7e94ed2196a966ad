"""A disk that forgets: an SQLite VFS that keeps account of what was synced, and makes the images a power cut leaves.

The store itself is the real one, with its own statements and pragmas; only its connection is made by apsw, whose VFS
can be written in Python. Such a VFS has no shared memory, so the store's lanes share one exclusive connection here.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest

from cerebelum.backends.sqlite import SqliteStore, file, headroom

SECTOR = 512

Change = tuple[int, bytes | None]
"""A write (offset, data), or a truncation (new length, None)."""


@dataclass(slots=True)
class Held:
    """One file: what is on the disk for certain, and what was changed since the last sync."""

    durable: bytes
    pending: list[Change] = field(default_factory=list)
    known: bool = True
    """False until its first sync: its name may not be in the folder yet."""


@dataclass(slots=True)
class Disk:
    """The files of a store. `on_change` is called before each change and each sync, when power may be cut."""

    files: dict[str, Held] = field(default_factory=dict)
    moments: int = 0
    cut_every: int = 1
    images: list[tuple[int, dict[str, Held]]] = field(default_factory=list)
    acknowledged: int = 0

    def moment(self) -> None:
        """Power may be cut now: remember how the files stand, and what has been acknowledged."""
        self.moments += 1
        if self.moments % self.cut_every == 0:
            copy = {name: Held(held.durable, list(held.pending), held.known) for name, held in self.files.items()}
            self.images.append((self.acknowledged, copy))

    def change(self, name: str, change: Change) -> None:
        self.moment()
        self.files[name].pending.append(change)

    def sync(self, name: str) -> None:
        self.moment()
        held = self.files[name]
        held.durable, held.pending, held.known = applied(held.durable, held.pending), [], True


def applied(data: bytes, changes: Iterable[Change]) -> bytes:
    """The file's content after these changes."""
    content = bytearray(data)
    for offset, written in changes:
        if written is None:
            del content[offset:]
            content.extend(bytes(offset - len(content)))
        else:
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(written)] = written
    return bytes(content)


def survivors(pending: Sequence[Change], chance: random.Random) -> list[Change]:
    """Some of what was not synced: nothing, all, a beginning, or any of it, with single sectors of a write missing."""
    kind = chance.choice(["nothing", "all", "beginning", "any", "torn"])
    if kind == "nothing":
        return []
    if kind == "all":
        return list(pending)
    if kind == "beginning":
        return list(pending[: chance.randint(0, len(pending))])
    kept = [change for change in pending if chance.random() < 0.5]
    if kind == "any":
        return kept
    torn: list[Change] = []
    for offset, data in kept:
        if data is None:
            torn.append((offset, data))
        else:
            sectors = range(0, len(data), SECTOR)
            torn += [(offset + s, data[s : s + SECTOR]) for s in sectors if chance.random() < 0.5]
    return torn


def restore(image: dict[str, Held], folder: Path, chance: random.Random) -> None:
    """Write what is left after the power came back into a folder."""
    for name, held in image.items():
        left = survivors(held.pending, chance)
        if held.known or left:
            (folder / name).write_bytes(applied(held.durable, left))


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, filename: Any, flags: list[int]) -> None:
        super().__init__("", filename, flags)
        path = Path(filename.filename() if hasattr(filename, "filename") else str(filename))
        self._disk, self._name = disk, path.name
        if self._name not in disk.files:
            content = path.read_bytes()
            disk.files[self._name] = Held(content, known=bool(content))

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.change(self._name, (offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self._disk.change(self._name, (size, None))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        self._disk.sync(self._name)
        super().xSync(flags)


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        super().__init__("forgetful", "")

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        return _File(self.disk, name, flags)


class _Cursor:
    """What the store reads of a cursor."""

    def __init__(self, cursor: apsw.Cursor, rowcount: int) -> None:
        self._rows = list(cursor)
        self.rowcount = rowcount

    def fetchone(self) -> Any:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Any]:
        return self._rows


class _Lane:
    """A connection as the store's lanes know it. All share one, which takes on each lane's pragmas when it begins."""

    current: _Lane | None = None

    def __init__(self, real: apsw.Connection) -> None:
        self._real = real
        self._pragmas: list[str] = []

    @property
    def in_transaction(self) -> bool:
        return self._real.in_transaction

    def execute(self, sql: str, values: Sequence[Any] = ()) -> _Cursor:
        if sql.startswith("PRAGMA") and "=" in sql:
            self._pragmas.append(sql)
            _Lane.current = None
        if sql.startswith("BEGIN") and _Lane.current is not self:
            self._real.execute("PRAGMA query_only = 0")
            for pragma in self._pragmas:
                self._real.execute(pragma).fetchall()
            _Lane.current = self
        before = self._real.total_changes()
        cursor = self._real.execute(sql, tuple(values))
        return _Cursor(cursor, self._real.total_changes() - before)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._real.executemany(sql, [tuple(row) for row in rows])

    def rollback(self) -> None:
        self._real.execute("ROLLBACK")

    def close(self) -> None:
        """The shared connection stays open."""


@contextmanager
def recorded(path: Path, disk: Disk) -> Iterator[SqliteStore]:
    """The real store of `path`, which has to be there, on the disk that forgets."""
    vfs = _Vfs(disk)
    real = apsw.Connection(str(path), vfs="forgetful", flags=apsw.SQLITE_OPEN_READWRITE)
    real.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
    assert real.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    add = headroom.add

    def added(descriptor: int) -> int:
        disk.change(f"{path.name}-wal", (os.lseek(descriptor, 0, os.SEEK_END), bytes(headroom._STEP)))
        return add(descriptor)

    library = SimpleNamespace(connect=lambda *given, **options: _Lane(real), Error=apsw.Error)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file, "sqlite3", library)
        patch.setattr(headroom, "add", added)
        store = SqliteStore(str(path))
        try:
            yield store
        finally:
            store.close()
            disk.cut_every = 1 << 60
            real.close()
            vfs.unregister()
            _Lane.current = None
