"""Who wants the lock of a group, in which order; one session at a time looks at a group and adds to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cerebelum.backends.postgres.driver import psycopg
from cerebelum.backends.postgres.statements import restored, stored
from cerebelum.backends.sql.rows import claim_of, micros
from cerebelum.store import Claim, Fenced, Ownership

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cerebelum.backends.postgres.server import Connection, Session
    from cerebelum.backends.postgres.statements import Statements


def claiming(
    sql: Statements, execution_id: str, group: str, at: datetime, fence: Ownership, alone: bool
) -> Callable[[Connection, bool], list[Claim]]:
    """What makes a claim, or finds that it is made. Raises UnicodeError for text that cannot be stored."""
    group.encode()

    def claim(connection: Connection, again: bool) -> list[Claim]:
        name = stored(group)
        with connection.transaction():
            # Without it two that find the group empty would both be alone, or get the same position.
            connection.execute(sql.lock_group, (name,))
            owned = _ownership(connection, sql, execution_id)
            if owned is not None and owned != fence:
                raise Fenced(execution_id, owned.owner, owned.epoch)
            there = _claims(connection, sql, name)
            if any(each.execution_id == execution_id for each in there):
                return there
            connection.execute(sql.forget_claim, (execution_id,))
            if there and alone:
                return there
            connection.execute(sql.add_claim, (execution_id, name, micros(at), name))
            return _claims(connection, sql, name)

    return claim


def unclaiming(sql: Statements, execution_id: str, expected: Ownership | None) -> Callable[[Connection, bool], bool]:
    """What removes a claim, and tells those who wait."""

    def unclaim(connection: Connection, again: bool) -> bool:
        with connection.transaction():
            if _ownership(connection, sql, execution_id) != expected:
                return False
            removed = connection.execute(sql.forget_claim, (execution_id,)).rowcount > 0
            if removed:
                connection.execute(sql.tell_owner, (execution_id,))
            return removed

    return unclaim


def reading(sql: Statements, group: str | None) -> Callable[[Session, bool], list[Claim]]:
    """What reads claims; none in a store of an older version, which is not migrated where it is only read.

    Somebody else may migrate it at any time, so that the table is asked for rather than the version.
    """

    def read(session: Session, again: bool) -> list[Claim]:
        if session.schema_version == 0:
            return []
        try:
            return _claims(session.connection, sql, None if group is None else stored(group))
        except psycopg.errors.UndefinedTable:
            return []

    return read


def _claims(connection: Connection, sql: Statements, name: str | None) -> list[Claim]:
    rows: list[Any] = connection.execute(sql.claims, (name, name)).fetchall()
    return [claim_of((restored(group), *rest)) for group, *rest in rows]


def _ownership(connection: Connection, sql: Statements, execution_id: str) -> Ownership | None:
    row = connection.execute(sql.locked, (execution_id,)).fetchone()
    return None if row is None else Ownership(row[2], row[3])
