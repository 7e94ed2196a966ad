-- A store of the third version, before its first write. Never edited: stores like this are out there.
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE TABLE events (
  execution_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  type TEXT NOT NULL,
  at INTEGER NOT NULL,
  data TEXT NOT NULL,
  digest TEXT NOT NULL,
  PRIMARY KEY (execution_id, version)
) STRICT;
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_are_not_replaced BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE execution_id = NEW.execution_id AND version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TABLE executions (
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
) STRICT, WITHOUT ROWID;
CREATE INDEX executions_by_start ON executions (started_at, id);
CREATE INDEX executions_by_status ON executions (status, started_at, id);
CREATE INDEX executions_by_workflow ON executions (workflow, started_at, id);
CREATE INDEX executions_by_workflow_status ON executions (workflow, status, started_at, id);
CREATE INDEX executions_by_due ON executions (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE tags (
  tag TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  execution_id TEXT NOT NULL,
  PRIMARY KEY (tag, started_at, execution_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE runners (
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
) STRICT, WITHOUT ROWID;
CREATE TABLE processes (
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
) STRICT, WITHOUT ROWID;
CREATE TABLE log_chunks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  execution_id TEXT NOT NULL,
  step TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  "offset" INTEGER NOT NULL,
  stream TEXT NOT NULL,
  at INTEGER NOT NULL,
  data BLOB NOT NULL
) STRICT;
CREATE INDEX log_chunks_by_position ON log_chunks (execution_id, id);
CREATE INDEX log_chunks_by_offset ON log_chunks (execution_id, step, attempt, "offset");
CREATE TABLE tombstones (
  id TEXT NOT NULL PRIMARY KEY,
  workflow TEXT NOT NULL,
  status TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  version INTEGER NOT NULL,
  digest TEXT NOT NULL,
  pruned_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER events_are_only_pruned BEFORE DELETE ON events
WHEN NOT EXISTS (SELECT 1 FROM tombstones WHERE id = OLD.execution_id)
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TABLE claims (
  execution_id TEXT NOT NULL PRIMARY KEY,
  "group" TEXT NOT NULL,
  position INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX claims_by_group ON claims ("group", position);
INSERT INTO "_sqlite_migrations" (migration_set, name, applied_at) VALUES ('cerebelum', 'm001_initial', '2026-01-01 00:00:00.000000+00:00');
INSERT INTO "_sqlite_migrations" (migration_set, name, applied_at) VALUES ('cerebelum', 'm002_tombstones', '2026-01-01 00:00:00.000000+00:00');
INSERT INTO "_sqlite_migrations" (migration_set, name, applied_at) VALUES ('cerebelum', 'm003_claims', '2026-01-01 00:00:00.000000+00:00');
PRAGMA application_id = 1129464396;
PRAGMA user_version = 3;
