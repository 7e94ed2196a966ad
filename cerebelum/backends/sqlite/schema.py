"""The tables of a SQLite store and how older ones become them; imported only when a store is created or migrated.

A migration that was released is never edited: what changes later is another one at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cerebelum.backends.sqlite.library import APPLICATION_ID, SCHEMA_VERSION

if TYPE_CHECKING:
    import sqlite3

    from sqlite_utils import Database

_PAGE = 2048
"""Bytes of a page of a new file. A step changes few bytes of three pages, and all of each is written; most rows of
executions still fit into one.
"""
_EVENTS = (
    """CREATE TABLE events (
  execution_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  type TEXT NOT NULL,
  at INTEGER NOT NULL,
  data TEXT NOT NULL,
  digest TEXT NOT NULL,
  PRIMARY KEY (execution_id, version)
) STRICT""",
    """CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END""",
    """CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END""",
    # INSERT OR REPLACE deletes without firing delete triggers (unless a connection asks for recursive triggers).
    """CREATE TRIGGER events_are_not_replaced BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE execution_id = NEW.execution_id AND version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END""",
)

_EXECUTIONS = (
    """CREATE TABLE executions (
  id TEXT NOT NULL PRIMARY KEY,
  workflow TEXT NOT NULL,
  status TEXT NOT NULL,
  reason TEXT,
  version INTEGER NOT NULL,
  digest TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  ended_at INTEGER,
  due_at INTEGER,
  tags TEXT NOT NULL,
  correlation_id TEXT,
  parent TEXT,
  steps_total INTEGER NOT NULL,
  steps_done INTEGER NOT NULL,
  current TEXT NOT NULL,
  owner TEXT,
  epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID""",
    "CREATE INDEX executions_by_start ON executions (started_at, id)",
    "CREATE INDEX executions_by_status ON executions (status, started_at, id)",
    "CREATE INDEX executions_by_workflow ON executions (workflow, started_at, id)",
    "CREATE INDEX executions_by_workflow_status ON executions (workflow, status, started_at, id)",
    "CREATE INDEX executions_by_due ON executions (due_at) WHERE due_at IS NOT NULL",
    """CREATE TABLE tags (
  tag TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  execution_id TEXT NOT NULL,
  PRIMARY KEY (tag, started_at, execution_id)
) STRICT, WITHOUT ROWID""",
)

_RUNNERS = (
    """CREATE TABLE runners (
  id TEXT NOT NULL PRIMARY KEY,
  host TEXT NOT NULL,
  boot_id TEXT NOT NULL,
  pid INTEGER NOT NULL,
  pid_namespace TEXT NOT NULL,
  start_ticks INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  lock TEXT NOT NULL,
  beat INTEGER NOT NULL,
  beat_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE processes (
  execution_id TEXT NOT NULL,
  pid INTEGER NOT NULL,
  start_ticks INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  pid_namespace TEXT NOT NULL,
  step TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  session INTEGER NOT NULL,
  token TEXT NOT NULL,
  PRIMARY KEY (execution_id, pid, start_ticks, boot_id, pid_namespace)
) STRICT, WITHOUT ROWID""",
)

_LOG_CHUNKS = (
    # AUTOINCREMENT: the id of a dropped chunk must not come again, or a follower would take the new one for old.
    """CREATE TABLE log_chunks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  execution_id TEXT NOT NULL,
  step TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  "offset" INTEGER NOT NULL,
  stream TEXT NOT NULL,
  at INTEGER NOT NULL,
  data BLOB NOT NULL
) STRICT""",
    "CREATE INDEX log_chunks_by_position ON log_chunks (execution_id, id)",
    'CREATE INDEX log_chunks_by_offset ON log_chunks (execution_id, step, attempt, "offset")',
)

_TOMBSTONES = (
    """CREATE TABLE tombstones (
  id TEXT NOT NULL PRIMARY KEY,
  workflow TEXT NOT NULL,
  status TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  version INTEGER NOT NULL,
  digest TEXT NOT NULL,
  pruned_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID""",
    "DROP TRIGGER events_are_not_deleted",
    """CREATE TRIGGER events_are_only_pruned BEFORE DELETE ON events
WHEN NOT EXISTS (SELECT 1 FROM tombstones WHERE id = OLD.execution_id)
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END""",
)

_CLAIMS = (
    """CREATE TABLE claims (
  execution_id TEXT NOT NULL PRIMARY KEY,
  "group" TEXT NOT NULL,
  position INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID""",
    'CREATE UNIQUE INDEX claims_by_group ON claims ("group", position)',
)


_MIGRATIONS = {
    "m001_initial": (*_EVENTS, *_EXECUTIONS, *_RUNNERS, *_LOG_CHUNKS),
    "m002_tombstones": _TOMBSTONES,
    "m003_claims": _CLAIMS,
}
_SET = "cerebelum"
_APPLIED = (
    # As sqlite-utils makes it, which goes on from there.
    """CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
)""",
    """CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name")""",
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a new or older store to SCHEMA_VERSION, all or nothing; safe when many processes do it at once.

    Raises the library's errors.
    """
    connection.execute(f"PRAGMA page_size = {_PAGE}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version < SCHEMA_VERSION:
            (_upgrade if version else _create)(connection)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _create(connection: sqlite3.Connection) -> None:
    """What `_upgrade` would make of an empty file. Most stores are new, and to load sqlite-utils takes 40 ms."""
    for statements in (_APPLIED, *_MIGRATIONS.values()):
        for statement in statements:
            connection.execute(statement)
    now = str(datetime.now(UTC))
    connection.executemany(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)",
        [(_SET, name, now) for name in _MIGRATIONS],
    )


def _upgrade(connection: sqlite3.Connection) -> None:
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

    migrations = Migrations(_SET)
    for name, statements in _MIGRATIONS.items():
        migrations(name=name)(_each(statements))
    migrations.apply(Database(connection, execute_plugins=False))


def _each(statements: Sequence[str]) -> Callable[[Database], None]:
    def execute(db: Database) -> None:
        for statement in statements:
            db.execute(statement)

    return execute
