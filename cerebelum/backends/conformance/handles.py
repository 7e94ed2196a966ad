"""That handles can be opened, shared, closed and forgotten in every way that the rest of cerebelum does."""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from cerebelum.backends.conformance.kit import (
    MINE,
    NOBODY,
    START,
    MakeStore,
    StartOther,
    StoreTests,
    create,
    entry,
    ids,
    log,
    ownership,
    push,
    sound,
    summary,
    together,
    tombstone_of,
    whole,
)
from cerebelum.core.errors import StoreError
from cerebelum.store import Change, Chunk, EventStore, Ownership, Process, Query, Runner

RUNNER = Runner("runner-1", "host", "boot", 1, "pid:[1]", 1, START, "/run/r.lock")
PROCESS = Process("build", 1, 100, "pid:[1]", 5, "boot", 100, "token-1")
CHUNK = Chunk("build", 1, 0, "stdout", START, b"x")
SECONDS = 10.0
"""Within which others are told of a change, and a call ends when its store is closed."""


class HandleConformance(StoreTests):
    """The tests of opening, closing, sharing, forking and waking."""

    def test_what_was_written_is_there_when_the_store_is_opened_again(self, make_store: MakeStore) -> None:
        store = make_store()
        entries = log("deploy-1", 3)
        store.append("deploy-1", 0, entries, summary("deploy-1", entries, tags=("nightly",)), fence=MINE)
        store.write_log("deploy-1", [CHUNK])
        store.note_process("deploy-1", PROCESS)
        store.restore([whole("deploy-2", 1)])
        tombstone = tombstone_of(store, "deploy-2")
        store.prune(tombstone)
        store.close()
        again = make_store()
        assert again.read("deploy-1") == entries
        assert ids(again, tag=("nightly",)) == ["deploy-1"]
        assert ownership(again, "deploy-1") == MINE
        assert again.read_log("deploy-1").chunks == [CHUNK]
        assert again.processes("deploy-1") == [PROCESS]
        assert again.tombstones() == [tombstone]

    def test_others_see_at_once_what_was_written(self, make_store: MakeStore) -> None:
        one, two = make_store(), make_store()
        assert two.read("deploy-1") == []
        first = create(one, "deploy-1", MINE)
        assert two.read("deploy-1") == [first]
        one.write_log("deploy-1", [CHUNK])
        assert two.read_log("deploy-1").chunks == [CHUNK]
        taken = two.own("deploy-1", "runner-2", MINE)
        assert ownership(one, "deploy-1") == taken
        following = entry("deploy-1", 2, first.digest)
        two.append("deploy-1", 1, [following], summary("deploy-1", [following]), fence=taken, release=True)
        assert one.read("deploy-1") == [first, following]
        one.note_process("deploy-1", PROCESS)
        assert two.processes("deploy-1") == [PROCESS]
        two.prune(tombstone_of(two, "deploy-1"))
        assert one.read("deploy-1") == []
        assert ids(one) == []

    def test_threads_may_share_a_store(self, store: EventStore) -> None:
        create(store, "deploy-1")

        def work(number: int) -> None:
            for turn in range(10):
                if number == 0:
                    push(store, "deploy-1", 1)
                elif number == 1:
                    store.beat(msgspec.structs.replace(RUNNER, beat=turn))
                elif number == 2:
                    store.write_log("deploy-1", [Chunk("build", 1, turn, "stdout", START, b"x")])
                elif number == 3:
                    store.note_process("deploy-1", msgspec.structs.replace(PROCESS, pid=turn))
                else:
                    assert len(store.find(Query()).rows) == 1
                    assert store.read("deploy-1")

        together(6, work)
        assert sound(store, "deploy-1") == 11
        assert len(store.read_log("deploy-1").chunks) == 10
        assert len(store.processes("deploy-1")) == 10

    def test_many_handles_work_side_by_side(self, make_store: MakeStore) -> None:
        handles = [make_store() for _ in range(8)]
        together(8, lambda number: create(handles[number], f"deploy-{number}"))
        for number, handle in enumerate(handles):
            assert len(ids(handle)) == 8
            # The others go on where some are closed, or forgotten without.
            if number % 2:
                handle.close()
        del handle
        handles[0:2] = []
        gc.collect()
        assert push(handles[0], "deploy-0", 3) == [2, 3, 4]
        assert sound(handles[2], "deploy-0") == 4

    # Closing

    def test_closing_twice_is_allowed(self, make_store: MakeStore) -> None:
        store = make_store()
        create(store, "deploy-1")
        store.close()
        store.close()
        unused = make_store()
        unused.close()
        unused.close()

    CALLS: tuple[tuple[str, Callable[[EventStore], Any]], ...] = (
        ("append", lambda store: create(store, "deploy-2")),
        ("read", lambda store: store.read("deploy-1")),
        ("find", lambda store: store.find(Query())),
        ("own", lambda store: store.own("deploy-1", "runner-1", NOBODY)),
        ("beat", lambda store: store.beat(RUNNER)),
        ("note_process", lambda store: store.note_process("deploy-1", PROCESS)),
        ("processes", lambda store: store.processes("deploy-1")),
        ("write_log", lambda store: store.write_log("deploy-1", [CHUNK])),
        ("read_log", lambda store: store.read_log("deploy-1")),
        ("prune", lambda store: store.prune(tombstone_of(store, "deploy-1"))),
        ("tombstones", lambda store: store.tombstones()),
        ("restore", lambda store: store.restore([whole("deploy-3", 1)])),
        ("totals", lambda store: store.totals()),
        ("workflows", lambda store: store.workflows()),
    )

    @pytest.mark.parametrize("call", [call for _, call in CALLS], ids=[name for name, _ in CALLS])
    def test_a_closed_store_says_so(self, make_store: MakeStore, call: Callable[[EventStore], Any]) -> None:
        store, other = make_store(), make_store()
        create(store, "deploy-1")
        store.close()
        with pytest.raises(StoreError, match="closed"):
            call(store)
        assert ids(other) == ["deploy-1"]
        assert ownership(other, "deploy-1") == NOBODY
        assert other.read_log("deploy-1").chunks == []

    def test_a_store_may_be_closed_while_others_are_in_the_middle_of_a_call(self, make_store: MakeStore) -> None:
        reader = make_store()
        for turn in range(4):
            store = make_store()
            began = threading.Semaphore(0)

            def work(number: int, store: EventStore = store, began: Any = began, turn: int = turn) -> int:
                if number == 3:
                    for _ in range(3):
                        assert began.acquire(timeout=SECONDS)
                    store.close()
                    return 0
                name = f"deploy-{turn}-{number}"
                written = 0
                with pytest.raises(StoreError, match="closed"):  # noqa: PT012
                    create(store, name)
                    written = 1
                    began.release()
                    while True:
                        if number == 2:
                            store.find(Query(count_to=10))
                            store.write_log(name, [CHUNK])
                        else:
                            written += len(push(store, name, 1))
                return written

            written = together(4, work)
            for number in range(3):
                # One more may have been written by the call that was told that the store is closed.
                there = sound(reader, f"deploy-{turn}-{number}")
                assert written[number] <= there <= written[number] + 1

    # Forks

    def test_a_forked_process_is_refused_and_does_the_parent_no_harm(
        self, store: EventStore, other: StartOther
    ) -> None:
        create(store, "deploy-1")
        forking = other("fork", "deploy-1")
        forking.ready()
        forking.begin()
        told = forking.result()
        assert told == {"answers": ["StoreError", "StoreError"], "code": 0, "during": [3], "after": [4]}
        assert sound(store, "deploy-1") == 4

    # Waking

    def test_a_store_that_wakes_does_so_for_whatever_another_handle_changes(self, make_store: MakeStore) -> None:
        listener, other = make_store(), make_store()
        create(other, "deploy-1", MINE)
        entries = log("deploy-1", 2)
        woken: queue.SimpleQueue[Change] = queue.SimpleQueue()
        end = listener.subscribe(woken.put)
        if end is None:
            # Allowed: whoever waits then looks now and then.
            return
        taken = Ownership("runner-2", 2)
        changes: list[Callable[[], Any]] = [
            lambda: other.own("deploy-1", "runner-2", MINE),
            lambda: other.append("deploy-1", 1, entries[1:], summary("deploy-1", entries), fence=taken),
            lambda: other.write_log("deploy-1", [CHUNK]),
            lambda: other.append("deploy-1", 2, [], summary("deploy-1", entries), fence=taken, release=True),
            lambda: create(other, "deploy-2"),
        ]
        self._silence(woken)
        for number, change in enumerate(changes):
            change()
            name = "deploy-2" if number == 4 else "deploy-1"
            while woken.get(timeout=SECONDS).execution_id not in (name, ""):
                pass
            self._silence(woken)
        end()
        self._silence(woken)
        create(other, "deploy-3")
        with pytest.raises(queue.Empty):
            woken.get(timeout=1)
        end()

    def test_one_who_listens_goes_on_when_another_ends(self, make_store: MakeStore) -> None:
        listener, other = make_store(), make_store()
        ended: queue.SimpleQueue[Change] = queue.SimpleQueue()
        woken: queue.SimpleQueue[Change] = queue.SimpleQueue()
        end = listener.subscribe(ended.put)
        if end is None:
            assert listener.subscribe(woken.put) is None
            return
        listener.subscribe(woken.put)
        end()
        self._silence(woken)
        self._silence(ended)
        create(other, "deploy-1")
        while woken.get(timeout=SECONDS).execution_id not in ("deploy-1", ""):
            pass
        assert ended.empty()
        # Closing ends it, too.
        listener.close()
        create(other, "deploy-2")

    @staticmethod
    def _silence(woken: queue.SimpleQueue[Change]) -> None:
        """Wait until what was told before has come."""
        while True:
            try:
                woken.get(timeout=0.3)
            except queue.Empty:
                return
