"""PostgreSQL really takes the indexes that are there for `list`, whatever it is asked, where there are many rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from cerebelum.backends.conformance.kit import create
from cerebelum.backends.postgres import open_store
from cerebelum.backends.postgres.store import PostgresStore
from cerebelum.backends.sql.search import rarest
from tests.backends.queries import QUERIES, SORTED
from tests.backends.shared import admin
from tests.servers.fixtures import drop, shared
from tests.servers.postgres import with_schema

MANY = 20_000
LIMIT = 21
MOST_READ, MOST_SORTED = MANY // 10, MANY // 40
"""Rows that a page may look at, and that may be sorted for it: among few, an index in order is no cheaper."""


@pytest.fixture(scope="module")
def many(request: pytest.FixtureRequest) -> Iterator[tuple[PostgresStore, str]]:
    """One execution a second: one in 50 has failed, 40 are not over; every tenth is of `deploy`."""
    place = shared(request.node, "postgres")
    schema = f"t_{os.urandom(8).hex()}"
    url = with_schema(place.url, schema)
    store = open_store(url)
    assert isinstance(store, PostgresStore)
    create(store, "first", status="completed", tags=())
    with admin(url) as connection:
        fill(connection, schema)
    yield store, url
    store.close()
    drop(place.admin, schema)


def fill(connection: psycopg.Connection, schema: str) -> None:
    columns = [
        row[0]
        for row in connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = 'executions'"
            " AND is_generated = 'NEVER'",
            [schema],
        )
    ]
    chosen = {
        "id": "'deploy-' || n",
        "started_at": "started_at + n * 1000000::bigint",
        "status": "CASE WHEN n % 500 = 0"
        " THEN (ARRAY['running', 'sleeping', 'waiting_for_approval', 'paused'])[1 + n / 500 % 4]"
        " WHEN n % 50 = 1 THEN 'failed' ELSE status END",
        "workflow": "CASE WHEN n % 10 = 1 THEN 'deploy' ELSE 'other-' || n % 7 END",
        "owner": "CASE WHEN n % 500 = 0 THEN 'runner-' || n / 500 % 3 END",
        "due_at": "CASE WHEN n % 500 = 0 THEN started_at + n END",
        "tags": "ARRAY['nightly', CASE WHEN n % 2 = 1 THEN 'linux' ELSE 'mac' END]",
    }
    run = {
        "into": sql.SQL(", ").join(map(sql.Identifier, columns)),
        "what": sql.SQL(", ".join(chosen.get(name, name) for name in columns)),
        "s": sql.Identifier(schema),
        "many": sql.Literal(MANY),
    }
    insert = "INSERT INTO {s}.executions ({into}) SELECT {what} FROM {s}.executions, generate_series(1, {many}) AS n"
    connection.execute(sql.SQL(insert + " WHERE id = 'first'").format(**run))
    connection.execute(sql.SQL("VACUUM ANALYZE {s}.executions, {s}.tags").format(**run))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's node, and all below it."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def read(node: dict[str, Any]) -> int:
    """How many rows a scan looked at."""
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])


@pytest.mark.parametrize("name", QUERIES)
def test_every_filter_is_served_by_an_index(many: tuple[PostgresStore, str], name: str) -> None:
    store, url = many
    lists, look, looked = store._sql.leads(QUERIES[name])
    lead = rarest(lists, store._fetched(look, looked) if look else [])
    text, values = store._sql.search(QUERIES[name], LIMIT, 0, 0, lead)
    with admin(url) as connection:
        asked = psycopg.ClientCursor(connection).mogrify(text, values)
        [[[explained]]] = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {asked}".encode()).fetchall()
    every = list(nodes(explained["Plan"]))
    tables = [node for node in every if node.get("Relation Name") in ("executions", "tags")]
    assert tables
    assert not [node for node in tables if node["Node Type"] == "Seq Scan"]
    assert sum(map(read, tables)) <= MOST_READ
    sorted_rows = [read(node["Plans"][0]) for node in every if "Sort" in node["Node Type"]]
    assert name in SORTED or max(sorted_rows) <= MOST_SORTED
