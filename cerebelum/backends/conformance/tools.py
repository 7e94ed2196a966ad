"""What every store can be asked besides keeping events: to prune, to take in whole executions, to describe itself."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cerebelum.backends.conformance.kit import (
    MINE,
    NOBODY,
    START,
    MakeStore,
    StoreTests,
    create,
    entry,
    ids,
    log,
    ownership,
    push,
    summary,
    together,
    tombstone_of,
    whole,
)
from cerebelum.core.events import Entry
from cerebelum.store import (
    Appended,
    Chunk,
    Conflict,
    EventStore,
    Fenced,
    LogPage,
    Process,
    Query,
    Started,
    Tombstone,
    Totals,
    every,
    every_tombstone,
)

CHUNKS = [Chunk("build", 1, 0, "stdout", START, b"one\n"), Chunk("build", 1, 4, "stderr", START, b"\xff\0")]
PROCESS = Process("build", 1, 100, "pid:[1]", 5, "boot", 100, "token-1")


class ToolsConformance(StoreTests):
    """The tests of what `cerebelum store` and `cerebelum doctor` rely on."""

    # What was appended to

    def test_whoever_asks_again_and_again_hears_of_every_execution_that_was_appended_to(
        self, make_store: MakeStore
    ) -> None:
        asking, writing = make_store(), make_store()
        first = asking.appended(None)
        if first is None:
            # Allowed: whoever wants to know then looks at the executions.
            return
        assert first.executions == ()
        chance, since, mark = random.Random(7), set[str](), first.mark
        names = [f"deploy-{number}" for number in range(12)]
        for turn in range(400):
            which = chance.randrange(len(names))
            name = names[which]
            if not writing.read(name):
                # What was pruned does not come again.
                name = names[which] = f"deploy-{turn + 20}"
                create(writing, name)
                since.add(name)
            elif chance.random() < 0.2:
                # The last ones and the others, so that what stays ends anywhere.
                writing.prune(tombstone_of(writing, name))
                since.discard(name)
            else:
                push(writing, name, chance.randrange(1, 4))
                since.add(name)
            if chance.random() < 0.4:
                told = asking.appended(mark)
                assert told is not None
                assert told.executions is None or since <= set(told.executions)
                again = asking.appended(told.mark)
                assert again == Appended(told.mark, ())
                since, mark = set(), told.mark

    # Pruning

    def test_nothing_but_the_tombstone_stays_of_what_is_pruned(self, store: EventStore) -> None:
        for name in ("deploy-1", "deploy-2"):
            store.restore([whole(name, 5, tags=("nightly", "x"))])
            store.write_log(name, CHUNKS)
            store.note_process(name, PROCESS)
        tombstone = tombstone_of(store, "deploy-1")
        store.prune(tombstone)
        assert ids(store) == ids(store, tag=("nightly",)) == ids(store, tag=("x", "nightly")) == ["deploy-2"]
        assert store.read("deploy-1") == []
        assert store.processes("deploy-1") == []
        assert store.read_log("deploy-1") == LogPage([], 0)
        assert store.own("deploy-1", "runner-1", NOBODY) is None
        assert store.tombstones() == store.tombstones("deploy-1") == [tombstone]
        assert store.tombstones("deploy-2") == []
        assert len(store.read("deploy-2")) == 5
        assert store.read_log("deploy-2").chunks == CHUNKS
        assert store.processes("deploy-2") == [PROCESS]

    def test_what_was_pruned_is_not_created_again(self, store: EventStore) -> None:
        store.restore([whole("deploy-1", 3)])
        tombstone = tombstone_of(store, "deploy-1")
        store.prune(tombstone)
        for fence in (None, MINE):
            with pytest.raises(Conflict) as caught:
                create(store, "deploy-1", fence)
            assert (caught.value.expected, caught.value.actual) == (0, 3)
        last = entry("deploy-1", 4, tombstone.digest)
        with pytest.raises(Conflict) as caught:
            store.append("deploy-1", 3, [last], summary("deploy-1", [last]))
        assert caught.value.actual == 0
        assert ids(store) == []
        assert store.read("deploy-1") == []
        assert store.tombstones() == [tombstone]

    def test_only_the_log_that_is_meant_is_pruned(self, store: EventStore) -> None:
        store.restore([whole("deploy-1", 3)])
        right = tombstone_of(store, "deploy-1")
        for wrong in (replace(right, version=2), replace(right, version=4), replace(right, digest="0" * 64)):
            with pytest.raises(Conflict) as caught:
                store.prune(wrong)
            assert caught.value.actual == 3
        assert store.tombstones() == []
        assert len(store.read("deploy-1")) == 3
        store.prune(right)
        with pytest.raises(Conflict):
            store.prune(replace(right, digest="0" * 64))
        assert store.tombstones() == [right]

    def test_what_somebody_owns_is_not_pruned(self, store: EventStore) -> None:
        create(store, "deploy-1", MINE)
        tombstone = tombstone_of(store, "deploy-1")
        for wanted in (tombstone, replace(tombstone, version=7)):
            with pytest.raises(Fenced) as caught:
                store.prune(wanted)
            assert (caught.value.owner, caught.value.epoch) == ("runner-1", 1)
        assert len(store.read("deploy-1")) == 1
        assert store.tombstones() == []

    def test_pruning_again_changes_nothing(self, store: EventStore) -> None:
        store.restore([whole("deploy-1", 3)])
        tombstone = tombstone_of(store, "deploy-1")
        store.prune(tombstone)
        store.prune(replace(tombstone, pruned_at=START + timedelta(days=99)))
        assert store.tombstones() == [tombstone]

    def test_the_tombstone_of_what_was_never_here_is_kept(self, store: EventStore) -> None:
        tombstone = Tombstone("deploy-1", "deploy", "cancelled", START, None, 7, "d" * 64, START + timedelta(days=1))
        store.write_log("deploy-1", CHUNKS)
        store.note_process("deploy-1", PROCESS)
        store.prune(tombstone)
        assert store.tombstones() == [tombstone]
        assert store.read_log("deploy-1").chunks == []
        assert store.processes("deploy-1") == []
        with pytest.raises(Conflict) as caught:
            create(store, "deploy-1")
        assert caught.value.actual == 7

    def test_of_pruning_and_going_on_only_one_happens(self, store: EventStore) -> None:
        for number in range(10):
            name = f"deploy-{number}"
            first = create(store, name, status="failed")
            tombstone = tombstone_of(store, name)
            following = entry(name, 2, first.digest)

            def attempt(who: int, name: str = name, stone: Tombstone = tombstone, last: Entry = following) -> str:
                try:
                    if who == 0:
                        store.prune(stone)
                    else:
                        store.append(name, 1, [last], summary(name, [last]))
                except Conflict:
                    return "lost"
                return "won"

            assert sorted(together(2, attempt)) == ["lost", "won"]
            gone = bool(store.tombstones(name))
            assert len(store.read(name)) == (0 if gone else 2)
            assert ids(store, id=name) == ([] if gone else [name])

    def test_tombstones_come_by_id_in_pages(self, store: EventStore) -> None:
        names = [f"deploy-{number:02}" for number in range(7)]
        for name in reversed(names):
            store.restore([whole(name, 1)])
            store.prune(tombstone_of(store, name))
        assert [t.execution_id for t in store.tombstones(limit=3)] == names[:3]
        assert [t.execution_id for t in store.tombstones(after=names[2], limit=3)] == names[3:6]
        assert store.tombstones(after=names[6]) == []
        assert [t.execution_id for t in every_tombstone(store)] == names

    # Taking in

    def test_output_that_comes_with_an_execution_takes_the_place_of_what_was_there(self, store: EventStore) -> None:
        store.write_log("a", [Chunk("old", 1, 0, "stdout", START, b"left by who was interrupted")])
        store.write_log("b", CHUNKS)
        store.write_log("c", CHUNKS)
        before = store.read_log("a").position
        with_output = [replace(whole(name, 2), output=chunks) for name, chunks in (("a", CHUNKS), ("b", []))]
        store.restore([*with_output, whole("c", 1)])
        assert store.read_log("a", after=before).chunks == CHUNKS
        assert store.read_log("a").chunks == CHUNKS
        assert store.read_log("b").chunks == []
        assert store.read_log("c").chunks == CHUNKS
        store.write_log("a", CHUNKS[:1])
        assert store.read_log("a").chunks == [*CHUNKS, CHUNKS[0]]
        refused = replace(whole("a", 2), output=[])
        with pytest.raises(Conflict):
            store.restore([refused])
        assert len(store.read_log("a").chunks) == 3

    def test_whole_executions_are_restored_as_they_are(self, store: EventStore) -> None:
        store.write_log("deploy-1", CHUNKS)
        given = [
            whole("deploy-1", 3, epoch=4, tags=("b", "a"), correlation_id="c", parent="deploy-0", steps_done=2),
            whole("deploy-2", 1, epoch=0, status="sleeping", ended_at=None, due_at=START),
        ]
        store.restore(given)
        for each in given:
            [row] = store.find(Query(id=each.summary.execution_id)).rows
            assert row.summary == each.summary
            assert row.ownership == replace(NOBODY, epoch=each.epoch)
            assert store.read(each.summary.execution_id) == each.entries
        assert ids(store, tag=("a", "b")) == ["deploy-1"]
        assert store.read_log("deploy-1").chunks == CHUNKS
        taken = store.own("deploy-1", "runner-1", replace(NOBODY, epoch=4))
        assert taken is not None
        following = entry("deploy-1", 4, given[0].entries[-1].digest)
        store.append("deploy-1", 3, [following], summary("deploy-1", [following]), fence=taken)
        assert len(store.read("deploy-1")) == 4
        store.restore([])

    def test_restoring_stops_at_the_first_that_is_there(self, store: EventStore) -> None:
        store.restore([whole("b", 2)])
        with pytest.raises(Conflict) as caught:
            store.restore([whole("a", 3), whole("b", 5), whole("c", 1)])
        assert (caught.value.where, caught.value.actual) == ("b", 2)
        assert sorted(ids(store)) == ["a", "b"]
        assert (len(store.read("a")), len(store.read("b")), store.read("c")) == (3, 2, [])
        with pytest.raises(Conflict) as caught:
            store.restore([whole("d", 1), whole("d", 2), whole("e", 1)])
        assert (caught.value.where, caught.value.actual) == ("d", 1)
        assert sorted(ids(store)) == ["a", "b", "d"]

    def test_restoring_what_was_pruned_is_a_conflict(self, store: EventStore) -> None:
        store.restore([whole("b", 2)])
        store.prune(tombstone_of(store, "b"))
        with pytest.raises(Conflict) as caught:
            store.restore([whole("a", 1), whole("b", 2)])
        assert (caught.value.where, caught.value.actual) == ("b", 2)
        assert ids(store) == ["a"]

    def test_an_execution_that_cannot_be_restored_leaves_nothing_of_itself(self, store: EventStore) -> None:
        bad = whole("deploy-1", 3, tags=("x",))
        entries = [*bad.entries[:2], replace(bad.entries[2], text="\ud800")]
        with pytest.raises(Exception, match=r".+"):
            store.restore([replace(bad, entries=entries)])
        assert ids(store) == ids(store, tag=("x",)) == []
        assert store.read("deploy-1") == []
        store.restore([bad])
        assert store.read("deploy-1") == bad.entries

    def test_many_are_restored_at_once(self, store: EventStore) -> None:
        given = [whole(f"deploy-{number:03}", 4, tags=("x",)) for number in range(300)]
        store.restore(given)
        assert sorted(row.summary.execution_id for row in every(store)) == [e.summary.execution_id for e in given]
        assert store.read("deploy-123") == given[123].entries
        assert len(ids(store, tag=("x",), limit=1000)) == 300

    # Going through everything

    def test_a_page_begins_after_the_last_row_of_the_one_before(self, store: EventStore) -> None:
        minutes = {"a": 3, "b": 1, "c": 1, "d": 1, "e": 2}
        for name, minute in minutes.items():
            create(store, name, started_at=START + timedelta(minutes=minute), tags=("x",) if name != "e" else ())
        order = ["a", "e", "d", "c", "b"]
        for query in (Query(limit=2), Query(limit=2, workflow="deploy"), Query(limit=2, status=("running", "paused"))):
            assert self._paged(store, query) == order
        assert self._paged(store, Query(limit=1, tag=("x",))) == ["a", "d", "c", "b"]
        assert self._paged(store, Query(limit=2, since=START + timedelta(minutes=2))) == ["a", "e"]
        assert ids(store, after=(START + timedelta(minutes=1), "d"), count_to=9) == ["c", "b"]
        assert ids(store, after=(START, "")) == []

    def test_what_starts_meanwhile_neither_shifts_nor_doubles_what_is_gone_through(self, store: EventStore) -> None:
        for number in range(4):
            create(store, f"deploy-{number}", started_at=START + timedelta(minutes=number))
        first = store.find(Query(limit=2)).rows
        create(store, "new", started_at=START + timedelta(hours=1))
        last = first[-1].summary
        rest = ids(store, limit=9, after=(last.started_at, last.execution_id))
        assert [*(row.summary.execution_id for row in first), *rest] == [f"deploy-{n}" for n in (3, 2, 1, 0)]

    def _paged(self, store: EventStore, query: Query) -> list[str]:
        found: list[str] = []
        while True:
            page = store.find(query)
            assert len(page.rows) <= query.limit
            found += [row.summary.execution_id for row in page.rows]
            if not page.has_more:
                return found
            last = page.rows[-1].summary
            query = replace(query, after=(last.started_at, last.execution_id))

    def test_a_page_of_output_that_is_not_full_is_the_last_one(self, store: EventStore) -> None:
        # 4 MiB, so that no store may think that it is better to give less at a time.
        chunks = [Chunk("build", 1, n << 16, "stdout", START, b"x" * (1 << 16)) for n in range(64)]
        store.write_log("deploy-1", chunks)
        first = store.read_log("deploy-1", limit=60)
        assert first.chunks == chunks[:60]
        assert store.read_log("deploy-1", after=first.position, limit=60).chunks == chunks[60:]

    # Telling

    def test_a_store_counts_what_is_in_it(self, store: EventStore) -> None:
        nothing = store.totals()
        assert (nothing.executions, nothing.events, nothing.tombstones) == ({}, 0, 0)
        store.restore([whole("a", 3), whole("b", 4), whole("c", 5, status="failed"), whole("d", 6)])
        store.write_log("a", CHUNKS)
        store.prune(tombstone_of(store, "d"))
        told = store.totals()
        assert replace(told, log_bytes=None) == Totals({"completed": 2, "failed": 1}, 12, 1)
        assert replace(told, log_bytes=None) == EventStore.totals(store)
        assert told.log_bytes in (None, 6)

    def test_a_store_names_the_workflows_it_has_executions_of(self, store: EventStore) -> None:
        assert store.workflows() == []
        later = START + timedelta(hours=1)
        store.restore([whole("a", 3, workflow="é"), whole("b", 3, workflow="Z z"), whole("d", 3, workflow="gone")])
        create(store, "c", workflow="é", started_at=later)
        store.prune(tombstone_of(store, "d"))
        told = store.workflows()
        assert told == [Started("Z z", 1, START), Started("é", 2, later)]
        assert told == EventStore.workflows(store)

    def test_a_store_describes_itself(self, store: EventStore) -> None:
        before = store.describe()
        assert before.kind
        assert before.where
        create(store, "deploy-1")
        told = store.describe()
        assert told.exists
        assert told.schema_version == told.known_schema_version
        assert (told.kind, told.where, told.library) == (before.kind, before.where, before.library)

    def test_a_sound_database_has_nothing_to_say(self, store: EventStore) -> None:
        assert list(store.check()) == []
        entries = log("deploy-1", 3)
        create(store, "deploy-1", tags=("x", "y"))
        moved = summary("deploy-1", entries, tags=("y", "z"), started_at=START + timedelta(hours=1))
        store.append("deploy-1", 1, entries[1:], moved)
        assert ownership(store, "deploy-1") == NOBODY
        store.restore([whole("deploy-2", 3, tags=("x",))])
        store.prune(tombstone_of(store, "deploy-2"))
        assert list(store.check()) == []
