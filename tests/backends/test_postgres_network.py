"""Nothing is lost or doubled by a bad network or a server that goes away, and nobody waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from cerebelum.backends.conformance.kit import MINE, START, create, entry, log, summary, tombstone_of, whole
from cerebelum.backends.postgres.server import Connection
from cerebelum.core.errors import StoreError
from cerebelum.store import Chunk, Conflict, EventStore, Fenced, Ownership, Process, Query, Runner
from tests.backends.shared import PATIENCE, admin, schema_of
from tests.servers.postgres import Postgres
from tests.servers.proxy import Proxy

# What goes wrong on the way


def test_an_append_whose_acknowledgement_is_lost_is_there_once(far: EventStore, proxy: Proxy) -> None:
    entries = log("deploy-1", 9)
    far.append("deploy-1", 0, entries[:1], summary("deploy-1", entries[:1]), fence=MINE)
    for at in range(1, 9):
        proxy.lose_acknowledgements(1)
        far.append("deploy-1", at, [entries[at]], summary("deploy-1", entries[: at + 1]), fence=MINE)
    assert far.read("deploy-1") == entries
    proxy.lose_acknowledgements(1)
    far.append("deploy-1", 9, [], summary("deploy-1", entries), fence=MINE, release=True)
    assert far.find(Query(id="deploy-1")).rows[0].ownership == Ownership(None, 1)
    assert proxy.lost == 9


def test_creating_taking_over_pruning_and_restoring_are_done_once_too(far: EventStore, proxy: Proxy) -> None:
    create(far, "warm-1")
    proxy.lose_acknowledgements(1)
    first = create(far, "deploy-1", MINE)
    assert far.read("deploy-1") == [first]
    proxy.lose_acknowledgements(1)
    assert far.own("deploy-1", "runner-2", MINE) == Ownership("runner-2", 2)
    proxy.lose_acknowledgements(1)
    assert far.own("deploy-1", None, Ownership("runner-2", 2)) == Ownership(None, 3)
    assert far.own("deploy-1", "runner-3", MINE) is None
    proxy.lose_acknowledgements(1)
    far.restore([whole("deploy-2", 5), whole("deploy-3", 2)])
    assert len(far.read("deploy-2")) == 5
    proxy.lose_acknowledgements(1)
    far.prune(tombstone_of(far, "deploy-2"))
    assert far.read("deploy-2") == []
    assert [t.execution_id for t in far.tombstones()] == ["deploy-2"]


def test_output_is_written_once_whatever_is_lost_on_the_way(far: EventStore, proxy: Proxy) -> None:
    create(far, "deploy-1")
    far.write_log("deploy-1", [Chunk("a", 1, 0, "stdout", START, b"0")])
    for number in range(1, 6):
        proxy.lose_acknowledgements(1)
        drop = [("a", 1, 0, 1)] if number == 5 else []
        far.write_log("deploy-1", [Chunk("a", 1, number, "stdout", START, str(number).encode())], drop)
    page = far.read_log("deploy-1")
    assert b"".join(chunk.data for chunk in page.chunks) == b"12345"
    process = Process("build", 1, 100, "pid:[1]", 5, "boot", 100, "token-1")
    for gone in (False, True):
        proxy.lose_acknowledgements(1)
        far.note_process("deploy-1", process, gone=gone)
    assert far.processes("deploy-1") == []


def test_what_somebody_else_appended_meanwhile_is_a_conflict(store: EventStore, far: EventStore, proxy: Proxy) -> None:
    entries = log("deploy-1", 3)
    far.append("deploy-1", 0, entries[:1], summary("deploy-1", entries[:1]), fence=MINE)
    proxy.lose_acknowledgements(1)
    far.append("deploy-1", 1, [entries[1]], summary("deploy-1", entries[:2]), fence=MINE)
    store.append("deploy-1", 2, [entries[2]], summary("deploy-1", entries))
    with pytest.raises(Conflict):
        far.append("deploy-1", 2, [entries[2]], summary("deploy-1", entries), fence=MINE)
    store.own("deploy-1", "runner-2", MINE)
    with pytest.raises(Fenced):
        far.append("deploy-1", 3, [entry("deploy-1", 4)], summary("deploy-1", [entry("deploy-1", 4)]), fence=MINE)
    assert store.read("deploy-1") == entries


@pytest.mark.parametrize("trouble", ["drop", "half_close", "refuse", "blackhole"])
def test_a_network_that_comes_back_is_waited_for(far: EventStore, proxy: Proxy, trouble: str) -> None:
    entries = log("deploy-1", 6)
    far.append("deploy-1", 0, entries[:1], summary("deploy-1", entries[:1]), fence=MINE)
    far.find(Query())
    getattr(proxy, trouble)()
    if trouble in ("refuse", "blackhole"):
        if trouble == "refuse":
            proxy.drop()
        threading.Timer(1.0, proxy.accept).start()
    for at in range(1, 6):
        far.append("deploy-1", at, [entries[at]], summary("deploy-1", entries[: at + 1]), fence=MINE)
        if at % 2:
            proxy.drop()
    assert far.read("deploy-1") == entries


def test_a_network_that_does_not_come_back_is_given_up_in_time(far: EventStore, proxy: Proxy) -> None:
    first = create(far, "deploy-1", MINE)
    for lane in (far._events, far._reading):  # type: ignore[attr-defined]
        lane.patience, lane.silence = 2.0, 0.5
    assert far.read("deploy-1") == [first]
    proxy.blackhole()
    began = time.monotonic()
    with pytest.raises(StoreError, match="server"):
        far.read("deploy-1")
    assert time.monotonic() - began < PATIENCE
    # What comes after shares the patience of what came first.
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(StoreError):
            far.read("deploy-1")
    assert time.monotonic() - began < PATIENCE
    proxy.accept()
    assert far.read("deploy-1") == [first]


def test_who_stood_still_through_all_patience_while_connecting_tries_again(
    far: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that is frozen in its first beat, of which only that can be told: its time is over."""
    create(far, "deploy-1", MINE)
    lane, tries, connect = far._beats, [], Connection.connect  # type: ignore[attr-defined]

    def stands_still_once(**parameters: Any) -> Any:
        tries.append(parameters)
        if len(tries) == 1:
            threading.Event().wait(lane.patience + 0.1)
            raise psycopg.errors.ConnectionTimeout("connection timeout expired")
        return connect(**parameters)

    monkeypatch.setattr(Connection, "connect", stands_still_once)
    far.beat(Runner("runner-1", "host", "boot", 4711, "pid:[1]", 1, START, "/run/r.lock"))
    assert len(tries) == 2


