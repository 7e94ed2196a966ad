"""What the tests of moving executions between stores share: what is in a store, and a store that is no SQLite to us."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cerebelum.core.events import Entry
from cerebelum.store import Chunk, EventStore, Row, every, every_chunk
from cerebelum.store.verify import verify
from tests.stores import open_store

Content = dict[str, tuple[list[Entry], list[Chunk]]]

PLAIN = """
from cerebelum import hookimpl
from cerebelum.backends.sqlite import open_store
from cerebelum.store import Description, EventStore


class Plain(EventStore):
    "Only what every store has to have, and no means of its own."

    def __init__(self, path):
        self.inner = open_store(f"sqlite:///{path}")
        for name in ("append", "read", "find", "own", "beat", "note_process", "processes", "write_log", "read_log",
                     "claim", "unclaim", "claims"):
            setattr(self, name, getattr(self.inner, name))
        self.prune, self.tombstones, self.close = self.inner.prune, self.inner.tombstones, self.inner.close

    def describe(self):
        return Description(kind="Plain", where=f"plain://{self.inner.path}", exists=self.inner.describe().exists)


@hookimpl
def cerebelum_backends():
    return {"plain": lambda url: Plain(url.removeprefix("plain://"))}
"""


@contextmanager
def opened(place: Path | str) -> Iterator[EventStore]:
    """The store of a file or a URL, closed afterwards."""
    store = open_store(place if isinstance(place, str) else f"sqlite:///{place}")
    try:
        yield store
    finally:
        store.close()


def content(place: Path | str) -> Content:
    """The log and the output of every execution in a store, which has to be sound."""
    with opened(place) as store:
        assert [flaw for verified in verify(store) for flaw in verified.flaws] == []
        names = [row.summary.execution_id for row in every(store)]
        return {name: (store.read(name), list(every_chunk(store, name))) for name in names}


def rows(place: Path | str) -> list[Row]:
    """The rows of a store, newest start first."""
    with opened(place) as store:
        return list(every(store))


def count(place: Path | str) -> int:
    """How many executions are in a store that somebody else is writing."""
    with opened(place) as store:
        return sum(store.totals().executions.values())
