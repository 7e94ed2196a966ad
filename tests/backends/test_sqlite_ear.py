"""Who has subscribed hears what others commit to the file, and of which execution, without being asked to look."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from cerebelum.backends.conformance.kit import MINE, create, log, output_of, summary, tombstone_of
from cerebelum.backends.sql import ear
from cerebelum.backends.sqlite import ear as sqlite_ear
from cerebelum.backends.sqlite import open_store
from cerebelum.store import Change, EventStore
from tests.lifecycle.world import PATIENCE

Open = Callable[[], EventStore]
Heard = queue.SimpleQueue[Change]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens one more handle on one file."""
    with ExitStack() as stack:

        def one() -> EventStore:
            store = open_store(f"sqlite:///{tmp_path}/store.db")
            stack.callback(store.close)
            return store

        yield one


def listening(store: EventStore, execution_id: str = "") -> Heard:
    """What a subscriber hears, once it does."""
    heard: Heard = queue.SimpleQueue()
    assert store.subscribe(heard.put, execution_id) is not None
    assert heard.get(timeout=PATIENCE) == Change("unknown"), "what was before may have been missed"
    return heard


def until(heard: Heard, wanted: Change) -> list[Change]:
    """What is heard up to this."""
    found = []
    while wanted not in found:
        found.append(heard.get(timeout=PATIENCE))
    return found


def test_a_request_is_told_from_what_the_owner_appends(opened: Open) -> None:
    listener, other = opened(), opened()
    create(other, "deploy-1", MINE)
    entries = log("deploy-1", 3)
    heard = listening(listener)
    other.append("deploy-1", 1, entries[1:2], summary("deploy-1", entries[:2]), fence=MINE)
    assert Change("request", "deploy-1") not in until(heard, Change("events", "deploy-1"))
    asked = replace(entries[2], type="CancelRequested")
    other.append("deploy-1", 2, [asked], summary("deploy-1", entries))
    until(heard, Change("request", "deploy-1"))


def test_what_has_no_events_is_told_as_output_and_soon_as_anything(opened: Open) -> None:
    listener, other = opened(), opened()
    create(other, "deploy-1", MINE)
    heard = listening(listener)
    other.write_log("deploy-1", output_of(1, 1))
    until(heard, Change("output"))
    until(heard, Change("unknown"))
    other.own("deploy-1", "runner-2", MINE)
    until(heard, Change("unknown"))


def test_with_many_who_listen_what_is_not_known_is_told_more_seldom(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_ear, "_VAGUE", 0.0)
    listener, other = opened(), opened()
    create(other, "deploy-1", MINE)
    heard = listening(listener)
    monkeypatch.setattr(sqlite_ear, "_VAGUE_EACH", 1_000_000.0)
    other.own("deploy-1", "runner-2", MINE)
    until(heard, Change("output"))
    entries = log("deploy-1", 2)
    other.append("deploy-1", 1, entries[1:], summary("deploy-1", entries))
    assert Change("unknown") not in until(heard, Change("events", "deploy-1"))


def test_who_asks_for_one_execution_does_not_hear_of_another(opened: Open) -> None:
    listener, other = opened(), opened()
    for name in ("deploy-1", "deploy-2"):
        create(other, name)
    heard = listening(listener, "deploy-2")
    for name in ("deploy-1", "deploy-2"):
        entries = log(name, 2)
        other.append(name, 1, entries[1:], summary(name, entries))
    assert {change.execution_id for change in until(heard, Change("events", "deploy-2"))} <= {"", "deploy-2"}


def test_a_file_that_is_made_later_is_heard_of(opened: Open) -> None:
    listener, other = opened(), opened()
    heard = listening(listener)
    create(other, "deploy-1")
    until(heard, Change("unknown"))
    create(other, "deploy-2")
    until(heard, Change("events", "deploy-2"))


def test_pruning_hides_nothing_that_comes_after(opened: Open) -> None:
    listener, other = opened(), opened()
    for name in ("deploy-1", "deploy-2"):
        create(other, name, status="completed")
    heard = listening(listener)
    other.prune(tombstone_of(other, "deploy-2"))
    create(other, "deploy-3")
    found = [heard.get(timeout=PATIENCE)]
    while found[-1] not in (Change("unknown"), Change("events", "deploy-3")):
        found.append(heard.get(timeout=PATIENCE))
    create(other, "deploy-4")
    until(heard, Change("events", "deploy-4"))


def test_a_closed_store_tells_nothing_more(opened: Open) -> None:
    listener, other = opened(), opened()
    create(other, "deploy-1")
    heard = listening(listener)
    listener.close()
    while not heard.empty():
        heard.get()
    create(other, "deploy-2")
    with pytest.raises(queue.Empty):
        heard.get(timeout=0.5)


def test_a_store_may_be_closed_while_somebody_subscribes(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    starting, go_on = threading.Event(), threading.Event()

    class Slow(threading.Thread):
        def start(self) -> None:
            starting.set()
            go_on.wait(PATIENCE)
            super().start()

    create(store := opened(), "deploy-1")
    with ThreadPoolExecutor(2) as threads:
        monkeypatch.setattr(ear, "threading", SimpleNamespace(Thread=Slow, current_thread=threading.current_thread))
        subscribing = threads.submit(store.subscribe, lambda change: None)
        assert starting.wait(PATIENCE)
        closing = threads.submit(store.close)
        wait([closing], 0.2)
        go_on.set()
        closing.result()
        assert subscribing.result() is not None
