"""Turns a Query into SQL, one branch for each stored status, so that every list is served in order by an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from cerebelum.backends.sql.rows import SUMMARY, micros
from cerebelum.store import Query

COLUMNS = tuple(f"e.{name}" for name in (*SUMMARY, "owner", "epoch"))
_START, _ID = COLUMNS.index("e.started_at"), COLUMNS.index("e.id")


class Dialect(msgspec.Struct, frozen=True):
    """Where the databases differ."""

    prefix: str
    """What stands before the name of a table."""
    indexed: str
    """What follows a table to have this index used, with `{}` for its name; empty where it cannot be said."""
    tagged: str
    """Tags `t` with their executions `e`, read in the order of the tags; `{prefix}` for what stands before a table."""
    branch: str
    """One of several branches, `{sql}`, of which the first ? in the order `{order}` are wanted."""
    among: str
    """Whether the text `{}` is among the texts of a list, which is a value."""
    texts: Callable[[tuple[str, ...]], Any]
    """Such a list as a value."""
    by_id: str
    """The index of the executions' ids."""


class _Term(msgspec.Struct, frozen=True):
    sql: str
    values: tuple[Any, ...] = ()


def selection(query: Query, dialect: Dialect, limit: int, offset: int) -> tuple[str, list[Any]]:
    """SQL that gives COLUMNS of what matches, newest start first, and its values."""
    source, terms, alternatives = _plan(query, dialect)
    columns = list(COLUMNS)
    if query.tag and source == dialect.tagged.format(prefix=dialect.prefix):
        columns[_START], columns[_ID] = "t.started_at", "t.execution_id"
    order = f"{columns[_START]} DESC, {columns[_ID]} DESC"
    parts, values = [], []
    for sql, needed in _branches(", ".join(columns), source, terms, alternatives):
        if len(alternatives) > 1 and "?" in dialect.branch:
            sql, needed = dialect.branch.format(sql=sql, order=order), [*needed, limit + offset]
        parts.append(sql)
        values += needed
    # The branches come sorted from their indexes, and are merged without sorting.
    order = f"ORDER BY {_START + 1} DESC, {_ID + 1} DESC"
    return f"{' UNION ALL '.join(parts)} {order} LIMIT ? OFFSET ?", [*values, limit, offset]


def counted(query: Query, most: int, dialect: Dialect) -> tuple[str, list[Any]]:
    """SQL that counts what matches, at most `most`, and its values."""
    branches = list(_branches("1", *_plan(query, dialect)))
    values = [value for _, needed in branches for value in needed]
    sql = " UNION ALL ".join(sql for sql, _ in branches)
    return f"SELECT count(*) FROM ({sql} LIMIT ?) AS matches", [*values, most]


def _branches(
    columns: str, source: str, terms: list[_Term], alternatives: list[_Term]
) -> Iterator[tuple[str, list[Any]]]:
    for alternative in alternatives:
        every = [*terms, alternative]
        where = " AND ".join(term.sql for term in every if term.sql)
        sql = f"SELECT {columns} FROM {source}" + (f" WHERE {where}" if where else "")
        yield sql, [value for term in every for value in term.values]


def _plan(query: Query, dialect: Dialect) -> tuple[str, list[_Term], list[_Term]]:
    """Where to read from, what must hold, and of what follows any (each one a branch with its own use of the index)."""
    terms: list[_Term] = []
    tags = list(query.tag)
    start, key = "e.started_at", "e.id"
    if query.id is not None or query.id_prefix is not None:
        source = f"{dialect.prefix}executions AS e{dialect.indexed.format(dialect.by_id)}"
    elif tags:
        source = dialect.tagged.format(prefix=dialect.prefix)
        start, key = "t.started_at", "t.execution_id"
        terms.append(_Term("t.tag = ?", (tags.pop(0),)))
    elif query.due_before is not None:
        source = f"{dialect.prefix}executions AS e{dialect.indexed.format('executions_by_due')}"
    else:
        by = "_".join(
            ["by", *(["workflow"] if query.workflow is not None else []), *(["status"] if query.status else [])]
        )
        index = "executions_by_start" if by == "by" else f"executions_{by}"
        source = f"{dialect.prefix}executions AS e{dialect.indexed.format(index)}"
    if query.id is not None:
        terms.append(_Term("e.id = ?", (query.id,)))
    if query.id_prefix is not None:
        terms.append(_Term("e.id >= ? AND e.id < ?", (query.id_prefix, query.id_prefix + "\U0010ffff")))
    if query.workflow is not None:
        terms.append(_Term("e.workflow = ?", (query.workflow,)))
    if query.since is not None:
        terms.append(_Term(f"{start} >= ?", (micros(query.since),)))
    if query.after is not None:
        terms.append(_Term(f"({start}, {key}) < (?, ?)", (micros(query.after[0]), query.after[1])))
    if query.due_before is not None:
        terms.append(_Term("e.due_at < ?", (micros(query.due_before),)))
    terms += [
        _Term(
            f"EXISTS (SELECT 1 FROM {dialect.prefix}tags AS o"
            f" WHERE o.tag = ? AND o.started_at = {start} AND o.execution_id = {key})",
            (tag,),
        )
        for tag in tags
    ]
    return source, terms, _statuses(query, dialect)


def _statuses(query: Query, dialect: Dialect) -> list[_Term]:
    """One term per stored status that matches; no two can hold of the same execution."""
    if not query.status:
        return [_Term("")]
    dead = dialect.texts(query.dead_runners)
    is_dead = dialect.among.format("coalesce(e.owner, '')")
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
