"""Many executions that are due at once: they are looked for once, taken up a few at a time, and share threads."""

from __future__ import annotations

import threading
import time
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
from cerebelum.plugins import python, shell, sleep
from cerebelum.sdk.verbs import Verbs
from cerebelum.store import EventStore, Query, Row, every
from tests.engine.harness import Lab
from tests.lifecycle.world import wait_until

CROWD = 40
FLOW = """
    steps:
      - {id: nap, sleep: 1h}
      - {id: work, python: 'tasks.py:work'}
    """


class Later(SystemClock):
    """The machine's clocks, once all have slept, of which one does not move."""

    def now(self) -> datetime:
        return super().now() + timedelta(hours=2)

    def elapsed(self) -> float:
        return 1_000.0


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
    executors = {e.key: e for e in (*shell.cerebelum_executors(), *python.cerebelum_executors())}
    executors |= {e.key: e for e in sleep.cerebelum_executors()}
    now = Verbs(lambda: store, lambda: executors, environ=lab.environ)
    for number in range(CROWD):
        assert now.run(flow, {}, execution_id=f"x-{number}", settings=Settings(park=True)).end == "parked"
    return Verbs(lambda: store, lambda: executors, environ=lab.environ, clock=Later())


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
    crowd.supervise(once=True, most=2)
    assert all_completed(store)
    # Once for all, then after each of the last two was entered and ended, and to find that there is nothing.
    assert len(looks) <= 8


def test_few_are_being_taken_up_at_once_however_many_may_be_driven(
    crowd: Verbs, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, entering, most = threading.Lock(), 0, 0
    prepared, entered = Supervisor._prepared, Supervisor.entered

    def slowly(self: Supervisor, state: Any) -> Any:
        nonlocal entering, most
        with lock:
            entering += 1
            most = max(most, entering)
        time.sleep(0.01)
        return prepared(self, state)

    def counted(self: Supervisor, engine: Any) -> None:
        nonlocal entering
        with lock:
            entering -= 1
        entered(self, engine)

    monkeypatch.setattr(Supervisor, "_prepared", slowly)
    monkeypatch.setattr(Supervisor, "entered", counted)
    crowd.supervise(once=True, most=1_000)
    assert all_completed(store)
    assert 1 < most <= supervising._MOST_ENTERING


def test_executions_share_threads(crowd: Verbs, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    class Counted(threading.Thread):
        def start(self) -> None:
            made.append(self.name)
            super().start()

    monkeypatch.setattr(threading, "Thread", Counted)
    crowd.supervise(once=True, most=4)
    assert all_completed(store)
    assert made.count("cerebelum-drive") <= 8
    assert made.count("cerebelum-step") <= 8


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
