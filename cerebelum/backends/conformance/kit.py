"""What the conformance suite works with: logs and summaries to store, many at once, and other processes."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from cerebelum.core.events import GENESIS, Entry, chain
from cerebelum.core.summary import Summary
from cerebelum.store import Chunk, Conflict, EventStore, Fenced, Ownership, Query, Row, Tombstone, Whole

START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MINE = Ownership("runner-1", 1)
NOBODY = Ownership(None, 0)
CHURNED = 7
"""How many entries a process appends at once until it is killed."""


def entry(execution_id: str, version: int, previous: str = GENESIS, *, text: str | None = None) -> Entry:
    """An entry as the store gets it, chained to `previous`."""
    text = f'{{"version":{version}}}' if text is None else text
    at = START + timedelta(microseconds=version)
    return Entry(version, "StepStarted", at, text, chain(previous, execution_id, text.encode()))


def log(execution_id: str, count: int) -> list[Entry]:
    """A chained log of `count` entries."""
    entries: list[Entry] = []
    for version in range(1, count + 1):
        entries.append(entry(execution_id, version, entries[-1].digest if entries else GENESIS))
    return entries


def summary(execution_id: str, entries: Sequence[Entry], **fields: Any) -> Summary:
    """A summary that goes with a log ending in `entries`."""
    given = {"workflow": "deploy", "status": "running", "started_at": START, "updated_at": entries[-1].at}
    last = entries[-1]
    return Summary(execution_id=execution_id, version=last.version, digest=last.digest, **{**given, **fields})


def create(store: EventStore, execution_id: str, fence: Ownership | None = None, **fields: Any) -> Entry:
    """An execution with one entry; the fields are those of its summary."""
    [first] = log(execution_id, 1)
    store.append(execution_id, 0, [first], summary(execution_id, [first], **fields), fence=fence)
    return first


def whole(execution_id: str, count: int, epoch: int = 1, **fields: Any) -> Whole:
    """A completed execution with `count` entries, to be restored; the fields are those of its summary."""
    entries = log(execution_id, count)
    ended = {"status": "completed", "ended_at": entries[-1].at, **fields}
    return Whole(summary(execution_id, entries, **ended), epoch, entries)


def tombstone_of(store: EventStore, execution_id: str) -> Tombstone:
    """What is to stay of an execution that is there (or, if it is not, of one with a single entry)."""
    rows = store.find(Query(id=execution_id)).rows
    s = rows[0].summary if rows else whole(execution_id, 1).summary
    return Tombstone(
        execution_id, s.workflow, s.status, s.started_at, s.ended_at, s.version, s.digest, START + timedelta(days=9)
    )


def ids(store: EventStore, **query: Any) -> list[str]:
    """The ids that `find` gives, in its order."""
    return [row.summary.execution_id for row in store.find(Query(**query)).rows]


def ownership(store: EventStore, execution_id: str) -> Ownership:
    """Who owns an execution."""
    return store.find(Query(id=execution_id)).rows[0].ownership


def push(store: EventStore, execution_id: str, count: int) -> list[int]:
    """Append `count` entries beside others who do the same: read, append, and after a Conflict read again."""
    won: list[int] = []
    while len(won) < count:
        entries = store.read(execution_id)
        following = entry(execution_id, len(entries) + 1, entries[-1].digest)
        try:
            store.append(execution_id, len(entries), [following], summary(execution_id, [following]))
        except Conflict:
            continue
        won.append(following.version)
    return won


def drive(store: EventStore, execution_id: str, entries: list[Entry], fence: Ownership) -> int:
    """Append one entry after the other to a log that ends in `entries`, until another runner takes over: its length."""
    try:
        while True:
            following = entry(execution_id, len(entries) + 1, entries[-1].digest)
            store.append(execution_id, len(entries), [following], summary(execution_id, [following]), fence=fence)
            entries.append(following)
            # So that others get a turn where a lock is given to whoever comes first.
            time.sleep(0.001)
    except Fenced:
        return len(entries)


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work(0)`, `work(1)` … return, run at once by threads. Raises what one of them raises."""
    results: list[Any] = [None] * count
    errors: list[BaseException] = []
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            barrier.wait()
            results[number] = work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def output_of(writer: int, count: int) -> list[Chunk]:
    """The output of an attempt, by its number: `count` chunks, most of them small, some with hundreds of kilobytes."""
    chance = random.Random(writer)
    chunks: list[Chunk] = []
    offset = 0
    for number in range(count):
        size = chance.choice((1, 10, 100, 1000, 20_000, 300_000))
        data = (b"%d:%d " % (writer, number)).ljust(size, b".")
        chunks.append(Chunk("build", writer, offset, chance.choice(("stdout", "stderr")), START, data))
        offset += len(data)
    return chunks