def test_sessions_that_an_operator_ends_are_made_again(store: EventStore, postgres_url: str) -> None:
    entries = log("deploy-1", 60)
    store.append("deploy-1", 0, entries[:1], summary("deploy-1", entries[:1]), fence=MINE)
    over = threading.Event()

    def end_sessions() -> None:
        with admin(postgres_url) as connection:
            while not over.wait(0.01):
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                    " AND position(%s IN query) > 0",
                    (schema_of(postgres_url),),
                )

    thread = threading.Thread(target=end_sessions)
    thread.start()
    try:
        for at in range(1, 60):
            store.append("deploy-1", at, [entries[at]], summary("deploy-1", entries[: at + 1]), fence=MINE)
            store.write_log("deploy-1", [Chunk("a", 1, at, "stdout", START, b"x")])
    finally:
        over.set()
        thread.join()
    assert store.read("deploy-1") == entries
    assert [chunk.offset for chunk in store.read_log("deploy-1").chunks] == list(range(1, 60))


def test_a_server_that_is_killed_and_comes_back_has_lost_nothing(
    own_server: Postgres, opened: Callable[[str], EventStore]
) -> None:
    store = opened(own_server.url)
    entries = log("deploy-1", 40)
    store.append("deploy-1", 0, entries[:1], summary("deploy-1", entries[:1]), fence=MINE)
    acknowledged = [1]

    def push() -> None:
        for at in range(1, 40):
            store.append("deploy-1", at, [entries[at]], summary("deploy-1", entries[: at + 1]), fence=MINE)
            acknowledged.append(at + 1)
            time.sleep(0.02)

    thread = threading.Thread(target=push)
    thread.start()
    time.sleep(0.2)
    own_server.kill()
    own_server.restart()
    thread.join(PATIENCE)
    assert acknowledged == list(range(1, 41))
    assert store.read("deploy-1") == entries
