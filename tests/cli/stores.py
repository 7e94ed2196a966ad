"""What the tests of moving executions between stores share: what is in a store, and a store that is no SQLite to us."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cerebelum.backends.sqlite import SqliteStore
from cerebelum.core.events import Entry
from cerebelum.store import Chunk, Row, every, every_chunk
from cerebelum.store.verify import verify

Content = dict[str, tuple[list[Entry], list[Chunk]]]

PLAIN = """
from cerebelum import hookimpl
from cerebelum.backends.sqlite import open_store
from cerebelum.store import Description, EventStore


class Plain(EventStore):
    "Only what every store has to have, and no means of its own."

    def __init__(self, path):
        self.inner = open_store(f"sqlite:///{path}")
        for name in ("append", "read", "find", "own", "beat", "note_process", "processes", "write_log", "read_log"):
            setattr(self, name, getattr(self.inner, name))
        self.prune, self.tombstones, self.close = self.inner.prune, self.inner.tombstones, self.inner.close

    def describe(self):
        return Description(kind="Plain", where=f"plain://{self.inner.path}", exists=self.inner.describe().exists)


@hookimpl
def cerebelum_backends():
    return {"plain": lambda url: Plain(url.removeprefix("plain://"))}
"""


@contextmanager
def opened(path: Path) -> Iterator[SqliteStore]:
    """The store of a file, closed afterwards."""
    store = SqliteStore(str(path))
    try:
        yield store
    finally:
        store.close()


def content(path: Path) -> Content:
    """The log and the output of every execution in a store, which has to be sound."""
    with opened(path) as store:
        assert [flaw for verified in verify(store) for flaw in verified.flaws] == []
        names = [row.summary.execution_id for row in every(store)]
        return {name: (store.read(name), list(every_chunk(store, name))) for name in names}


def rows(path: Path) -> list[Row]:
    """The rows of a store, newest start first."""
    with opened(path) as store:
        return list(every(store))


def count(path: Path) -> int:
    """How many executions are in a store that somebody else is writing."""
    if not path.exists():
        return 0
    with opened(path) as store:
        return sum(store.totals().executions.values())