def settled(store: EventStore, execution_id: str) -> tuple[list[Entry], Row | None]:
    """Log and row of an execution between which nobody appended."""
    while True:
        before = store.read(execution_id)
        rows = store.find(Query(id=execution_id)).rows
        if before == store.read(execution_id):
            return before, rows[0] if rows else None


def sound(store: EventStore, execution_id: str) -> int:
    """The length of a log that has no gap and no double, is chained right, and agrees with its summary."""
    entries, row = settled(store, execution_id)
    assert [e.version for e in entries] == list(range(1, len(entries) + 1))
    digest = GENESIS
    for each in entries:
        digest = chain(digest, execution_id, each.text.encode())
        assert each.digest == digest
    assert row is not None
    assert (row.summary.version, row.summary.digest) == (len(entries), digest)
    return len(entries)


def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Wait for something that other threads or processes do. Raises AssertionError if it takes longer."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it has not happened within {seconds:g} s"
        time.sleep(0.005)


MakeStore = Callable[[], EventStore]


class Other:
    """Another process that opens the store, waits for `begin`, and does one of the deeds of `others`."""

    def __init__(self, opener: Callable[[str], EventStore], url: str, deed: str, arguments: Sequence[str]) -> None:
        code = "from cerebelum.backends.conformance.others import main; main()"
        where = f"{opener.__module__}:{opener.__qualname__}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, where, url, deed, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> None:
        """Wait until it has the store open."""
        assert self.hears() == "ready"

    def begin(self) -> None:
        """Have it begin; it has to be ready."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def hears(self) -> Any:
        """The next thing that it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the other process has ended without an answer; its error is above"
        return msgspec.json.decode(line)

    def result(self) -> Any:
        """What came out, once it has ended."""
        assert self._process.stdout is not None
        last = self._process.stdout.read().splitlines()[-1]
        assert self._process.wait() == 0
        return msgspec.json.decode(last)

    def kill(self) -> list[Any]:
        """Kill it, as `kill -9` does; what it had said until then."""
        self._process.kill()
        assert self._process.stdout is not None
        said = self._process.stdout.read().splitlines(keepends=True)
        self.end()
        return [msgspec.json.decode(line) for line in said if line.endswith("\n")]

    def end(self) -> None:
        """Leave nothing of it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


StartOther = Callable[..., Other]


def results(others: Sequence[Other]) -> list[Any]:
    """What comes out of processes that begin at the same moment."""
    for other in others:
        other.ready()
    for other in others:
        other.begin()
    return [other.result() for other in others]


class StoreTests:
    """Where the tests of a store get it from."""

    @staticmethod
    def opener(url: str) -> EventStore:
        """Open the store of a URL; a subclass puts a function from the top of an importable module here."""
        raise NotImplementedError("a subclass says what opens the store")

    @pytest.fixture
    def url(self) -> str:
        """Where a fresh, empty store is (or will be once it is written)."""
        raise NotImplementedError("a subclass says where the store is")

    @pytest.fixture
    def make_store(self, url: str) -> Iterator[MakeStore]:
        """Gives another handle on the test's store with each call; all of them are closed at the end."""
        handles: list[EventStore] = []

        def make() -> EventStore:
            handles.append(self.opener(url))
            return handles[-1]

        yield make
        for handle in handles:
            handle.close()

    @pytest.fixture
    def store(self, make_store: MakeStore) -> EventStore:
        """One handle on a fresh store."""
        return make_store()

    @pytest.fixture
    def other(self, url: str) -> Iterator[StartOther]:
        """Starts a process with a handle of its own, which will do a deed: `other("push_all", "10", "deploy-1")`."""
        started: list[Other] = []

        def start(deed: str, *arguments: str) -> Other:
            started.append(Other(self.opener, url, deed, arguments))
            return started[-1]

        yield start
        for each in started:
            each.end()
