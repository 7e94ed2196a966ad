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
    tagged_by_status: str = ""
    """As `tagged`, for where it depends on their status which executions count; empty where that is no other."""


class _Term(msgspec.Struct, frozen=True):
    sql: str
    values: tuple[Any, ...] = ()


_LOOK = 1000
"""So many of the newest of a list tell how rare they are."""


class Lead(msgspec.Struct, frozen=True):
    """One of several lists in which everything that matches stands: the one that is read, the others being asked."""

    tag: str | None
    """The executions with this tag; None: those with the workflow and the statuses."""


def leads(query: Query, dialect: Dialect) -> tuple[list[Lead], str, list[Any]]:
    """The lists to choose from; and where there are several, SQL with its values, whose rows are for `rarest`."""
    found = [Lead(tag) for tag in dict.fromkeys(query.tag)]
    if found and (query.status or query.workflow is not None):
        found.append(Lead(None))
    if len(found) < 2 or query.id is not None or query.id_prefix is not None:
        return found[:1], "", []
    parts, values = [], []
    for number, lead in enumerate(found):
        if lead.tag is not None:
            parts.append(_look(number, f"{dialect.prefix}tags AS e", ["e.tag = ?"]))
            values.append(lead.tag)
            continue
        at, workflow = ([], []) if query.workflow is None else (["e.workflow = ?"], [query.workflow])
        for status in dict.fromkeys("running" if status == "paused" else status for status in query.status) or [None]:
            where = [*at, *(["e.status = ?"] if status else [])]
            parts.append(_look(number, _executions(query, dialect), where))
            values += [*workflow, *([status] if status else [])]
    return found, " UNION ALL ".join(parts), values


def _look(number: int, source: str, where: list[str]) -> str:
    newest = f"SELECT e.started_at FROM {source} WHERE {' AND '.join(where)} ORDER BY e.started_at DESC LIMIT {_LOOK}"
    return f"SELECT {number}, count(*), min(started_at), max(started_at) FROM ({newest}) AS newest"


def rarest(found: list[Lead], rows: list[Any]) -> Lead | None:
    """The shortest of the lists, or the one with the fewest in a time; `rows` as `leads` has them looked for."""
    many, few = [0.0] * len(found), [0] * len(found)
    for number, count, oldest, newest in rows:
        few[number] += count
        if count >= _LOOK:
            many[number] += count / max(1, newest - oldest)
    numbers = sorted(range(len(found)), key=lambda number: (many[number], few[number]))
    return found[numbers[0]] if found else None


def selection(
    query: Query, dialect: Dialect, limit: int, offset: int, lead: Lead | None = None
) -> tuple[str, list[Any]]:
    """SQL that gives COLUMNS of what matches, newest start first, and its values."""
    source, terms, alternatives = _plan(query, dialect, lead)
    columns = list(COLUMNS)
    if source == _tagged(query, dialect):
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


def counted(query: Query, most: int, dialect: Dialect, lead: Lead | None = None) -> tuple[str, list[Any]]:
    """SQL that counts what matches, at most `most`, and its values."""
    source, terms, alternatives = _plan(query, dialect, lead)
    if source == _tagged(query, dialect) and not any("e." in t.sql for t in terms + alternatives):
        # Nothing is asked of the executions themselves.
        source = f"{dialect.prefix}tags AS t"
    branches = list(_branches("1", source, terms, alternatives))
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


def _executions(query: Query, dialect: Dialect) -> str:
    """The executions by the index that has the workflow and the statuses, if they are asked for."""
    by = "_".join(["by", *(["workflow"] if query.workflow is not None else []), *(["status"] if query.status else [])])
    index = "executions_by_start" if by == "by" else f"executions_{by}"
    return f"{dialect.prefix}executions AS e{dialect.indexed.format(index)}"


def _tagged(query: Query, dialect: Dialect) -> str:
    """The executions by a tag."""
    by_status = dialect.tagged_by_status if query.status else ""
    return (by_status or dialect.tagged).format(prefix=dialect.prefix)


def _plan(query: Query, dialect: Dialect, lead: Lead | None) -> tuple[str, list[_Term], list[_Term]]:
    """Where to read from, what must hold, and of what follows any (each one a branch with its own use of the index)."""
    terms: list[_Term] = []
    tags = list(query.tag)
    start, key = "e.started_at", "e.id"
    by_tag = lead.tag if lead is not None else next(iter(tags), None)
    if query.id is not None or query.id_prefix is not None:
        source = f"{dialect.prefix}executions AS e{dialect.indexed.format(dialect.by_id)}"
    elif by_tag is not None:
        source = _tagged(query, dialect)
        start, key = "t.started_at", "t.execution_id"
        tags.remove(by_tag)
        terms.append(_Term("t.tag = ?", (by_tag,)))
    elif query.due_before is not None and lead is None:
        source = f"{dialect.prefix}executions AS e{dialect.indexed.format('executions_by_due')}"
    else:
        source = _executions(query, dialect)
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
            # PostgreSQL would otherwise join all that has one tag with all that has the other.
            f" WHERE o.tag = ? AND o.started_at = {start} AND o.execution_id = {key} LIMIT 1 OFFSET 0)",
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
