"""How an append, or a new owner, is written: what was expected is checked first, and only then is anything changed."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from cerebelum.backends.sql import together
from cerebelum.backends.sql.rows import SUMMARY, micros, strings, strings_text, summary_row
from cerebelum.backends.sqlite import care
from cerebelum.backends.sqlite.file import Lane, StoreFile
from cerebelum.core.errors import StoreError
from cerebelum.core.summary import Summary
from cerebelum.store import Conflict, Fenced, Ownership

if TYPE_CHECKING:
    import sqlite3

    from cerebelum.backends.sqlite.memory import StoreMemory

_REPLACE = f"UPDATE executions SET {', '.join(f'{name} = ?' for name in SUMMARY[1:])} WHERE id = ?"
_ADVANCE = (
    "UPDATE executions SET version = ?, digest = ?, updated_at = ?, steps_done = ?, current = ?"
    " WHERE id = ? AND version = ?"
)
_ADVANCE_OWNED = f"{_ADVANCE} AND owner IS ? AND epoch = ?"
_OWN = "UPDATE executions SET owner = ?, epoch = epoch + 1 WHERE id = ? AND owner IS ? AND epoch = ?"
_RELEASE = "UPDATE executions SET owner = NULL WHERE id = ?"
_creates = attrgetter("creates")
_DELETE_TAG = "DELETE FROM tags WHERE tag = ? AND started_at = ? AND execution_id = ?"


class Append(together.Append):
    """One append: what it writes, and how it ended."""

    creates = True
    refusal: Conflict | Fenced | None = None

    def perform(self, connection: sqlite3.Connection) -> None:
        """Write it, or nothing and say in `refusal` why. May be called again after a rollback."""
        self.refusal = None
        summary, expected, fence, rows = self._summary, self._expected, self._fence, self._rows
        try:
            if expected == 0:
                _create(connection, summary, fence)
            elif not self._lean or not _advance(connection, expected, summary, fence):
                _replace(connection, expected, summary, fence)
        except (Conflict, Fenced) as refusal:
            self.refusal = refusal
            return
        if self._release:
            connection.execute(_RELEASE, (summary.execution_id,))
        if len(rows) == 1:
            connection.execute(care.INSERT_EVENT, rows[0])
        else:
            connection.executemany(care.INSERT_EVENT, rows)


class Owning(together.Write):
    """A new owner of one execution, if the owner is as expected."""

    creates = False
    refusal = None

    def __init__(self, execution_id: str, owner: str | None, expected: Ownership) -> None:
        self.changed = False
        self._values = owner, execution_id, expected.owner, expected.epoch

    def perform(self, connection: sqlite3.Connection) -> None:
        """Write it, and say in `changed` whether that was possible. May be called again after a rollback."""
        self.changed = connection.execute(_OWN, self._values).rowcount == 1


class Batches:
    """Writes what a Writer has gathered."""

    def __init__(self, file: StoreFile | StoreMemory, lane: Lane) -> None:
        self._file = file
        self._lane = lane

    def commit(self, batch: Sequence[Append | Owning]) -> None:
        """Settle each, all in one transaction but those that cannot be stored; raises StoreError for the rest."""
        left = batch
        at: Append | Owning | None = None

        def transaction(connection: sqlite3.Connection) -> None:
            nonlocal at
            for at in left:
                at.perform(connection)
            at = None

        while left:
            try:
                self._file.write(self._lane, transaction, create=any(map(_creates, left)))
            except StoreError as error:
                if at is None:
                    raise
                # It is this one that cannot be stored.
                at.settle(error)
                left = [write for write in left if not write.done]
            else:
                for write in left:
                    write.settle(write.refusal)
                return


def _create(connection: sqlite3.Connection, summary: Summary, fence: Ownership | None) -> None:
    pruned = connection.execute(care.PRUNED_AT, (summary.execution_id,)).fetchone()
    if pruned is not None:
        raise Conflict(summary.execution_id, 0, pruned[0])
    if connection.execute(care.INSERT_EXECUTION, (*summary_row(summary), *_fields(fence))).rowcount == 0:
        row = connection.execute("SELECT version FROM executions WHERE id = ?", (summary.execution_id,)).fetchone()
        raise Conflict(summary.execution_id, 0, row[0])
    _write_tags(connection, summary)


def _advance(connection: sqlite3.Connection, expected: int, summary: Summary, fence: Ownership | None) -> bool:
    """Write what changes with every event, leaving the indexes alone; False if the row is not what was expected."""
    values = (
        *(summary.version, summary.digest, micros(summary.updated_at), summary.steps_done),
        *(strings_text(summary.current), summary.execution_id, expected),
    )
    if fence is None:
        return connection.execute(_ADVANCE, values).rowcount == 1
    return connection.execute(_ADVANCE_OWNED, (*values, fence.owner, fence.epoch)).rowcount == 1


def _fields(fence: Ownership | None) -> tuple[str | None, int]:
    return (None, 0) if fence is None else (fence.owner, fence.epoch)


def _replace(connection: sqlite3.Connection, expected: int, summary: Summary, fence: Ownership | None) -> None:
    """Write the whole summary. Raises Fenced or Conflict if the row is not what was expected."""
    sql = "SELECT version, owner, epoch, tags, started_at FROM executions WHERE id = ?"
    row = connection.execute(sql, (summary.execution_id,)).fetchone() or (0, None, 0, "[]", 0)
    version, owner, epoch, tags, started_at = row
    if fence is not None and Ownership(owner, epoch) != fence:
        raise Fenced(summary.execution_id, owner, epoch)
    if version != expected:
        raise Conflict(summary.execution_id, expected, version)
    connection.execute(_REPLACE, (*summary_row(summary)[1:], summary.execution_id))
    if (tags, started_at) != (strings_text(summary.tags), micros(summary.started_at)):
        old = [(tag, started_at, summary.execution_id) for tag in strings(tags)]
        connection.executemany(_DELETE_TAG, old)
        _write_tags(connection, summary)


def _write_tags(connection: sqlite3.Connection, summary: Summary) -> None:
    connection.executemany(care.INSERT_TAG, care.tag_rows(summary))
