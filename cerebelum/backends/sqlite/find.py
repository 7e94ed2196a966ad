"""Turns a Query into SQL whose index is chosen here and not by guesses about the data, so that lists stay fast."""

from __future__ import annotations

from typing import Any

import msgspec

from cerebelum.backends.sqlite.rows import SUMMARY, micros
from cerebelum.store import Query

COLUMNS = tuple(f"e.{name}" for name in (*SUMMARY, "owner", "epoch"))
_START, _ID = COLUMNS.index("e.started_at"), COLUMNS.index("e.id")


class _Term(msgspec.Struct, frozen=True):
    sql: str
    values: tuple[Any, ...] = ()


def selection(query: Query) -> tuple[str, list[Any]]:
    """SQL that gives COLUMNS of what matches, newest start first, and its values; then come limit and offset."""
    source, terms, alternatives = _plan(query)
    columns = list(COLUMNS)
    if source.startswith("tags"):
        columns[_START], columns[_ID] = "t.started_at", "t.execution_id"
    parts, values = _branches(", ".join(columns), source, terms, alternatives)
    # The branches come sorted from their indexes; SQLite merges them without sorting.
    order = f"ORDER BY {_START + 1} DESC, {_ID + 1} DESC"
    return f"{' UNION ALL '.join(parts)} {order} LIMIT ? OFFSET ?", values


def counted(query: Query, most: int) -> tuple[str, list[Any]]:
    """SQL that counts what matches, at most `most`, and its values."""
    parts, values = _branches("1", *_plan(query))
    return f"SELECT count(*) FROM ({' UNION ALL '.join(parts)} LIMIT ?)", [*values, most]


def _branches(columns: str, source: str, terms: list[_Term], alternatives: list[_Term]) -> tuple[list[str], list[Any]]:
    parts, values = [], []
    for alternative in alternatives:
        every = [*terms, alternative]
        where = " AND ".join(term.sql for term in every if term.sql)
        parts.append(f"SELECT {columns} FROM {source}" + (f" WHERE {where}" if where else ""))
        values += [value for term in every for value in term.values]
    return parts, values


def _plan(query: Query) -> tuple[str, list[_Term], list[_Term]]:
    """Where to read from, what must hold, and of what follows any (each one a branch with its own use of the index)."""
    terms: list[_Term] = []
    tags = list(query.tag)
    start, key = "e.started_at", "e.id"
    if query.id is not None or query.id_prefix is not None:
        source = "executions AS e INDEXED BY sqlite_autoindex_executions_1"
    elif tags:
        source = "tags AS t CROSS JOIN executions AS e ON e.id = t.execution_id"
        start, key = "t.started_at", "t.execution_id"
        terms.append(_Term("t.tag = ?", (tags.pop(0),)))
    elif query.due_before is not None:
        source = "executions AS e INDEXED BY executions_by_due"
    else:
        by = "_".join(
            ["by", *(["workflow"] if query.workflow is not None else []), *(["status"] if query.status else [])]
        )
        source = f"executions AS e INDEXED BY executions_{'by_start' if by == 'by' else by}"
    if query.id is not None:
        terms.append(_Term("e.id = ?", (query.id,)))
    if query.id_prefix is not None:
        terms.append(_Term("e.id >= ? AND e.id < ?", (query.id_prefix, query.id_prefix + "\U0010ffff")))
    if query.workflow is not None:
        terms.append(_Term("e.workflow = ?", (query.workflow,)))
    if query.since is not None:
        terms.append(_Term(f"{start} >= ?", (micros(query.since),)))
    if query.due_before is not None:
        terms.append(_Term("e.due_at < ?", (micros(query.due_before),)))
    terms += [
        _Term(
            f"EXISTS (SELECT 1 FROM tags AS o WHERE o.tag = ? AND o.started_at = {start} AND o.execution_id = {key})",
            (tag,),
        )
        for tag in tags
    ]
    return source, terms, _statuses(query)


def _statuses(query: Query) -> list[_Term]:
    """One term per stored status that matches; no two can hold of the same execution."""
    if not query.status:
        return [_Term("")]
    dead = msgspec.json.encode(query.dead_runners).decode()
    is_dead = "ifnull(e.owner, '') IN (SELECT value FROM json_each(?))"
    wanted = dict.fromkeys(query.status)
    terms = []
    for status in wanted:
        if status == "running" and query.dead_runners and "paused" not in wanted:
            terms.append(_Term(f"e.status = ? AND NOT {is_dead}", (status, dead)))
        else:
            terms.append(_Term("e.status = ?", (status,)))
    if "paused" in wanted and "running" not in wanted and query.dead_runners:
        terms.append(_Term(f"e.status = 'running' AND {is_dead}", (dead,)))
    return terms
