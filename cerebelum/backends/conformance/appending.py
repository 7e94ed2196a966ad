"""That a log has no gap and no double, whoever appends and whoever is killed, and that the summary goes with it."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from cerebelum.backends.conformance.kit import (
    CHURNED,
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
    results,
    settled,
    sound,
    summary,
    together,
    until,
)
from cerebelum.core.events import GENESIS, Entry, chain
from cerebelum.store import Conflict, EventStore, LogPage, Ownership, Page, Query


class AppendConformance(StoreTests):
    """The tests of `append` and `read`."""

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

    def test_a_log_is_read_page_by_page_and_a_page_is_no_larger_than_asked(self, store: EventStore) -> None:
        sizes = [10, 20_000, 10, 10, 500_000, 10, 5_000, 5_000, 10]
        entries: list[Entry] = []
        for version, size in enumerate(sizes, 1):
            previous = entries[-1].digest if entries else GENESIS
            entries.append(entry("deploy-1", version, previous, text='"' + "ü" * (size - 2) + '"'))
        store.append("deploy-1", 0, entries, summary("deploy-1", entries))
        pages: list[list[Entry]] = []
        for most in (0, 1, 4_999, 10_000, 40_000, 1 << 20):
            pages = []
            while page := store.read_page("deploy-1", pages[-1][-1].version if pages else 0, size=most):
                pages.append(page)
            assert [each for page in pages for each in page] == entries
            assert all(len(page) == 1 or sum(len(each.text) for each in page) <= most for page in pages)
        assert len(pages) <= 2, "a page that has room for the log holds as good as all of it"
        assert store.read_page("deploy-1", after=len(sizes)) == []
        assert store.read_page("deploy-2") == []

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

    def test_a_batch_is_there_whole_with_its_summary_or_not_at_all(self, make_store: MakeStore) -> None:
        writer, reader = make_store(), make_store()
        entries = log("deploy-1", 300)
        writer.append("deploy-1", 0, entries[:6], summary("deploy-1", entries[:6]))

        def work(number: int) -> None:
            if number == 0:
                for at in range(6, 300, 6):
                    writer.append("deploy-1", at, entries[at : at + 6], summary("deploy-1", entries[: at + 6]))
                return
            seen = 0
            while seen < 300:
                first = len(reader.read("deploy-1"))
                version = reader.find(Query(id="deploy-1")).rows[0].summary.version
                last = len(reader.read("deploy-1"))
                assert first % 6 == version % 6 == last % 6 == 0
                assert seen <= first <= version <= last
                seen = last

        together(2, work)
        assert sound(reader, "deploy-1") == 300

    # Many at once

    def test_threads_that_append_at_once_leave_no_gap_and_no_double(self, store: EventStore) -> None:
        create(store, "deploy-1")
        won = together(4, lambda _: push(store, "deploy-1", 10))
        assert sorted(version for versions in won for version in versions) == list(range(2, 42))
        assert sound(store, "deploy-1") == 41

    def test_handles_that_append_at_once_leave_no_gap_and_no_double(self, make_store: MakeStore) -> None:
        handles = [make_store() for _ in range(4)]
        for name in ("both", *(f"own-{number}" for number in range(4))):
            create(handles[0], name)

        def work(number: int) -> list[int]:
            won = []
            for _ in range(10):
                won += push(handles[number], "both", 1)
                push(handles[number], f"own-{number}", 1)
            return won

        won = together(4, work)
        assert sorted(version for versions in won for version in versions) == list(range(2, 42))
        assert sound(handles[1], "both") == 41
        assert [sound(handles[2], f"own-{number}") for number in range(4)] == [11] * 4

    def test_processes_that_append_at_once_leave_no_gap_and_no_double(
        self, store: EventStore, other: StartOther
    ) -> None:
        names = ["both-1", "both-2", "own-0", "own-1", "own-2"]
        for name in names:
            create(store, name)
        won = results([other("push_all", "10", "both-1", "both-2", f"own-{number}") for number in range(3)])
        for name in names[:2]:
            assert sorted(version for mine in won for version in mine[name]) == list(range(2, 32))
        assert [sound(store, name) for name in names] == [31, 31, 11, 11, 11]

    def test_of_processes_that_create_the_same_executions_one_creates_each(
        self, store: EventStore, other: StartOther
    ) -> None:
        names = [f"deploy-{number}" for number in range(15)]
        made = results([other("create_all", *names) for _ in range(3)])
        assert sorted(name for mine in made for name in mine) == sorted(names)
        assert [sound(store, name) for name in names] == [1] * 15

    def test_the_entries_are_followed_without_missing_one(self, make_store: MakeStore, other: StartOther) -> None:
        reader = make_store()
        create(reader, "deploy-1")
        writers = [other("push_all", "25", "deploy-1") for _ in range(2)]
        for each in writers:
            each.ready()
        for each in writers:
            each.begin()
        entries: list[Entry] = []

        def all_there() -> bool:
            entries.extend(reader.read("deploy-1", after=entries[-1].version if entries else 0))
            return len(entries) >= 51

        until(all_there)
        assert entries == reader.read("deploy-1")
        assert [e.version for e in entries] == list(range(1, 52))

    # Killed

    def test_a_process_that_is_killed_leaves_logs_and_summaries_that_agree(
        self, store: EventStore, other: StartOther
    ) -> None:
        chance = random.Random(1)
        for number in range(4):
            victim = other("churn", f"round-{number}")
            victim.ready()
            victim.begin()
            said = [victim.hears() for _ in range(chance.randint(1, 4))]
            # In the middle of something, wherever that is.
            threading.Event().wait(chance.random() * 0.02)
            said += victim.kill()
            for nth in range(3):
                self._taken_over(store, f"round-{number}", nth, said[-1])
            assert ids(store, tag=(f"round-{number}",)) == []
            for turn in range(said[-1] + 2):
                self._whole_or_gone(store, f"round-{number}-gone-{turn}", turn <= said[-1])

    def _taken_over(self, store: EventStore, tag: str, nth: int, acknowledged: int) -> None:
        name = f"{tag}-{nth}"
        # What was sent and not answered may still arrive, but not after this.
        taken = store.own(name, "runner-2", MINE)
        assert taken is not None
        length = sound(store, name)
        assert length % CHURNED == 0
        last = length // CHURNED - 1
        assert last >= acknowledged
        assert set(store.find(Query(id=name)).rows[0].summary.tags) == {tag, f"{name} {last}"}
        assert ids(store, tag=(f"{name} {last}",)) == [name]
        assert ids(store, tag=(f"{name} {last - 1}",)) == []
        assert push(store, name, 1) == [length + 1]

    def _whole_or_gone(self, store: EventStore, name: str, is_gone: bool) -> None:
        entries, row = settled(store, name)
        buried = bool(store.tombstones(name))
        if not is_gone:
            # The last one may still be on its way out.
            entries, row = settled(store, name)
        assert buried or not is_gone
        assert not (buried and row)
        assert len(entries) == (CHURNED if row else 0)
        assert (name in ids(store, tag=("gone",), limit=1000)) is (row is not None)
        assert not buried or store.read_log(name).chunks == []
