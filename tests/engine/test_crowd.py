"""Many executions that are due at once: they are looked for once, and taken up a few at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cerebelum.backends.sqlite import open_memory
from cerebelum.engine import supervisor as supervising
from cerebelum.engine import workers as working
from cerebelum.engine.settings import Settings
from cerebelum.engine.supervisor import Supervisor
from cerebelum.engine.workers import Workers
from cerebelum.host.clock import SystemClock
from cerebelum.plugins import sleep
from cerebelum.sdk.verbs import Verbs
from cerebelum.store import EventStore, Query, Row, every
from tests.engine.harness import PATIENCE, Lab, executors
from tests.lifecycle.world import wait_until

CROWD = 40
FLOW = """
    steps:
      - {id: nap, sleep: 1h}
      - {id: work, python: 'tasks.py:work'}
    """


class Later(SystemClock):
    """The machine's clocks, once all have slept."""

    def now(self) -> datetime:
        return super().now() + timedelta(hours=2)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    store = open_memory(f"memory:{tmp_path.name}")
    yield store
    store.close()


@pytest.fixture
def crowd(tmp_path: Path, store: EventStore) -> Verbs:
    """What drives executions of a store in memory, which tells nobody anything, and has many that are due."""
    lab = Lab(tmp_path, "memory:")
    lab.write("def work():\n    return None\n", "tasks.py")
    flow = lab.write(FLOW)
    known = {**executors(), **{e.key: e for e in sleep.cerebelum_executors()}}
    now = Verbs(lambda: store, lambda: known, environ=lab.environ)
    for number in range(CROWD):
        assert now.run(flow, {}, execution_id=f"x-{number}", settings=Settings(park=True)).end == "parked"
    return Verbs(lambda: store, lambda: known, environ=lab.environ, clock=Later())


def all_completed(store: EventStore) -> bool:
    return len(store.find(Query(status=("completed",), limit=CROWD + 1)).rows) == CROWD


def test_what_is_due_is_not_looked_for_again_for_each_that_ends(
    crowd: Verbs, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Query] = []

    def counted(store: EventStore, query: Query) -> Iterator[Row]:
        if query.status == ("running",):
            looks.append(query)
        return every(store, query)

    monkeypatch.setattr(supervising, "every", counted)
    monkeypatch.setattr(supervising, "_LOOK_SECONDS", 60.0)
    crowd.supervise(once=True, most=2)
    assert all_completed(store)
    # Once for all, then after each of the last two was entered and ended, and to find that there is nothing.
    assert len(looks) <= 8


def test_few_are_being_taken_up_at_once_however_many_may_be_driven(
    crowd: Verbs, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 0
    # CROWD is a multiple of it.
    prepared, together = Supervisor._prepared, threading.Barrier(supervising._FEW)

    def with_the_others(self: Supervisor, state: Any) -> Any:
        nonlocal most
        together.wait(PATIENCE)
        most = max(most, self._entering())
        return prepared(self, state)

    monkeypatch.setattr(Supervisor, "_prepared", with_the_others)
    monkeypatch.setattr(supervising, "_STALLED_SECONDS", 60.0)
    crowd.supervise(once=True, most=1_000)
    assert all_completed(store)
    assert 1 < most <= supervising._FEW


def test_those_that_are_taken_up_slowly_hold_up_nobody(
    crowd: Verbs, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, together = Supervisor._prepared, threading.Barrier(CROWD)

    def with_all_others(self: Supervisor, state: Any) -> Any:
        together.wait(PATIENCE)
        return prepared(self, state)

    monkeypatch.setattr(Supervisor, "_prepared", with_all_others)
    crowd.supervise(once=True, most=1_000)
    assert all_completed(store)


def test_executions_are_driven_by_the_same_threads_and_their_steps_are_not(
    crowd: Verbs, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    class Counted(threading.Thread):
        def start(self) -> None:
            made.append(self.name)
            super().start()

    monkeypatch.setattr(threading, "Thread", Counted)
    crowd.supervise(once=True, most=4)
    assert all_completed(store)
    assert made.count("cerebelum-drive") < CROWD / 2
    # What a step sets for its thread is not there for the next execution.
    assert made.count("cerebelum-step") == CROWD


def test_where_there_are_no_more_threads_it_ends_and_says_so(crowd: Verbs, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoMore(threading.Thread):
        def start(self) -> None:
            if self.name == "cerebelum-drive":
                raise RuntimeError("can't start new thread")
            super().start()

    monkeypatch.setattr(threading, "Thread", NoMore)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        crowd.supervise(once=True, most=4)


def test_a_thread_that_has_nothing_to_do_ends_and_another_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "_IDLE_SECONDS", 0.01)
    workers, ran = Workers("cerebelum-test"), threading.Event()
    for _ in range(3):
        ran.clear()
        workers.run(ran.set)
        assert ran.wait(30)
        wait_until(lambda: all(thread.name != "cerebelum-test" for thread in threading.enumerate()), "its end")


def test_a_thread_that_waits_is_used_again_and_ends_when_told_to() -> None:
    workers = Workers("cerebelum-test")
    used: list[threading.Thread] = []
    for number in range(3):
        workers.run(lambda: used.append(threading.current_thread()))
        wait_until(partial(_has_worked, workers, used, number), "it waits")
    assert len(set(used)) == 1
    workers.close()
    used[0].join(30)
    assert not used[0].is_alive()


def _has_worked(workers: Workers, used: list[threading.Thread], number: int) -> bool:
    return len(used) > number and bool(workers._idle)
