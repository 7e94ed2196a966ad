"""What every store finds, and in which order: the part of the conformance suite that `list` relies on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cerebelum.backends.conformance.kit import MINE, START, StoreTests, create, ids, log, summary
from cerebelum.core.state import STATUSES, Status
from cerebelum.store import EventStore, LogPage, Ownership, Page, Query, Row


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

    @pytest.mark.parametrize("text", ["'; DROP TABLE events; --", "\0", "\udcff", "", "%", "x" * 100_000])
    def test_a_search_for_strange_text_finds_nothing(self, store: EventStore, text: str) -> None:
        create(store, "deploy-1")
        assert ids(store, id=text) == ids(store, workflow=text) == ids(store, tag=(text,)) == []
        assert store.read(text) == []
        assert store.processes(text) == []
        assert store.read_log(text, step=text) == LogPage([], 0)
