"""The stores that tests run on: a file, and a schema of a real server."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from cerebelum.backends import postgres, sqlite
from cerebelum.store import EventStore
from tests.binary.program import TRICKS
from tests.servers.postgres import schema_of, without_schema

KINDS = ["sqlite", "postgres"] if TRICKS else ["sqlite"]
"""What the fixture `store_url` gives, one after the other; without the tricks of starting, stores are not different."""

only_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""For tests that are about the file itself."""


def open_store(url: str) -> EventStore:
    """The store of a URL of either kind."""
    return sqlite.open_store(url) if url.startswith("sqlite:") else postgres.open_store(url)


def path_of(url: str) -> Path:
    """The file of a store that is one."""
    assert url.startswith("sqlite:///"), "only a test that is about the file asks for it: mark it with only_sqlite"
    return Path(url.removeprefix("sqlite:///"))


def everything_in(url: str) -> bytes:
    """Every byte of a store: of its files, or of the rows of its tables."""
    if url.startswith("sqlite:"):
        return b"".join(path.read_bytes() for path in sorted(path_of(url).parent.iterdir()))
    found = []
    with psycopg.connect(without_schema(url)) as connection:
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1"
        for (name,) in connection.execute(tables, [schema_of(url)]).fetchall():
            copy = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(sql.Identifier(schema_of(url), name))
            with connection.cursor().copy(copy) as rows:
                found += [bytes(row) for row in rows]
    return b"".join(found)


def is_there(url: str) -> bool:
    """Whether anything has been made of the store."""
    if url.startswith("sqlite:"):
        return path_of(url).exists()
    with psycopg.connect(without_schema(url)) as connection:
        return bool(connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema_of(url)]).fetchone())
