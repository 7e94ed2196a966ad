"""Which of several lists a search reads, so that it stops early whatever is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cerebelum.backends.conformance.kit import create
from cerebelum.backends.sql.search import Lead, leads, rarest
from cerebelum.backends.sqlite import SqliteStore, open_store
from cerebelum.backends.sqlite.library import sqlite3 as library
from cerebelum.backends.sqlite.store import DIALECT
from cerebelum.store import Query


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """5,000 executions, one a second: all have the tag `all`, every other one `half`, three `few`; 40 have failed."""
    store = open_store(f"sqlite:///{tmp_path}/cerebelum.db")
    create(store, "deploy", workflow="deploy", status="completed")
    connection = library.connect(store.path)
    names = [row[1] for row in connection.execute("PRAGMA table_info(executions)")]
    chosen = {
        "id": "'copy-' || n",
        "started_at": "started_at + (n + 1) * 1000000",
        "status": "CASE WHEN n % 125 = 0 THEN 'failed' ELSE status END",
        "workflow": "CASE WHEN n < 5 THEN 'rare' ELSE workflow END",
    }
    columns = ", ".join(chosen.get(name, name) for name in names)
    numbers = "(WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < 4999) SELECT n FROM c)"
    connection.execute(
        f"INSERT INTO executions ({', '.join(names)}) SELECT {columns} FROM executions, {numbers} WHERE id = 'deploy'"
    )
    for tag, condition in (
        ("all", "true"),
        ("half", "CAST(substr(id, 6) AS INTEGER) % 2"),
        ("few", "id IN ('copy-7', 'copy-9', 'copy-11')"),
    ):
        connection.execute(f"INSERT INTO tags SELECT '{tag}', started_at, id FROM executions WHERE {condition}")
    connection.commit()
    connection.close()
    yield store
    store.close()


@pytest.mark.parametrize(
    ("asked", "read"),
    [
        ({"tag": ("all", "few")}, "few"),
        ({"tag": ("few", "all")}, "few"),
        ({"tag": ("all", "half")}, "half"),
        ({"tag": ("all", "unknown")}, "unknown"),
        ({"tag": ("all",), "status": ("failed",)}, None),
        ({"tag": ("half",), "status": ("failed", "completed")}, "half"),
        ({"tag": ("all", "half"), "status": ("paused",), "dead_runners": ("runner-1",)}, None),
        ({"tag": ("all",), "workflow": "rare"}, None),
        ({"tag": ("few",), "workflow": "deploy", "status": ("completed",)}, "few"),
    ],
)
def test_the_rarest_is_read(store: SqliteStore, asked: dict[str, Any], read: str | None) -> None:
    query = Query(**asked, count_to=10_000, limit=9_999)
    lists, sql, values = leads(query, DIALECT)
    connection = library.connect(store.path)
    rows = connection.execute(sql, values).fetchall()
    connection.close()
    assert rarest(lists, rows) == Lead(read)
    found = store.find(query)
    assert found.total == len(found.rows)


@pytest.mark.parametrize("asked", [{}, {"tag": ("all",)}, {"tag": ("a", "b"), "id": "x"}, {"status": ("failed",)}])
def test_where_there_is_nothing_to_choose_nothing_is_looked_for(asked: dict[str, Any]) -> None:
    lists, sql, _ = leads(Query(**asked), DIALECT)
    assert not sql
    assert len(lists) < 2


def test_whichever_is_read_the_same_is_found(store: SqliteStore) -> None:
    query = Query(tag=("half", "all"), status=("failed", "completed"), workflow="deploy", limit=9_999)
    found = [row.summary.execution_id for row in store.find(query).rows]
    assert found == [f"copy-{number}" for number in range(4999, 4, -1) if f"copy-{number}" in found]
    assert len(found) == 2498
