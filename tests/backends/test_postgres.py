"""What the PostgreSQL store promises beyond what every store does: one round trip, being told, its own schema."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from msgspec.structs import replace
from psycopg import sql

from cerebelum.backends.conformance import StoreConformance
from cerebelum.backends.conformance.kit import MINE, START, create, log, summary, together
from cerebelum.backends.postgres import ear, open_store, schema, server
from cerebelum.core.errors import StoreError, UsageError
from cerebelum.store import Change, Chunk, Claim, EventStore, Query, Runner
from tests.backends.shared import PATIENCE, admin, schema_of
from tests.pool.beside import pool_beside
from tests.servers.postgres import with_schema
from tests.servers.proxy import Proxy


class TestPostgres(StoreConformance):
    opener = staticmethod(open_store)

    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        return postgres_url


class TestThroughPgBouncer(StoreConformance):
    opener = staticmethod(open_store)

    @pytest.fixture
    def url(self, pgbouncer_url: str) -> str:
        return pgbouncer_url


class TestBesideAPool(StoreConformance):
    opener = staticmethod(open_store)

    @pytest.fixture
    def url(self, postgres_url: str) -> Iterator[str]:
        with pool_beside(postgres_url):
            yield postgres_url


# What it costs


def test_an_append_is_one_round_trip(far: EventStore, proxy: Proxy) -> None:
    entries = log("deploy-1", 12)
    far.append("deploy-1", 0, entries[:1], summary("deploy-1", entries[:1]), fence=MINE)
    for at in range(1, 4):
        far.append("deploy-1", at, [entries[at]], summary("deploy-1", entries[: at + 1]), fence=MINE)
    before = proxy.round_trips
    far.append("deploy-1", 4, [entries[4]], summary("deploy-1", entries[:5]), fence=MINE)
    assert proxy.round_trips == before + 1
    far.append("deploy-1", 5, entries[5:12], summary("deploy-1", entries, status="failed"), fence=MINE)
    far.append("deploy-1", 12, [], summary("deploy-1", entries), fence=MINE, release=True)
    assert proxy.round_trips == before + 3
    assert far.read("deploy-1") == entries
    before = proxy.round_trips
    far.find(Query(status=("running", "failed"), count_to=100))
    far.read("deploy-1", 5)
    far.read_log("deploy-1")
    assert proxy.round_trips == before + 3


def test_executions_that_append_at_once_share_the_way_to_the_disk(far: EventStore, proxy: Proxy) -> None:
    names = [f"deploy-{number}" for number in range(16)]
    logs = {name: log(name, 20) for name in names}
    for name in names:
        create(far, name, MINE)
    proxy.delay(0.005)
    before = proxy.round_trips

    def push(name: str) -> None:
        for at in range(1, 20):
            far.append(name, at, [logs[name][at]], summary(name, logs[name][: at + 1]), fence=MINE)

    threads = [threading.Thread(target=push, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(far.read(name) == logs[name] for name in names)
    assert proxy.round_trips - before < 16 * 19 / 3


def test_one_that_cannot_be_stored_does_not_take_the_others_along(far: EventStore, proxy: Proxy) -> None:
    names = [f"deploy-{number}" for number in range(8)]
    for name in names:
        create(far, name, MINE)
    proxy.delay(0.02)
    failed: list[str] = []

    def push(number: int) -> None:
        name = names[number]
        second = log(name, 2)[1]
        wrong = number % 2 == 0
        try:
            text = "\ud800" if number % 4 else "a\0b"
            far.append(name, 1, [replace(second, text=text) if wrong else second], summary(name, [second]), fence=MINE)
        except StoreError:
            failed.append(name)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(failed) == names[::2]
    assert [len(far.read(name)) for name in names] == [1, 2] * 4


def test_a_summary_is_stored_as_it_was_given(store: EventStore) -> None:
    """Also where it says something else than its last entry, of which it is otherwise made."""
    create(store, "deploy-1", MINE)
    entries = log("deploy-1", 12)
    later = {"updated_at": START.replace(hour=4), "digest": "f" * 64, "steps_done": 3}
    given = [summary("deploy-1", entries[:4], steps_done=2, current=("a\\b", "c"))]
    given.append(replace(summary("deploy-1", entries[:5]), **later))
    given.append(summary("deploy-1", entries[:11], steps_done=4))
    given.append(summary("deploy-1", entries, steps_done=5))
    at = 1
    for each in given:
        store.append("deploy-1", at, entries[at : each.version], each, fence=None if each.version == 12 else MINE)
        assert store.find(Query(id="deploy-1")).rows[0].summary == each
        at = each.version
    assert store.read("deploy-1") == entries


# Being told


def heard(store: EventStore) -> tuple[list[tuple[float, Change]], Callable[[], None]]:
    """What a subscriber hears, and when; and how to end it. It has begun to listen then."""
    changes: list[tuple[float, Change]] = []
    end = store.subscribe(lambda change: changes.append((time.monotonic(), change)))
    assert end is not None
    deadline = time.monotonic() + PATIENCE
    while not changes:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert changes[0][1] == Change("unknown")
    del changes[0]
    return changes, end


def test_changes_are_told_and_say_what_they_are(
    store: EventStore, opened: Callable[[str], EventStore], postgres_url: str
) -> None:
    create(store, "deploy-1", MINE)
    changes, end = heard(opened(postgres_url))
    entries = log("deploy-1", 3)
    store.append("deploy-1", 1, [entries[1]], summary("deploy-1", entries[:2]), fence=MINE)
    store.append("deploy-1", 2, [entries[2]], summary("deploy-1", entries))
    store.write_log("deploy-1", [Chunk("a", 1, 0, "stdout", START, b"x")])
    store.own("deploy-1", "runner-2", MINE)
    deadline = time.monotonic() + PATIENCE
    while len(changes) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [change for _, change in changes] == [
        Change(kind, "deploy-1") for kind in ("events", "request", "output", "owner")
    ]
    end()
    create(store, "deploy-2")
    time.sleep(0.2)
    assert len(changes) == 4


def test_who_listens_hears_again_after_the_connection_was_lost(
    store: EventStore, far: EventStore, proxy: Proxy
) -> None:
    changes, end = heard(far)
    proxy.drop()
    deadline = time.monotonic() + PATIENCE
    while Change("unknown") not in [change for _, change in changes]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    create(store, "deploy-1")
    while Change("events", "deploy-1") not in [change for _, change in changes] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert Change("events", "deploy-1") in [change for _, change in changes]
    end()


def test_closing_a_store_that_nothing_happens_in_does_not_wait_for_its_next_look(
    store: EventStore, opened: Callable[[str], EventStore], postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ear, "_LOOK", 3600.0)
    create(store, "deploy-1")
    other = opened(postgres_url)
    heard(other)
    thread = other._ear._thread  # type: ignore[attr-defined]
    assert thread.is_alive()
    other.close()
    assert not thread.is_alive()


def test_behind_a_pooler_nobody_is_told_and_says_so(
    opened: Callable[[str], EventStore], pgbouncer_url: str, postgres_url: str
) -> None:
    assert opened(pgbouncer_url).subscribe(lambda change: None) is None
    assert opened(pgbouncer_url).describe().details["pooled"] is True
    assert opened(postgres_url).describe().details["pooled"] is False


# The tables


def tables(url: str) -> list[str]:
    with admin(url) as connection:
        rows = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s ORDER BY 1", (schema_of(url),)
        )
        return [name for (name,) in rows]


def test_nothing_is_made_before_the_first_write(store: EventStore, postgres_url: str) -> None:
    assert store.read("deploy-1") == []
    assert store.find(Query(count_to=3)).rows == []
    assert store.describe().exists is False
    assert store.own("deploy-1", "r", MINE) is None
    assert tables(postgres_url) == []
    create(store, "deploy-1")
    assert store.describe().exists is True
    assert "events" in tables(postgres_url)


_CREATE = """
import sys
from cerebelum.backends.conformance.kit import create
from cerebelum.backends.postgres import open_store
store = open_store(sys.argv[1])
sys.stdin.read(1)
create(store, sys.argv[2])
store.close()
"""


def python(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stderr=subprocess.PIPE)


def test_of_many_who_make_the_tables_at_once_all_succeed(store: EventStore, postgres_url: str) -> None:
    makers = [python(_CREATE, postgres_url, f"deploy-{number}") for number in range(6)]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write(b"x")
        maker.stdin.flush()
    assert [(maker.communicate()[1], maker.returncode) for maker in makers] == [(b"", 0)] * 6
    assert len(store.find(Query()).rows) == 6


def test_a_migration_that_is_killed_leaves_all_or_nothing(
    postgres_url: str, opened: Callable[[str], EventStore]
) -> None:
    """Killed after each of its statements in turn: the next one who writes makes all of it."""
    killing = (
        "import os, signal, sys\n"
        "from cerebelum.backends.postgres import open_store, server\n"
        "from cerebelum.backends.conformance.kit import create\n"
        "left, execute = int(sys.argv[2]), server.Connection.execute\n"
        "def dying(self, query, *more, **options):\n"
        "    global left\n"
        "    cursor = execute(self, query, *more, **options)\n"
        "    left -= 'CREATE' in str(query) or 'INSERT' in str(query) or 'UPDATE' in str(query)\n"
        "    if left == 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return cursor\n"
        "server.Connection.execute = dying\n"
        "create(open_store(sys.argv[1]), 'deploy-1')\n"
    )
    for statement in (1, 3, 8, 14, 20, 25):
        dead = python(killing, postgres_url, str(statement))
        dead.communicate()
        assert dead.returncode == -signal.SIGKILL
        assert tables(postgres_url) == []
    create(opened(postgres_url), "deploy-1")
    assert len(tables(postgres_url)) == 10


def test_an_older_store_is_read_as_it_is_and_migrated_by_whoever_writes_first(
    postgres_url: str, opened: Callable[[str], EventStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        # Just what the first version did: its statements are never edited.
        older.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        older.setattr(schema, "SCHEMA_VERSION", 1)
        older.setattr(server, "SCHEMA_VERSION", 1)
        old = opened(postgres_url)
        first = create(old, "old-1", MINE)
        old.close()
    assert len(tables(postgres_url)) == 9
    store = opened(postgres_url)
    assert store.read("old-1") == [first]
    assert store.claims() == store.claims("production") == []
    assert store.describe().schema_version == 1
    assert len(tables(postgres_url)) == 9
    others = [opened(postgres_url) for _ in range(4)]
    told = together(4, lambda number: others[number].claim("old-1", "production", START, MINE))
    assert told == [[Claim("production", "old-1", START)]] * 4
    assert len(tables(postgres_url)) == 10
    # What had looked at the older one finds the new one, too.
    assert store.claims() == told[0]
    assert opened(postgres_url).describe().schema_version == 2


def test_a_store_of_a_newer_cerebelum_is_refused(
    store: EventStore, postgres_url: str, opened: Callable[[str], EventStore]
) -> None:
    create(store, "deploy-1")
    with admin(postgres_url) as connection:
        connection.execute(
            sql.SQL("UPDATE {}.store SET schema_version = 99").format(sql.Identifier(schema_of(postgres_url)))
        )
    with pytest.raises(StoreError, match="schema version 99") as caught:
        opened(postgres_url).read("deploy-1")
    assert "newer" in (caught.value.hint or "")


@pytest.mark.parametrize("change", ["UPDATE {}.events SET data = ''", "DELETE FROM {}.events", "TRUNCATE {}.events"])
def test_the_database_refuses_to_change_events(store: EventStore, postgres_url: str, change: str) -> None:
    first = create(store, "deploy-1")
    with admin(postgres_url) as connection, pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        connection.execute(sql.SQL(change).format(sql.Identifier(schema_of(postgres_url))))
    assert store.read("deploy-1") == [first]


@pytest.mark.parametrize("name", ["Deploy & Co", 'quo"te', "grüße", "s" * 63, "a%sb", "x{}y", "a?b", "{s}"])
def test_a_schema_may_have_any_name(postgres_url: str, opened: Callable[[str], EventStore], name: str) -> None:
    # Other tests run at the same time, and a name can be as long as it may be.
    name = (f"t{os.urandom(3).hex()}" + name).encode()[:63].decode()
    url = with_schema(postgres_url, quote(name, safe=""))
    try:
        store = opened(url)
        first = create(store, "deploy-1", tags=("x",))
        changes, end = heard(store)
        create(store, "deploy-2")
        deadline = time.monotonic() + PATIENCE
        while not changes and time.monotonic() < deadline:
            time.sleep(0.01)
        end()
        assert changes
        assert store.read("deploy-1") == [first]
        assert store.describe().details["schema"] == name
    finally:
        with admin(postgres_url) as connection:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


@pytest.mark.parametrize("name", ["", "pg_temp", "s" * 64, "a%00b"])
def test_what_cannot_be_a_schema_is_refused(postgres_url: str, name: str) -> None:
    with pytest.raises(UsageError, match="schema"):
        open_store(with_schema(postgres_url, name))


def test_text_that_the_database_refuses_comes_back_whole(store: EventStore, postgres_url: str) -> None:
    odd = ("nul \0 here", "\\", "\\0", "\\\\0\0\\", "%s ? {}", "'; --")
    [first] = log("deploy-1", 1)
    full = summary("deploy-1", [first], reason="\0", tags=odd, correlation_id=odd[3], current=odd)
    store.append("deploy-1", 0, [first], full)
    assert store.find(Query()).rows[0].summary == full
    for tag in odd:
        assert [row.summary for row in store.find(Query(tag=(tag,))).rows] == [full]


def test_the_silence_of_a_runner_is_told_by_the_servers_clock(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime(2031, 1, 1, tzinfo=UTC)

    monkeypatch.setattr("cerebelum.backends.postgres.store.datetime", Wrong)
    runner = Runner("runner-1", "host", "boot", 4711, "pid:[1]", 1, START, "/run/r.lock")
    store.beat(runner)
    create(store, "deploy-1", MINE)
    found = store.find(Query()).rows[0].runner
    assert found is not None
    assert found.silent is not None
    assert 0 <= found.silent < PATIENCE


def test_a_forked_child_can_do_nothing_with_the_parents_connections(store: EventStore) -> None:
    first = create(store, "deploy-1")
    pid = os.fork()
    if pid == 0:
        code = 1
        with suppress(BaseException):
            try:
                store.read("deploy-1")
            except StoreError as error:
                code = 0 if "forked" in error.message else 2
            store.close()
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert store.read("deploy-1") == [first]


def test_every_schema_version_has_its_migration() -> None:
    assert len(schema.MIGRATIONS) == schema.SCHEMA_VERSION
