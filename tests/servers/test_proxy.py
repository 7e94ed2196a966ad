"""The network between client and server does what it is told to, and only that."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.servers.postgres import schema_of, without_schema
from tests.servers.proxy import Proxy


def connect(url: str, prepare_threshold: int = 5) -> psycopg.Connection:
    schema = schema_of(url)
    return psycopg.connect(
        without_schema(url),
        autocommit=True,
        connect_timeout=10,
        options=f"-c search_path={schema}",
        prepare_threshold=prepare_threshold,
    )


@pytest.fixture
def direct(postgres_url: str) -> Iterator[psycopg.Connection]:
    """A connection that does not go through the proxy, in a schema with a table `t`."""
    with connect(postgres_url) as connection:
        connection.execute(f"CREATE SCHEMA {schema_of(postgres_url)}")
        connection.execute("CREATE TABLE t (x int)")
        yield connection


@pytest.fixture
def through(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with connect(proxy.url, prepare_threshold=0) as connection:
        yield connection


INSERT = "INSERT INTO t VALUES (%s)"


def stored(connection: psycopg.Connection) -> list[int]:
    return [x for (x,) in connection.execute("SELECT x FROM t ORDER BY x")]


def test_what_is_asked_and_answered_goes_through_and_is_counted(
    proxy: Proxy, direct: psycopg.Connection, through: psycopg.Connection
) -> None:
    assert proxy.round_trips == 0
    through.execute(INSERT, [1], prepare=False)
    assert proxy.flights == [["INSERT INTO t VALUES ($1)"]]
    with through.pipeline():
        through.execute("BEGIN", prepare=False)
        for x in range(2, 500):
            through.execute(INSERT, [x], prepare=False)
        through.execute("COMMIT", prepare=False)
    assert stored(direct) == list(range(1, 500))
    asked = [each for flight in proxy.flights[1:] for each in flight]
    assert (asked[0], asked[-1], len(asked)) == ("BEGIN", "COMMIT", 500)
    assert 1 <= len(proxy.flights[1:]) <= 20
    through.execute("SELECT repeat('x', 1000000)")
    assert proxy.connections == 1


def test_a_dropped_connection_is_gone_and_the_next_one_works(proxy: Proxy, through: psycopg.Connection) -> None:
    proxy.drop()
    with pytest.raises(psycopg.OperationalError):
        through.execute("SELECT 1")
    with connect(proxy.url) as again:
        again.execute("SELECT 1")


def test_who_is_refused_gets_in_later(proxy: Proxy, through: psycopg.Connection) -> None:
    proxy.refuse()
    with pytest.raises(psycopg.OperationalError):
        connect(proxy.url)
    through.execute("SELECT 1")
    proxy.accept()
    connect(proxy.url).close()


def test_a_black_hole_answers_nobody_until_it_opens(proxy: Proxy, through: psycopg.Connection) -> None:
    proxy.blackhole()
    with pytest.raises(psycopg.OperationalError, match="timeout"):
        psycopg.connect(without_schema(proxy.url), connect_timeout=2)
    with ThreadPoolExecutor(1) as other:
        answer = other.submit(through.execute, "SELECT 42")
        with pytest.raises(TimeoutError):
            answer.result(0.1)
        proxy.accept()
        assert answer.result(20).fetchone() == (42,)


def test_a_delay_is_had_in_both_directions(proxy: Proxy, through: psycopg.Connection) -> None:
    proxy.delay(0.1)
    began = time.monotonic()
    through.execute("SELECT 1")
    assert 0.2 <= time.monotonic() - began < 5
    proxy.delay(0)


def test_half_closed_the_client_sees_the_end_and_the_server_still_gets_what_it_sends(
    proxy: Proxy, direct: psycopg.Connection, through: psycopg.Connection
) -> None:
    proxy.half_close()
    with pytest.raises(psycopg.OperationalError):
        through.execute(INSERT, [1], prepare=False)
    end = time.monotonic() + 20
    while stored(direct) != [1]:
        assert time.monotonic() < end
        time.sleep(0.01)


def autocommitted(connection: psycopg.Connection) -> None:
    connection.execute(INSERT, [1])


def prepared(connection: psycopg.Connection) -> None:
    connection.execute(INSERT, [1], prepare=True)


def in_transaction(connection: psycopg.Connection) -> None:
    with connection.transaction():
        connection.execute(INSERT, [1])
        connection.execute("SELECT 1")


def in_pipeline(connection: psycopg.Connection) -> None:
    with connection.pipeline(), connection.transaction():
        connection.execute(INSERT, [1])


@pytest.mark.parametrize("write", [autocommitted, prepared, in_transaction, in_pipeline])
def test_a_lost_acknowledgement_leaves_what_was_written(
    proxy: Proxy,
    direct: psycopg.Connection,
    through: psycopg.Connection,
    write: Callable[[psycopg.Connection], None],
) -> None:
    proxy.lose_acknowledgements(1)
    with pytest.raises(psycopg.OperationalError):
        write(through)
    assert (proxy.lost, stored(direct)) == (1, [1])
    with connect(proxy.url) as again:
        write(again)
    assert (proxy.lost, stored(direct)) == (1, [1, 1])


@pytest.mark.parametrize("write", [autocommitted, in_transaction, in_pipeline])
def test_of_a_lost_request_nothing_is_written(
    proxy: Proxy,
    direct: psycopg.Connection,
    through: psycopg.Connection,
    write: Callable[[psycopg.Connection], None],
) -> None:
    through.execute("SELECT 1")
    proxy.lose_requests(1)
    with pytest.raises(psycopg.OperationalError):
        write(through)
    assert (proxy.lost, stored(direct)) == (1, [])


def test_what_does_not_match_is_not_lost(proxy: Proxy, direct: psycopg.Connection, through: psycopg.Connection) -> None:
    proxy.lose_acknowledgements(1, matching=r"\binsert\b")
    assert stored(through) == []
    through.execute("UPDATE t SET x = 1")
    with pytest.raises(psycopg.OperationalError):
        through.execute(INSERT, [1])
    assert stored(direct) == [1]


def test_without_the_server_the_connection_is_reset() -> None:
    with Proxy("postgresql://127.0.0.1:1/x?schema=y") as nowhere, pytest.raises(psycopg.OperationalError):
        connect(nowhere.url)
