"""The tables of a PostgreSQL store and how older ones become them.

A migration that was released is never edited: what changes later is another one at the end. `{s}` is the schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString

if TYPE_CHECKING:
    from psycopg import Connection

    from cerebelum.backends.postgres.address import Address

_INITIAL = (
    """CREATE TABLE {s}.store (
  schema_version integer NOT NULL,
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
)""",
    "INSERT INTO {s}.store (schema_version) VALUES (0)",
    # Collation "C" orders by bytes, wherever the database was made.
    """CREATE TABLE {s}.events (
  execution_id text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  type text NOT NULL,
  at bigint NOT NULL,
  data text NOT NULL,
  digest text NOT NULL,
  token uuid NOT NULL,
  PRIMARY KEY (execution_id, version)
)""",
    # Every append changes its row, and none of the indexed columns: with room in the page that touches no index.
    """CREATE TABLE {s}.executions (
  id text COLLATE "C" PRIMARY KEY,
  workflow text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  reason text,
  version integer NOT NULL,
  digest text NOT NULL,
  started_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  ended_at bigint,
  due_at bigint,
  tags text[] COLLATE "C" NOT NULL,
  correlation_id text,
  parent text,
  steps_total integer NOT NULL,
  steps_done integer NOT NULL,
  current text NOT NULL,
  owner text COLLATE "C",
  epoch bigint NOT NULL
) WITH (fillfactor = 70)""",
    "CREATE INDEX executions_by_start ON {s}.executions (started_at, id)",
    "CREATE INDEX executions_by_status ON {s}.executions (status, started_at, id)",
    "CREATE INDEX executions_by_workflow ON {s}.executions (workflow, started_at, id)",
    "CREATE INDEX executions_by_workflow_status ON {s}.executions (workflow, status, started_at, id)",
    "CREATE INDEX executions_by_due ON {s}.executions (due_at) WHERE due_at IS NOT NULL",
    """CREATE TABLE {s}.tags (
  tag text COLLATE "C" NOT NULL,
  started_at bigint NOT NULL,
  execution_id text COLLATE "C" NOT NULL,
  PRIMARY KEY (tag, started_at, execution_id)
)""",
    """CREATE TABLE {s}.tombstones (
  id text COLLATE "C" PRIMARY KEY,
  workflow text NOT NULL,
  status text NOT NULL,
  started_at bigint NOT NULL,
  ended_at bigint,
  version integer NOT NULL,
  digest text NOT NULL,
  pruned_at bigint NOT NULL
)""",
    """CREATE TABLE {s}.runners (
  id text COLLATE "C" PRIMARY KEY,
  host text NOT NULL,
  boot_id text NOT NULL,
  pid integer NOT NULL,
  pid_namespace text NOT NULL,
  start_ticks bigint NOT NULL,
  started_at bigint NOT NULL,
  lock text NOT NULL,
  beat bigint NOT NULL,
  beat_at bigint NOT NULL
) WITH (fillfactor = 50)""",
    """CREATE TABLE {s}.processes (
  execution_id text COLLATE "C" NOT NULL,
  pid integer NOT NULL,
  start_ticks bigint NOT NULL,
  boot_id text COLLATE "C" NOT NULL,
  pid_namespace text COLLATE "C" NOT NULL,
  step text COLLATE "C" NOT NULL,
  attempt integer NOT NULL,
  session integer NOT NULL,
  token text NOT NULL,
  PRIMARY KEY (execution_id, pid, start_ticks, boot_id, pid_namespace)
)""",
    # Positions are counted per execution under a lock on this row, so that none becomes visible after a higher one.
    """CREATE TABLE {s}.log_positions (
  execution_id text COLLATE "C" PRIMARY KEY,
  last bigint NOT NULL
) WITH (fillfactor = 50)""",
    """CREATE TABLE {s}.log_chunks (
  execution_id text COLLATE "C" NOT NULL,
  id bigint NOT NULL,
  step text COLLATE "C" NOT NULL,
  attempt integer NOT NULL,
  "offset" bigint NOT NULL,
  stream text NOT NULL,
  at bigint NOT NULL,
  data bytea NOT NULL,
  token uuid NOT NULL,
  PRIMARY KEY (execution_id, id)
)""",
    'CREATE INDEX log_chunks_by_offset ON {s}.log_chunks (execution_id, step, attempt, "offset")',
    """CREATE FUNCTION {s}.events_are_append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = {s}, pg_temp AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    PERFORM 1 FROM {s}.tombstones WHERE id = OLD.execution_id;
    IF FOUND THEN RETURN OLD; END IF;
  END IF;
  RAISE EXCEPTION 'events are append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$""",
    """CREATE TRIGGER events_are_not_changed BEFORE UPDATE OR DELETE ON {s}.events
FOR EACH ROW EXECUTE FUNCTION {s}.events_are_append_only()""",
    """CREATE TRIGGER events_are_not_truncated BEFORE TRUNCATE ON {s}.events
FOR EACH STATEMENT EXECUTE FUNCTION {s}.events_are_append_only()""",
    """CREATE FUNCTION {s}.tags_follow() RETURNS trigger
LANGUAGE plpgsql SET search_path = {s}, pg_temp AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    DELETE FROM {s}.tags WHERE execution_id = OLD.id AND started_at = OLD.started_at AND tag = ANY (OLD.tags);
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO {s}.tags SELECT DISTINCT unnest(NEW.tags), NEW.started_at, NEW.id;
  END IF;
  RETURN NULL;
END $$""",
    """CREATE TRIGGER tags_are_added AFTER INSERT ON {s}.executions
FOR EACH ROW WHEN (NEW.tags <> '{{}}') EXECUTE FUNCTION {s}.tags_follow()""",
    """CREATE TRIGGER tags_are_changed AFTER UPDATE OF tags, started_at ON {s}.executions
FOR EACH ROW WHEN (NEW.tags IS DISTINCT FROM OLD.tags OR NEW.started_at <> OLD.started_at)
EXECUTE FUNCTION {s}.tags_follow()""",
    """CREATE TRIGGER tags_are_removed AFTER DELETE ON {s}.executions
FOR EACH ROW WHEN (OLD.tags <> '{{}}') EXECUTE FUNCTION {s}.tags_follow()""",
)
_CLAIMS = (
    """CREATE TABLE {s}.claims (
  execution_id text COLLATE "C" PRIMARY KEY,
  "group" text COLLATE "C" NOT NULL,
  position bigint NOT NULL,
  at bigint NOT NULL
)""",
    'CREATE UNIQUE INDEX claims_by_group ON {s}.claims ("group", position)',
)
MIGRATIONS: tuple[tuple[str, ...], ...] = (_INITIAL, _CLAIMS)
SCHEMA_VERSION = len(MIGRATIONS)


def literally(text: str) -> LiteralString:
    """A statement made of our own texts and the quoted name of a schema."""
    return text


def migrate(connection: Connection[Any], address: Address) -> None:
    """Bring a new or older store to SCHEMA_VERSION, all or nothing; safe when many do it at once.

    Raises the library's errors.
    """
    s = address.quoted_schema
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (address.channel,))
        # Not CREATE … IF NOT EXISTS: that needs the right to create schemas even where there is nothing to create.
        if connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (address.schema,)).fetchone() is None:
            connection.execute(literally(f"CREATE SCHEMA {s}"))
        there = connection.execute("SELECT to_regclass(%s)", (f"{s}.store",)).fetchone()
        version = 0
        if there and there[0] is not None:
            row = connection.execute(literally(f"SELECT schema_version FROM {s}.store")).fetchone()
            version = row[0] if row else 0
        if version >= SCHEMA_VERSION:
            return
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(literally(statement.format(s=s)))
        connection.execute(literally(f"UPDATE {s}.store SET schema_version = {SCHEMA_VERSION}"))
