"""Who wants the lock of a group, in which order: each function works in a transaction that its caller began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cerebelum.backends.sql.rows import claim_of, micros
from cerebelum.store import Claim, Fenced, Ownership

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

_SINCE_SCHEMA = 3
_SELECT = 'SELECT "group", execution_id, at FROM claims'
_INSERT = (
    'INSERT INTO claims (execution_id, "group", position, at)'
    ' SELECT ?1, ?2, coalesce(max(position), 0) + 1, ?3 FROM claims WHERE "group" = ?2'
)
_DELETE = "DELETE FROM claims WHERE execution_id = ?"


def claim(
    connection: sqlite3.Connection, execution_id: str, group: str, at: datetime, fence: Ownership, alone: bool
) -> list[Claim]:
    """See EventStore."""
    owned = _ownership(connection, execution_id)
    if owned is not None and owned != fence:
        raise Fenced(execution_id, owned.owner, owned.epoch)
    there = _claims(connection, group)
    if any(each.execution_id == execution_id for each in there):
        return there
    connection.execute(_DELETE, (execution_id,))
    if there and alone:
        return there
    connection.execute(_INSERT, (execution_id, group, micros(at)))
    return _claims(connection, group)


def unclaim(connection: sqlite3.Connection, execution_id: str, expected: Ownership | None) -> bool:
    """See EventStore."""
    if _ownership(connection, execution_id) != expected:
        return False
    return connection.execute(_DELETE, (execution_id,)).rowcount > 0


def claims(connection: sqlite3.Connection, group: str | None) -> list[Claim]:
    """See EventStore. None in a store of an older version, which is not migrated where it is only read."""
    if connection.execute("PRAGMA user_version").fetchone()[0] < _SINCE_SCHEMA:
        return []
    return _claims(connection, group)


def _claims(connection: sqlite3.Connection, group: str | None) -> list[Claim]:
    if group is None:
        rows: list[Any] = connection.execute(f'{_SELECT} ORDER BY "group", position').fetchall()
    else:
        rows = connection.execute(f'{_SELECT} WHERE "group" = ? ORDER BY position', (group,)).fetchall()
    return [claim_of(row) for row in rows]


def _ownership(connection: sqlite3.Connection, execution_id: str) -> Ownership | None:
    row = connection.execute("SELECT owner, epoch FROM executions WHERE id = ?", (execution_id,)).fetchone()
    return None if row is None else Ownership(*row)
