"""What is seldom asked of a SQLite store: to prune, to take in what another store gives, to count and to check itself.

Every function works in a transaction that its caller began, and raises the library's errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cerebelum.backends.sql.rows import (
    SUMMARY,
    TOMBSTONE,
    chunk_rows,
    entry_rows,
    micros,
    moment,
    strings_text,
    summary_row,
    tombstone_row,
)
from cerebelum.core.summary import Summary
from cerebelum.store import Appended, Conflict, Fenced, Started, Tombstone, Totals, Whole

if TYPE_CHECKING:
    import sqlite3

INSERT_EVENT = "INSERT INTO events (execution_id, version, type, at, data, digest) VALUES (?, ?, ?, ?, ?, ?)"
INSERT_EXECUTION = (
    f"INSERT INTO executions ({', '.join(SUMMARY)}, owner, epoch) VALUES ({', '.join('?' * len(SUMMARY))}, ?, ?)"
    " ON CONFLICT (id) DO NOTHING"
)
INSERT_CHUNK = (
    'INSERT INTO log_chunks (execution_id, step, attempt, "offset", stream, at, data) VALUES (?, ?, ?, ?, ?, ?, ?)'
)
INSERT_TAG = "INSERT OR IGNORE INTO tags (tag, started_at, execution_id) VALUES (?, ?, ?)"
PRUNED_AT = "SELECT version FROM tombstones WHERE id = ?"
_SELECT_TOMBSTONES = f"SELECT {', '.join(TOMBSTONE)} FROM tombstones"
_INSERT_TOMBSTONE = f"INSERT INTO tombstones ({', '.join(TOMBSTONE)}) VALUES ({', '.join('?' * len(TOMBSTONE))})"
_TAKEN = (
    "SELECT id, version FROM executions WHERE id IN (SELECT value FROM json_each(?1))"
    " UNION ALL SELECT id, version FROM tombstones WHERE id IN (SELECT value FROM json_each(?1))"
)
_FORGET_TAGS = (
    "DELETE FROM tags WHERE execution_id = ?1 AND started_at = (SELECT started_at FROM executions WHERE id = ?1)"
    " AND tag IN (SELECT value FROM json_each((SELECT tags FROM executions WHERE id = ?1)))"
)
_FORGET = (
    "DELETE FROM events WHERE execution_id = ?1",
    _FORGET_TAGS,
    "DELETE FROM executions WHERE id = ?1",
    "DELETE FROM log_chunks WHERE execution_id = ?1",
    "DELETE FROM processes WHERE execution_id = ?1",
    "DELETE FROM claims WHERE execution_id = ?1",
)
_LAST_ROW = "SELECT rowid, execution_id, version FROM events ORDER BY rowid DESC LIMIT 1"
_ROW = "SELECT execution_id, version FROM events WHERE rowid = ?"
_ROWS_AFTER = (
    "SELECT DISTINCT execution_id, type FROM (SELECT execution_id, type FROM events WHERE rowid > ?1 LIMIT ?2)"
)
_MOST_APPENDED = 10_000
"""Events that are looked at for whose they are; after more, it may be anybody's."""
_MOST_PROBLEMS = 100
_STRAYS = {
    "{} has events, but is not among the executions": "SELECT DISTINCT execution_id FROM events AS x"
    " WHERE NOT EXISTS (SELECT 1 FROM executions WHERE id = x.execution_id)",
    "{} is there, although it has been pruned": "SELECT id FROM executions AS x"
    " WHERE EXISTS (SELECT 1 FROM tombstones WHERE id = x.id)",
    "the index of tags leads to {}, which has not that tag or start": "SELECT DISTINCT execution_id FROM tags AS x"
    " WHERE NOT EXISTS (SELECT 1 FROM executions WHERE id = x.execution_id AND started_at = x.started_at"
    " AND x.tag IN (SELECT value FROM json_each(tags)))",
}


def tag_rows(summary: Summary) -> list[tuple[str, int, str]]:
    """What the index of tags has of an execution."""
    return [(tag, micros(summary.started_at), summary.execution_id) for tag in summary.tags]


