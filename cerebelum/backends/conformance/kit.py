"""What the conformance suite works with: logs and summaries to store, many at once, and other processes."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from cerebelum.core.events import GENESIS, Entry, chain
from cerebelum.core.summary import Summary
from cerebelum.store import Conflict, EventStore, Ownership, Query, Tombstone, Whole

START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MINE = Ownership("runner-1", 1)
NOBODY = Ownership(None, 0)


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
    def store(self, url: str) -> Iterator[EventStore]:
        store = self.opener(url)
        yield store
        store.close()

    def elsewhere(self, url: str, *arguments: str) -> subprocess.Popen[str]:
        """Another process that opens the store and does what `main` below understands."""
        opener = f"{self.opener.__module__}:{self.opener.__qualname__}"
        command = [sys.executable, "-c", "from cerebelum.backends.conformance.kit import main; main()", opener, url]
        return subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)


def main() -> None:
    """What another process does: `MODULE:OPENER URL push ID COUNT` or `… own ID OWNER EXPECTED-OWNER EPOCH`."""
    opener, url, verb, execution_id, *rest = sys.argv[1:]
    module, _, name = opener.partition(":")
    store: EventStore = getattr(importlib.import_module(module), name)(url)
    try:
        if verb == "push":
            result: Any = push(store, execution_id, int(rest[0]))
        else:
            result = store.own(execution_id, rest[0], Ownership(rest[1], int(rest[2])))
        sys.stdout.write(msgspec.json.encode(result).decode())
    finally:
        store.close()
