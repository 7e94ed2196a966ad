"""That one runner drives an execution at a time, whoever is late, and that the silence of runners is known."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cerebelum.backends.conformance.kit import (
    MINE,
    NOBODY,
    START,
    MakeStore,
    StartOther,
    StoreTests,
    create,
    drive,
    entry,
    ids,
    log,
    ownership,
    results,
    sound,
    summary,
    together,
    until,
)
from cerebelum.core.events import Entry
from cerebelum.store import EventStore, Fenced, Ownership, Process, Query, Runner

RUNNER = Runner("runner-1", "host", "boot", 4711, "pid:[4026531836]", 123_456_789_012, START, "/run/r.lock")


class OwnershipConformance(StoreTests):
    """The tests of `own` and of fences, and of what is known about runners and their processes."""

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

    def test_of_processes_that_take_over_exactly_one_gets_each(self, store: EventStore, other: StartOther) -> None:
        names = [f"deploy-{number}" for number in range(12)]
        for name in names:
            create(store, name, MINE)
        got = results([other("own_all", f"runner-{number}x", *names) for number in range(3)])
        assert sorted(name for mine in got for name in mine) == sorted(names)
        for number, mine in enumerate(got):
            assert [ownership(store, name) for name in mine] == [Ownership(f"runner-{number}x", 2)] * len(mine)

    def test_every_change_of_owner_has_an_epoch_of_its_own(self, make_store: MakeStore) -> None:
        handles = [make_store() for _ in range(3)]
        create(handles[0], "deploy-1", MINE)

        def work(number: int) -> list[int]:
            epochs = []
            for _ in range(15):
                now = ownership(handles[number], "deploy-1")
                taken = handles[number].own("deploy-1", f"runner-{number}", now)
                epochs += [] if taken is None else [taken.epoch]
            return epochs

        epochs = sorted(epoch for mine in together(3, work) for epoch in mine)
        assert epochs == list(range(2, len(epochs) + 2))
        assert ownership(handles[0], "deploy-1").epoch == epochs[-1]

    def test_what_a_stale_runner_began_to_append_never_lands_after_a_takeover(self, make_store: MakeStore) -> None:
        stale, new = make_store(), make_store()
        for turn in range(30):
            name = f"deploy-{turn}"
            begun = [create(stale, name, MINE)]

            def work(number: int, name: str = name, turn: int = turn, begun: list[Entry] = begun) -> int:
                if number == 0:
                    return drive(stale, name, begun, MINE)
                until(lambda: len(new.read(name)) > turn % 4)
                taken = new.own(name, "runner-2", MINE)
                assert taken is not None
                entries = new.read(name)
                following = entry(name, len(entries) + 1, entries[-1].digest)
                # Not a Conflict: nothing came in between.
                new.append(name, len(entries), [following], summary(name, [following]), fence=taken)
                return len(entries)

            wrote, found = together(2, work)
            assert wrote == found
            assert sound(new, name) == found + 1

    def test_a_stale_process_writes_nothing_after_a_takeover(self, store: EventStore, other: StartOther) -> None:
        names = [f"deploy-{number}" for number in range(15)]
        stale = other("pursue", *names)
        stale.ready()
        stale.begin()
        found = {}
        for turn, name in enumerate(names):
            assert stale.hears() == name
            until(lambda name=name, turn=turn: len(store.read(name)) > turn % 5)  # type: ignore[misc]
            assert store.own(name, "runner-2", MINE) is not None
            found[name] = len(store.read(name))
        assert stale.result() == found
        assert {name: sound(store, name) for name in names} == found

    # What is due

    def test_what_is_due_is_found_until_somebody_takes_it(self, make_store: MakeStore) -> None:
        handles = [make_store() for _ in range(3)]
        fence = Ownership("runner-1", 3)
        for number in range(12):
            first = create(handles[0], f"deploy-{number}", fence)
            due = START + timedelta(seconds=number)
            parked = summary(f"deploy-{number}", [first], status="sleeping", due_at=due)
            handles[0].append(f"deploy-{number}", 1, [], parked, fence=fence, release=True)
        now = START + timedelta(seconds=9, microseconds=1)

        def work(number: int) -> list[str]:
            mine = []
            while rows := handles[number].find(Query(due_before=now, status=("sleeping",))).rows:
                for row in rows:
                    name = row.summary.execution_id
                    if row.ownership.owner is not None:
                        continue
                    taken = handles[number].own(name, f"runner-{number}", row.ownership)
                    if taken is not None:
                        awake = replace(row.summary, status="running", due_at=None)
                        handles[number].append(name, 1, [], awake, fence=taken)
                        mine.append(name)
            return mine

        woken = together(3, work)
        assert sorted(name for mine in woken for name in mine) == sorted(f"deploy-{number}" for number in range(10))
        assert sorted(ids(handles[0], due_before=now + timedelta(days=9))) == ["deploy-10", "deploy-11"]

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

    def test_each_runner_has_a_silence_of_its_own_whoever_asks(self, make_store: MakeStore) -> None:
        one, two = make_store(), make_store()
        for number in (1, 2):
            one.beat(replace(RUNNER, id=f"runner-{number}"))
            create(one, f"deploy-{number}", Ownership(f"runner-{number}", 1))
        time.sleep(0.2)
        two.beat(replace(RUNNER, id="runner-2", beat=1))
        for handle in (one, two):
            found = {row.summary.execution_id: row.runner for row in handle.find(Query()).rows}
            first, second = found["deploy-1"], found["deploy-2"]
            assert first is not None
            assert first.silent is not None
            assert second is not None
            assert second.silent is not None
            assert first.silent >= 0.2
            assert first.silent >= second.silent + 0.15
            assert second.beat == 1

    def test_a_runner_that_says_something_else_about_the_time_is_not_believed(self, store: EventStore) -> None:
        for number, started in enumerate((START - timedelta(days=9999), START + timedelta(days=9999))):
            store.beat(replace(RUNNER, id=f"runner-{number}", started_at=started))
            create(store, f"deploy-{number}", Ownership(f"runner-{number}", 1))
        for row in store.find(Query()).rows:
            assert row.runner is not None
            assert row.runner.silent is not None
            assert 0 <= row.runner.silent < 60

    def test_the_owner_of_a_moment_is_told_with_its_registration(self, store: EventStore) -> None:
        store.beat(RUNNER)
        store.beat(replace(RUNNER, id="runner-2", host="elsewhere", pid=1, start_ticks=2**40, beat=2**40))
        create(store, "deploy-1", MINE)
        create(store, "deploy-2", Ownership("runner-3", 1))
        assert store.own("deploy-1", "runner-2", MINE) is not None
        runners = {row.summary.execution_id: row.runner for row in store.find(Query()).rows}
        assert runners["deploy-2"] is None
        assert runners["deploy-1"] is not None
        assert (runners["deploy-1"].host, runners["deploy-1"].beat) == ("elsewhere", 2**40)