def prunes(connection: sqlite3.Connection) -> bool:
    """Whether this store is of a version that has tombstones: one that is only read is not migrated."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] >= 2)


def appended(connection: sqlite3.Connection, after: str | None) -> Appended:
    """Whose events came after those of a mark."""
    mark, events = events_after(connection, after)
    return Appended(mark, None if events is None else tuple(dict.fromkeys(name for name, _ in events)))


def events_after(connection: sqlite3.Connection, after: str | None) -> tuple[str, list[tuple[str, str]] | None]:
    """The new mark, `ROW EXECUTION VERSION` of the latest event or nothing, and of what kinds the events after an
    earlier one are, by execution; None if that cannot be said.

    Rows are numbered upwards while the last one stays. A store that was pruned or vacuumed may number anew from where
    it now ends, but then has another event, or none, in the row of the mark.
    """
    last = connection.execute(_LAST_ROW).fetchone()
    mark = "" if last is None else " ".join(map(str, last))
    if after is None or after == mark:
        return mark, []
    row, _, event = after.partition(" ")
    if event:
        now = connection.execute(_ROW, (int(row),)).fetchone()
        if now is None or " ".join(map(str, now)) != event:
            return mark, None
    first = int(row) if event else 0
    if last is not None and last[0] - first > _MOST_APPENDED:
        return mark, None
    return mark, connection.execute(_ROWS_AFTER, (first, _MOST_APPENDED)).fetchall()


def tombstone_rows(
    connection: sqlite3.Connection, execution_id: str | None, after: str, limit: int
) -> list[tuple[Any, ...]]:
    """Rows of TOMBSTONE by id, or that of one execution."""
    if not prunes(connection):
        return []
    if execution_id is not None:
        return connection.execute(f"{_SELECT_TOMBSTONES} WHERE id = ?", (execution_id,)).fetchall()
    return connection.execute(f"{_SELECT_TOMBSTONES} WHERE id > ? ORDER BY id LIMIT ?", (after, limit)).fetchall()


def prune(connection: sqlite3.Connection, tombstone: Tombstone) -> None:
    """See EventStore."""
    execution_id, head = tombstone.execution_id, (tombstone.version, tombstone.digest)
    sql = "SELECT version, digest, owner, epoch FROM executions WHERE id = ?"
    row = connection.execute(sql, (execution_id,)).fetchone()
    if row is None:
        buried = connection.execute("SELECT version, digest FROM tombstones WHERE id = ?", (execution_id,)).fetchone()
        if buried == head:
            return
        if buried is not None:
            raise Conflict(execution_id, tombstone.version, buried[0])
    else:
        if row[2] is not None:
            raise Fenced(execution_id, row[2], row[3])
        if row[:2] != head:
            raise Conflict(execution_id, tombstone.version, row[0])
    connection.execute(_INSERT_TOMBSTONE, tombstone_row(tombstone))
    for statement in _FORGET:
        connection.execute(statement, (execution_id,))


def restore(connection: sqlite3.Connection, executions: Sequence[Whole]) -> Conflict | None:
    """Add executions up to the first one that is there already, and return what is to be said of that."""
    rows = [entry_rows(each.summary.execution_id, 0, each.entries, each.summary) for each in executions]
    ids = [whole.summary.execution_id for whole in executions]
    taken = dict(connection.execute(_TAKEN, (strings_text(tuple(ids)),)).fetchall())
    free = 0
    for whole in executions:
        name = whole.summary.execution_id
        if name in taken:
            break
        taken[name] = whole.summary.version
        free += 1
    new = executions[:free]
    connection.executemany(INSERT_EXECUTION, [(*summary_row(each.summary), None, each.epoch) for each in new])
    connection.executemany(INSERT_TAG, [row for each in new for row in tag_rows(each.summary)])
    connection.executemany(INSERT_EVENT, [row for each in rows[:free] for row in each])
    for each in new:
        if each.output is not None:
            name = each.summary.execution_id
            connection.execute("DELETE FROM log_chunks WHERE execution_id = ?", (name,))
            connection.executemany(INSERT_CHUNK, chunk_rows(name, each.output))
    return None if free == len(ids) else Conflict(ids[free], 0, taken[ids[free]])


def totals(connection: sqlite3.Connection) -> Totals:
    """See EventStore."""
    rows = connection.execute("SELECT status, count(*), sum(version) FROM executions GROUP BY status").fetchall()
    buried = connection.execute("SELECT count(*) FROM tombstones").fetchone()[0] if prunes(connection) else 0
    log_bytes = connection.execute("SELECT coalesce(sum(length(data)), 0) FROM log_chunks").fetchone()[0]
    return Totals({row[0]: row[1] for row in rows}, sum(row[2] for row in rows), buried, log_bytes)


def workflows(connection: sqlite3.Connection) -> list[Started]:
    """See EventStore. One pass over an index."""
    sql = "SELECT workflow, count(*), max(started_at) FROM executions GROUP BY workflow ORDER BY workflow"
    return [Started(name, count, moment(last)) for name, count, last in connection.execute(sql)]


def problems(connection: sqlite3.Connection) -> Iterator[str]:
    """What SQLite finds wrong with the file, and what the tables say of executions that are not there."""
    for (found,) in connection.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})").fetchall():
        if found != "ok":
            yield found
    for sentence, sql in _STRAYS.items():
        if "tombstones" not in sql or prunes(connection):
            for (execution_id,) in connection.execute(f"{sql} LIMIT {_MOST_PROBLEMS}").fetchall():
                yield sentence.format(execution_id)
