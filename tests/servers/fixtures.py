"""Servers for tests: a schema of the shared Postgres, the same through PgBouncer, or a server that may be killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.servers.keeper import FOLDER, Missing, Place, ask
from tests.servers.postgres import Postgres, programs, with_schema, with_server
from tests.servers.proxy import Proxy
from tests.stores import KINDS
from tests.tools import skip_without


def shared(node: pytest.Item, what: str) -> Place:
    """The shared server; where there is none, the test is skipped, visibly."""
    try:
        return ask(what)
    except Missing as missing:
        skip_without(node, str(missing))


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a store in the shared server, in a schema of its own that is not there yet."""
    place = shared(request.node, "postgres")
    schema = f"t_{os.urandom(8).hex()}"
    yield with_schema(place.url, schema)
    drop(place.admin, schema)


@pytest.fixture(params=KINDS)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is not there yet, of either kind: whoever asks for this is tested on both."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store' / 'test.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def pgbouncer_url(request: pytest.FixtureRequest, postgres_url: str) -> str:
    """The same store as `postgres_url`, through a PgBouncer that pools by transaction."""
    from urllib.parse import urlsplit

    port = urlsplit(shared(request.node, "pgbouncer").url).port
    assert port is not None
    return with_server(postgres_url, "127.0.0.1", port)


@pytest.fixture
def own_server(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A server for this test alone, which may kill, stop and restart it."""
    binaries = programs()
    if binaries is None:
        skip_without(request.node, "postgres")
    server = Postgres(Path(os.environ[FOLDER]) / f"own-{os.urandom(4).hex()}", binaries)
    server.start()
    yield server
    if server.process is not None:
        server.kill()


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    """A network between client and server that a test can disturb; `proxy.url` is that of `postgres_url` through it."""
    with Proxy(postgres_url) as proxy:
        yield proxy


_END = """
SELECT pg_terminate_backend(pid) FROM (
    SELECT DISTINCT pid FROM pg_locks JOIN pg_class ON relation = pg_class.oid WHERE relnamespace = %s::regnamespace
) AS holders
"""


def drop(admin: str, schema: str) -> None:
    """Drop a schema, and end the sessions of those who would hinder that."""
    drop = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
    options = "-c lock_timeout=2s -c client_min_messages=warning"
    with psycopg.connect(admin, autocommit=True, options=options) as connection:
        try:
            connection.execute(drop)
        except psycopg.errors.LockNotAvailable:
            connection.execute(_END, [schema])
            connection.execute(drop)
