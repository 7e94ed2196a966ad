"""What every store finds, and in which order: the part of the conformance suite that `list` relies on."""

from __future__ import annotations

import threading
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from cerebelum.backends.conformance import model
from cerebelum.backends.conformance.kit import MINE, START, MakeStore, StoreTests, create, ids, log, summary, together
from cerebelum.core.status import STATUSES, Status
from cerebelum.store import EventStore, Ownership, Page, Query, Row, every


class SearchConformance(StoreTests):
    """The tests of `find`."""

    def test_a_summary_comes_back_whole(self, store: EventStore) -> None:
        [first] = log("deploy-1", 1)
        full = summary(
            "deploy-1", [first], status="failed", reason="exit 3: grüße", ended_at=START + timedelta(seconds=3),
            due_at=START + timedelta(days=9), tags=("a", "b c", "ü"), correlation_id="ci-77", parent="deploy-0",
            steps_total=15, steps_done=11, current=("lint", "unit"),
        )  # fmt: skip
        store.append("deploy-1", 0, [first], full, fence=MINE)
        [row] = store.find(Query()).rows
        assert row == Row(full, MINE, None)

    def test_every_field_of_a_summary_follows_the_log(self, store: EventStore) -> None:
        entries = log("deploy-1", 4)
        create(store, "deploy-1", MINE, tags=("old", "both"))
        changes: list[dict[str, Any]] = [
            {"tags": ("both", "new"), "workflow": "release", "started_at": START + timedelta(seconds=1)},
            {"status": "failed", "reason": "exit 1", "ended_at": START, "correlation_id": "c", "parent": "p"},
            {"steps_total": 3, "steps_done": 2, "current": ("x",), "due_at": START},
        ]
        for version, change in enumerate(changes, 2):
            now = summary("deploy-1", [entries[version - 1]], **change)
            store.append("deploy-1", version - 1, [entries[version - 1]], now, fence=MINE)
            assert store.find(Query(id="deploy-1")).rows[0].summary == now
            assert ids(store, tag=("new",)) == (["deploy-1"] if version == 2 else [])
            assert ids(store, tag=("old",)) == []

    def test_newest_start_comes_first(self, store: EventStore) -> None:
        for number, minutes in enumerate((3, 1, 2)):
            create(store, f"deploy-{number}", started_at=START + timedelta(minutes=minutes))
        assert ids(store) == ["deploy-0", "deploy-2", "deploy-1"]

    def test_pages_follow_each_other_and_totals_count_to_their_limit(self, store: EventStore) -> None:
        for number in range(7):
            create(store, f"deploy-{number}", started_at=START + timedelta(minutes=number))
        pages = [store.find(Query(limit=3, offset=offset, count_to=5)) for offset in (0, 3, 6, 9)]
        assert [[row.summary.execution_id[-1] for row in page.rows] for page in pages] == [
            ["6", "5", "4"], ["3", "2", "1"], ["0"], [],
        ]  # fmt: skip
        assert [page.has_more for page in pages] == [True, True, False, False]
        assert [page.total for page in pages] == [5] * 4
        assert store.find(Query(count_to=100, limit=1)).total == 7
        assert store.find(Query(limit=7)).has_more is False
        assert store.find(Query(limit=0, count_to=9)) == Page([], True, 7)

    def test_executions_that_started_together_are_neither_lost_nor_doubled_by_paging(self, store: EventStore) -> None:
        for number in range(6):
            create(store, f"deploy-{number}", status=STATUSES[number % 2])
        for status in ((), STATUSES[:2]):
            found = [ids(store, limit=1, offset=offset, status=status) for offset in range(6)]
            assert sorted(name for page in found for name in page) == [f"deploy-{number}" for number in range(6)]

    def test_an_exact_id_is_not_a_prefix(self, store: EventStore) -> None:
        for name in ("deploy", "deploy-1", "deploy-12", "Deploy-1", "deplox", "deploz"):
            create(store, name)
        assert ids(store, id="deploy-1") == ["deploy-1"]
        assert ids(store, id="deploy-") == []
        assert sorted(ids(store, id_prefix="deploy")) == ["deploy", "deploy-1", "deploy-12"]
        assert sorted(ids(store, id_prefix="deploy-12")) == ["deploy-12"]
        assert len(ids(store, id_prefix="")) == 6

    def test_a_prefix_is_taken_literally(self, store: EventStore) -> None:
        for name in ("a_b", "axb", "a%b", "a.b", "a*b", "a[b"):
            create(store, name)
        for name in ("a_", "a%", "a.", "a*", "a["):
            assert ids(store, id_prefix=name) == [f"{name}b"]

    def test_conditions_are_all_required(self, store: EventStore) -> None:
        create(store, "a-1", workflow="a", tags=("x", "y"), status="failed")
        create(store, "a-2", workflow="a", tags=("x",), status="completed", started_at=START + timedelta(hours=1))
        create(store, "b-1", workflow="b", tags=("x", "y", "z"), status="failed", due_at=START)
        assert sorted(ids(store, workflow="a")) == ["a-1", "a-2"]
        assert sorted(ids(store, tag=("x",))) == ["a-1", "a-2", "b-1"]
        assert sorted(ids(store, tag=("y", "x"))) == ["a-1", "b-1"]
        assert ids(store, tag=("x", "none")) == []
        assert sorted(ids(store, status=("failed",))) == ["a-1", "b-1"]
        assert sorted(ids(store, status=("failed", "completed"), workflow="a")) == ["a-1", "a-2"]
        assert ids(store, since=START + timedelta(microseconds=1)) == ["a-2"]
        assert len(ids(store, since=START)) == 3
        assert ids(store, tag=("x",), since=START + timedelta(minutes=1)) == ["a-2"]
        assert ids(store, due_before=START + timedelta(microseconds=1)) == ["b-1"]
        assert ids(store, due_before=START) == []
        assert ids(store, due_before=START + timedelta(days=1), status=("sleeping",)) == []
        assert ids(store, id_prefix="a", status=("failed",), tag=("y",), workflow="a", since=START) == ["a-1"]
        assert ids(store, workflow="a", status=("failed",), tag=("y",), since=START) == ["a-1"]
        assert store.find(Query(tag=("x",), status=("failed", "completed"), count_to=9, limit=1)).total == 3

    @pytest.mark.parametrize("status", STATUSES)
    def test_each_status_can_be_found(self, store: EventStore, status: Status) -> None:
        for each in STATUSES:
            create(store, f"is-{each}", status=each)
        assert ids(store, status=(status,)) == [f"is-{status}"]

    def test_what_a_dead_runner_drove_counts_as_paused(self, store: EventStore) -> None:
        create(store, "alive", Ownership("runner-1", 1))
        create(store, "orphan", Ownership("runner-2", 1))
        create(store, "unowned")
        create(store, "paused", status="paused")
        create(store, "asleep", Ownership("runner-2", 1), status="sleeping")
        dead = ("runner-2", "runner-3")
        assert sorted(ids(store, status=("running",), dead_runners=dead)) == ["alive", "unowned"]
        assert sorted(ids(store, status=("paused",), dead_runners=dead)) == ["orphan", "paused"]
        both = sorted(ids(store, status=("paused", "running"), dead_runners=dead))
        assert both == ["alive", "orphan", "paused", "unowned"]
        assert sorted(ids(store, status=("running",))) == ["alive", "orphan", "unowned"]
        assert ids(store, status=("sleeping",), dead_runners=dead) == ["asleep"]
        assert ids(store, status=("running",), dead_runners=(*dead, "")) == ["alive"]
        assert sorted(ids(store, status=("paused",), dead_runners=(*dead, ""))) == ["orphan", "paused", "unowned"]
        assert store.find(Query(status=("paused",), dead_runners=dead, count_to=9)).total == 2
        [row] = store.find(Query(id="orphan", dead_runners=dead)).rows
        assert row.summary.status == "running"

    # Everything at once

    def test_any_combination_of_conditions_finds_what_a_plain_loop_does(self, store: EventStore) -> None:
        chance = Random(20260102)
        for number in range(160):
            name = f"{chance.choice(('deploy', 'Deploy', 'a', 'z_'))}-{number:03}"
            owner = Ownership(chance.choice(model.OWNERS), number)
            entries = log(name, 2)
            fence = owner if chance.random() < 0.6 else None
            store.append(name, 0, entries[:1], summary(name, entries[:1], **model.fields(chance)), fence=fence)
            if chance.random() < 0.5:
                changed = summary(name, entries, **model.fields(chance))
                store.append(name, 1, entries[1:], changed, fence=fence, release=chance.random() < 0.3)
        rows = store.find(Query(limit=1000)).rows
        assert len(rows) == 160
        for _ in range(300):
            query = model.query(chance, rows)
            page = store.find(query)
            assert (page.rows, page.has_more, page.total) == model.answer(rows, query), query

    # While others write

    def test_what_is_there_all_the_time_is_gone_through_once_while_others_create(self, make_store: MakeStore) -> None:
        reader, writer = make_store(), make_store()
        there = {f"deploy-{number:03}" for number in range(60)}
        for number, name in enumerate(sorted(there)):
            create(reader, name, started_at=START + timedelta(minutes=number % 10))

        def work(number: int) -> list[str]:
            if number == 0:
                for turn in range(60):
                    create(writer, f"new-{turn}", started_at=START + timedelta(minutes=turn % 12 - 1))
                return []
            found: list[str] = []
            for _ in range(6):
                query = Query(limit=7)
                names: list[str] = []
                while True:
                    page = reader.find(query)
                    names += [row.summary.execution_id for row in page.rows]
                    if not page.has_more:
                        break
                    last = page.rows[-1].summary
                    query = replace(query, after=(last.started_at, last.execution_id))
                assert len(names) == len(set(names))
                assert there <= set(names)
                found = names
            return found

        together(2, work)
        assert len({row.summary.execution_id for row in every(reader)}) == 120

    def test_a_page_is_one_moment_while_others_write(self, make_store: MakeStore) -> None:
        reader, writer = make_store(), make_store()
        create(reader, "moving", MINE)
        done = threading.Event()

        def work(number: int) -> None:
            if number == 0:
                try:
                    entries = log("moving", 60)
                    for version in range(1, 60):
                        # What is looked for under two statuses is neither missed nor found twice when it goes from one
                        # to the other.
                        status: Status = "running" if version % 2 else "failed"
                        now = summary("moving", entries[: version + 1], status=status, tags=(status,))
                        writer.append("moving", version, entries[version : version + 1], now, fence=MINE)
                        create(writer, f"deploy-{version}", status=status)
                finally:
                    done.set()
                return
            while not done.is_set():
                page = reader.find(Query(status=("failed", "running"), limit=1000, count_to=1000))
                names = [row.summary.execution_id for row in page.rows]
                assert names.count("moving") == 1
                assert page.total == len(names)
                [row] = reader.find(Query(id="moving")).rows
                assert row.summary.tags in ((), (row.summary.status,))

        together(2, work)
