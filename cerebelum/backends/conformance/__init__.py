"""What every store has to do, as tests: a backend that passes them works with the rest of cerebelum.

In the tests of a backend, subclass StoreConformance and say where a fresh store is and what opens it:

    from cerebelum.backends.conformance import StoreConformance

    class TestMyStore(StoreConformance):
        opener = staticmethod(open_store)          # importable by its module and name: other processes use it too

        @pytest.fixture
        def url(self, tmp_path):
            return f"mystore:///{tmp_path}/events"  # a fresh, empty store for each test
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

import msgspec
import pytest
from msgspec.structs import replace

from cerebelum.backends.conformance.kit import (
    MINE,
    NOBODY,
    START,
    create,
    entry,
    ids,
    log,
    ownership,
    push,
    summary,
    together,
)
from cerebelum.backends.conformance.search import SearchConformance
from cerebelum.backends.conformance.tools import ToolsConformance
from cerebelum.core.events import GENESIS, Entry, chain
from cerebelum.store import Chunk, Conflict, EventStore, Fenced, LogPage, Ownership, Page, Process, Query, Runner


class StoreConformance(SearchConformance, ToolsConformance):
    """The suite; see the module's text."""

    # Appending and reading

    def test_a_store_that_was_never_written_is_empty(self, store: EventStore) -> None:
        assert store.read("deploy-1") == []
        assert store.find(Query(count_to=10)) == Page([], False, 0)
        assert store.find(Query()).total is None
        assert store.processes("deploy-1") == []
        assert store.read_log("deploy-1") == LogPage([], 0)
        assert store.own("deploy-1", "runner-1", NOBODY) is None

    def test_entries_are_read_as_they_were_appended(self, store: EventStore) -> None:
        entries = log("deploy-1", 5)
        store.append("deploy-1", 0, entries[:2], summary("deploy-1", entries[:2]))
        store.append("deploy-1", 2, entries[2:], summary("deploy-1", entries))
        assert store.read("deploy-1") == entries
        assert store.read("deploy-1", after=3) == entries[3:]
        assert store.read("deploy-1", after=5) == []
        assert [type(e) for e in store.read("deploy-1")] == [Entry] * 5

    @pytest.mark.parametrize(
        "text",
        [
            '{"b":1,"a":2, "a":3 }',
            '"\\u0000 \\ud83d \\n"',
            '"grüße, 你好, \U0001f9e0, e\u0301 \u00e9 \u2028"',
            '"' + "x" * (1 << 20) + '"',
            "1e400",
            "",
        ],
        ids=["order", "escapes", "unicode", "1MiB", "number", "empty"],
    )
    def test_texts_come_back_byte_for_byte(self, store: EventStore, text: str) -> None:
        [first] = [entry("deploy-1", 1, text=text)]
        store.append("deploy-1", 0, [first], summary("deploy-1", [first]))
        assert store.read("deploy-1") == [first]

    def test_times_keep_their_microseconds(self, store: EventStore) -> None:
        times = [datetime(1970, 1, 1, tzinfo=UTC), datetime(2038, 1, 19, 3, 14, 8, 1, tzinfo=UTC), START]
        entries = [replace(e, at=at) for e, at in zip(log("deploy-1", 3), times, strict=True)]
        store.append("deploy-1", 0, entries, summary("deploy-1", entries))
        assert [e.at for e in store.read("deploy-1")] == times
        assert all(e.at.tzinfo is not None for e in store.read("deploy-1"))

    def test_the_hash_chain_can_be_recomputed_from_what_is_read(self, store: EventStore) -> None:
        entries = log("deploy-1", 20)
        store.append("deploy-1", 0, entries, summary("deploy-1", entries))
        digest = GENESIS
        for each in store.read("deploy-1"):
            digest = chain(digest, "deploy-1", each.text.encode())
            assert each.digest == digest
        assert store.find(Query(id="deploy-1")).rows[0].summary.digest == digest

    def test_an_append_at_another_version_is_a_conflict_and_writes_nothing(self, store: EventStore) -> None:
        entries = log("deploy-1", 9)
        store.append("deploy-1", 0, entries[:3], summary("deploy-1", entries[:3]))
        for expected in (1, 2, 4, 8):
            with pytest.raises(Conflict) as caught:
                store.append("deploy-1", expected, [entries[expected]], summary("deploy-1", [entries[expected]]))
            assert (caught.value.expected, caught.value.actual) == (expected, 3)
        assert store.read("deploy-1") == entries[:3]
        assert store.find(Query(id="deploy-1")).rows[0].summary == summary("deploy-1", entries[:3])

    def test_creating_what_is_there_is_a_conflict_whoever_owns_it(self, store: EventStore) -> None:
        first = create(store, "deploy-1", MINE)
        for fence in (None, MINE, Ownership("runner-2", 1)):
            with pytest.raises(Conflict) as caught:
                store.append("deploy-1", 0, [first], summary("deploy-1", [first]), fence=fence)
            assert caught.value.actual == 1
        assert ownership(store, "deploy-1") == MINE

    def test_appending_to_what_is_not_there_is_a_conflict(self, store: EventStore) -> None:
        create(store, "other-1")
        entries = log("deploy-1", 2)
        with pytest.raises(Conflict) as caught:
            store.append("deploy-1", 1, entries[1:], summary("deploy-1", entries))
        assert caught.value.actual == 0
        assert ids(store) == ["other-1"]

    def test_an_append_that_fails_half_way_leaves_nothing(self, store: EventStore) -> None:
        entries = log("deploy-1", 3)
        create(store, "deploy-1")
        bad = replace(entries[2], text="\ud800")
        with pytest.raises(Exception, match=r".+"):
            store.append("deploy-1", 1, [entries[1], bad], summary("deploy-1", [entries[1], bad]))
        assert store.read("deploy-1") == entries[:1]
        store.append("deploy-1", 1, entries[1:], summary("deploy-1", entries))
        assert store.read("deploy-1") == entries

    def test_threads_that_append_at_once_leave_no_gap_and_no_double(self, store: EventStore) -> None:
        create(store, "deploy-1")
        won = together(4, lambda _: push(store, "deploy-1", 10))
        assert sorted(version for versions in won for version in versions) == list(range(2, 42))
        self._check_chain(store, "deploy-1", 41)

    def test_processes_that_append_at_once_leave_no_gap_and_no_double(self, store: EventStore, url: str) -> None:
        create(store, "deploy-1")
        others = [self.elsewhere(url, "push", "deploy-1", "15") for _ in range(3)]
        outputs = [process.communicate()[0] for process in others]
        assert [process.returncode for process in others] == [0, 0, 0]
        won = [version for output in outputs for version in msgspec.json.decode(output)]
        assert sorted(won) == list(range(2, 47))
        self._check_chain(store, "deploy-1", 46)

    def _check_chain(self, store: EventStore, execution_id: str, length: int) -> None:
        entries = store.read(execution_id)
        assert [e.version for e in entries] == list(range(1, length + 1))
        digest = GENESIS
        for each in entries:
            digest = chain(digest, execution_id, each.text.encode())
            assert each.digest == digest
        assert store.find(Query(id=execution_id)).rows[0].summary.digest == digest

    def test_what_was_appended_is_there_when_the_store_is_opened_again(self, store: EventStore, url: str) -> None:
        entries = log("deploy-1", 3)
        store.append("deploy-1", 0, entries, summary("deploy-1", entries, tags=("nightly",)), fence=MINE)
        store.close()
        again = self.opener(url)
        try:
            assert again.read("deploy-1") == entries
            assert ids(again, tag=("nightly",)) == ["deploy-1"]
            assert ownership(again, "deploy-1") == MINE
        finally:
            again.close()

    def test_others_see_an_append_at_once(self, store: EventStore, url: str) -> None:
        other = self.opener(url)
        try:
            assert other.read("deploy-1") == []
            first = create(store, "deploy-1")
            assert other.read("deploy-1") == [first]
        finally:
            other.close()

    def test_closing_twice_is_allowed(self, store: EventStore) -> None:
        create(store, "deploy-1")
        store.close()
        store.close()

    # Ownership

    def test_an_append_with_a_stale_fence_is_refused_before_anything_else(self, store: EventStore) -> None:
        entries = log("deploy-1", 2)
        create(store, "deploy-1", MINE)
        for fence in (Ownership("runner-2", 1), Ownership("runner-1", 2), Ownership(None, 1)):
            for expected in (1, 5):
                last = entry("deploy-1", expected + 1, entries[0].digest)
                with pytest.raises(Fenced) as caught:
                    store.append("deploy-1", expected, [last], summary("deploy-1", [last]), fence=fence)
                assert Ownership(caught.value.owner, caught.value.epoch) == MINE
        assert store.read("deploy-1") == entries[:1]

    def test_the_owner_appends_until_it_is_taken_over(self, store: EventStore) -> None:
        entries = log("deploy-1", 4)
        create(store, "deploy-1", MINE)
        store.append("deploy-1", 1, entries[1:2], summary("deploy-1", entries[:2]), fence=MINE)
        taken = store.own("deploy-1", "runner-2", MINE)
        assert taken == Ownership("runner-2", 2)
        with pytest.raises(Fenced):
            store.append("deploy-1", 2, entries[2:3], summary("deploy-1", entries[:3]), fence=MINE)
        store.append("deploy-1", 2, entries[2:3], summary("deploy-1", entries[:3]), fence=taken)
        assert len(store.read("deploy-1")) == 3

    def test_anybody_may_append_without_a_fence(self, store: EventStore) -> None:
        entries = log("deploy-1", 2)
        create(store, "deploy-1", MINE)
        store.append("deploy-1", 1, entries[1:], summary("deploy-1", entries))
        assert store.read("deploy-1") == entries
        assert ownership(store, "deploy-1") == MINE

    def test_an_owner_that_created_nothing_yet_is_set_by_creating(self, store: EventStore) -> None:
        create(store, "deploy-1", MINE)
        create(store, "deploy-2")
        assert ownership(store, "deploy-1") == MINE
        assert ownership(store, "deploy-2") == NOBODY

    def test_release_leaves_no_owner_and_keeps_the_epoch(self, store: EventStore) -> None:
        entries = log("deploy-1", 2)
        fence = Ownership("runner-1", 7)
        create(store, "deploy-1", fence)
        last = summary("deploy-1", entries, status="completed")
        store.append("deploy-1", 1, entries[1:], last, fence=fence, release=True)
        assert ownership(store, "deploy-1") == Ownership(None, 7)
        assert store.own("deploy-1", "runner-2", Ownership(None, 7)) == Ownership("runner-2", 8)

    def test_release_without_entries_appends_nothing(self, store: EventStore) -> None:
        first = create(store, "deploy-1", MINE)
        parked = summary("deploy-1", [first], status="sleeping", due_at=START)
        store.append("deploy-1", 1, [], parked, fence=MINE, release=True)
        assert store.read("deploy-1") == [first]
        [row] = store.find(Query(id="deploy-1")).rows
        assert (row.summary, row.ownership) == (parked, Ownership(None, 1))
        with pytest.raises(Fenced):
            store.append("deploy-1", 1, [], parked, fence=MINE, release=True)

    def test_taking_over_needs_both_the_owner_and_the_epoch(self, store: EventStore) -> None:
        create(store, "deploy-1", MINE)
        for other in (Ownership("runner-2", 1), Ownership("runner-1", 2), Ownership(None, 1), NOBODY):
            assert store.own("deploy-1", "runner-3", other) is None
        assert store.own("deploy-2", "runner-3", MINE) is None
        assert store.own("deploy-1", None, MINE) == Ownership(None, 2)
        assert ownership(store, "deploy-1") == Ownership(None, 2)

    def test_of_many_who_take_over_exactly_one_succeeds(self, store: EventStore) -> None:
        create(store, "deploy-1", MINE)
        taken = together(6, lambda number: store.own("deploy-1", f"runner-{number}x", MINE))
        [winner] = [ownership for ownership in taken if ownership is not None]
        assert winner.epoch == 2
        assert ownership(store, "deploy-1") == winner

    def test_of_many_processes_that_take_over_exactly_one_succeeds(self, store: EventStore, url: str) -> None:
        create(store, "deploy-1", MINE)
        others = [self.elsewhere(url, "own", "deploy-1", f"runner-{n}x", "runner-1", "1") for n in range(3)]
        outputs = [msgspec.json.decode(process.communicate()[0]) for process in others]
        assert outputs.count(None) == 2
        assert msgspec.to_builtins(ownership(store, "deploy-1")) in outputs

    # Runners and processes

    def test_a_beat_registers_a_runner_and_moves_it_on(self, store: EventStore) -> None:
        runner = Runner("runner-1", "host", "boot", 4711, "pid:[4026531836]", 123_456_789_012, START, "/run/r.lock")
        store.beat(runner)
        create(store, "deploy-1", MINE)
        [row] = store.find(Query()).rows
        assert row.runner is not None
        assert row.runner.silent is not None
        assert 0 <= row.runner.silent < 60
        assert replace(row.runner, silent=None) == runner
        time.sleep(0.1)
        later = store.find(Query()).rows[0].runner
        assert later is not None
        assert later.silent is not None
        assert later.silent >= row.runner.silent + 0.1
        store.beat(replace(runner, beat=42, pid=4712))
        moved = store.find(Query()).rows[0].runner
        assert moved is not None
        assert (moved.beat, moved.pid) == (42, 4712)
        assert moved.silent is not None
        assert moved.silent < later.silent

    def test_processes_are_remembered_until_they_are_gone(self, store: EventStore) -> None:
        one = Process("build", 1, 100, "pid:[1]", 5, "boot", 100, "token-1")
        two = Process("build", 2, 101, "pid:[1]", 6, "boot", 101, "token-2")
        for execution_id in ("deploy-1", "deploy-2"):
            for process in (two, one, one):
                store.note_process(execution_id, process)
        store.note_process("deploy-1", one, gone=True)
        store.note_process("deploy-1", one, gone=True)
        assert store.processes("deploy-1") == [two]
        assert store.processes("deploy-2") == [one, two]

    def test_a_pid_that_was_used_again_is_another_process(self, store: EventStore) -> None:
        old = Process("build", 1, 100, "pid:[1]", 5, "boot", 100, "token-1")
        new = Process("build", 2, 100, "pid:[1]", 6, "boot", 100, "token-2")
        store.note_process("deploy-1", old)
        store.note_process("deploy-1", new)
        store.note_process("deploy-1", old, gone=True)
        assert store.processes("deploy-1") == [new]

    # Step output

    def test_output_comes_back_in_the_order_it_was_written(self, store: EventStore) -> None:
        chunks = [
            Chunk("build", 1, 0, "stdout", START, b"one\n\0\xff\x1b[1m"),
            Chunk("test", 1, 0, "stderr", START, b""),
            Chunk("build", 1, 9, "stderr", START, b"x" * 70_000),
            Chunk("build", 2, 0, "stdout", START, "grüße".encode()),
        ]
        store.write_log("deploy-1", chunks[:2])
        store.write_log("deploy-2", chunks[:1])
        store.write_log("deploy-1", chunks[2:])
        assert store.read_log("deploy-1").chunks == chunks
        assert store.read_log("deploy-1", step="build").chunks == [chunks[0], chunks[2], chunks[3]]
        assert store.read_log("deploy-1", step="build", attempt=2).chunks == [chunks[3]]
        assert store.read_log("deploy-1", attempt=1).chunks == chunks[:3]
        assert store.read_log("deploy-1", step="none").chunks == []

    def test_a_follower_gets_each_chunk_once(self, store: EventStore) -> None:
        chunks = [Chunk("build", 1, n, "stdout", START, b"%d" % n) for n in range(10)]
        store.write_log("deploy-1", chunks[:6])
        seen, position = [], 0
        for _ in range(3):
            page = store.read_log("deploy-1", after=position, limit=2)
            seen += page.chunks
            position = page.position
        assert store.read_log("deploy-1", after=position) == LogPage([], position)
        store.write_log("other-1", chunks)
        store.write_log("deploy-1", chunks[6:], drop=[("build", 1, 3, 6)])
        seen += store.read_log("deploy-1", after=position).chunks
        assert seen == chunks

    def test_dropped_chunks_are_gone_and_their_positions_are_not_used_again(self, store: EventStore) -> None:
        chunks = [Chunk("build", 1, n * 10, "stdout", START, b"0123456789") for n in range(4)]
        store.write_log("deploy-1", chunks[:2])
        store.write_log("deploy-1", [Chunk("build", 2, 10, "stdout", START, b"kept")])
        store.write_log("deploy-2", chunks[:2])
        position = store.read_log("deploy-1").position
        store.write_log("deploy-1", chunks[2:3], drop=[("build", 1, 10, 20), ("build", 2, 0, 10)])
        assert [(c.attempt, c.offset) for c in store.read_log("deploy-1").chunks] == [(1, 0), (2, 10), (1, 20)]
        position = store.read_log("deploy-1", after=position).position
        store.write_log("deploy-1", [], drop=[("build", 1, 0, 100)])
        store.write_log("deploy-1", chunks[3:])
        assert store.read_log("deploy-1", after=position).chunks == chunks[3:]
        assert len(store.read_log("deploy-2").chunks) == 2

    def test_output_is_there_when_the_store_is_opened_again(self, store: EventStore, url: str) -> None:
        chunk = Chunk("build", 1, 0, "stdout", START, b"hello")
        store.write_log("deploy-1", [chunk])
        store.close()
        again = self.opener(url)
        assert again.read_log("deploy-1").chunks == [chunk]
        again.close()

    def test_threads_may_share_a_store(self, store: EventStore) -> None:
        runner = Runner("runner-1", "host", "boot", 1, "pid:[1]", 1, START, "/run/r.lock")
        create(store, "deploy-1")

        def work(number: int) -> None:
            for turn in range(10):
                if number == 0:
                    push(store, "deploy-1", 1)
                elif number == 1:
                    store.beat(msgspec.structs.replace(runner, beat=turn))
                elif number == 2:
                    store.write_log("deploy-1", [Chunk("build", 1, turn, "stdout", START, b"x")])
                else:
                    assert len(store.find(Query()).rows) == 1
                    assert store.read("deploy-1")

        together(5, work)
        assert len(store.read("deploy-1")) == 11
        assert len(store.read_log("deploy-1").chunks) == 10
