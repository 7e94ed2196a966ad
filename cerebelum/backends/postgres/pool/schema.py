"""The tables of the queues: Procrastinate's own, as it delivers them, and two of ours beside them.

They are made when something is first submitted, or a worker first starts. A migration that was released is never
edited: what changes later, Procrastinate's included, is another one at the end. `{s}` is the schema.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

from cerebelum.backends.postgres.schema import literally
from cerebelum.core.errors import StoreError

if TYPE_CHECKING:
    from cerebelum.backends.postgres.address import Address
    from cerebelum.backends.postgres.server import Connection

_INITIAL = (
    """CREATE TABLE {s}.pool (
  schema_version integer NOT NULL,
  swept_at timestamptz NOT NULL DEFAULT '-infinity',
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
)""",
    "INSERT INTO {s}.pool (schema_version) VALUES (0)",
    # `id` is that of a runner, `jobs_worker` what the jobs know it by.
    """CREATE TABLE {s}.workers (
  id text COLLATE "C" PRIMARY KEY,
  jobs_worker bigint NOT NULL,
  queues text[] COLLATE "C" NOT NULL,
  labels text[] COLLATE "C" NOT NULL,
  concurrency integer NOT NULL,
  version text NOT NULL,
  draining boolean NOT NULL DEFAULT false
)""",
)
_THERE = """SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = 'pool'"""
# By job: why the worker left it to others.
_LEFT = ("ALTER TABLE {s}.workers ADD COLUMN leaves jsonb NOT NULL DEFAULT '{{}}'",)
MIGRATIONS: tuple[tuple[str, ...], ...] = (_INITIAL, _LEFT)
SCHEMA_VERSION = len(MIGRATIONS)


def set_path(connection: Connection, address: Address) -> None:
    """Have the names in Procrastinate's statements and functions found in the store's schema, in this transaction."""
    connection.execute("SELECT set_config('search_path', %s, true)", (address.quoted_schema,))


def version_of(connection: Connection, address: Address) -> int:
    """The version of the queues' tables; 0: there are none. Raises StoreError for a newer one, the library's errors."""
    s = address.quoted_schema
    # Read from the catalogue: to_regclass may still remember that there was none before another session made it.
    if connection.execute(_THERE, (address.schema,)).fetchone() is None:
        return 0
    row: Any = connection.execute(literally(f"SELECT schema_version FROM {s}.pool")).fetchone()
    version = int(row[0]) if row else 0
    if version > SCHEMA_VERSION:
        from cerebelum import __version__

        raise StoreError(
            f"the queues have schema version {version}; cerebelum {__version__} knows versions up to {SCHEMA_VERSION}",
            where=address.shown,
            hint="a newer cerebelum made them; use that version or a newer one",
        )
    return version


def migrate(connection: Connection, address: Address) -> None:
    """Bring the queues' tables to SCHEMA_VERSION, all or nothing; safe when many do it at once.

    Raises StoreError for a newer version, and the library's errors.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (address.channel,))
        version = version_of(connection, address)
        if version == 0:
            set_path(connection, address)
            text = resources.files("procrastinate.sql").joinpath("schema.sql").read_text("utf-8")
            connection.execute(literally(text))
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(literally(statement.format(s=address.quoted_schema)))
        if version < SCHEMA_VERSION:
            connection.execute(literally(f"UPDATE {address.quoted_schema}.pool SET schema_version = {SCHEMA_VERSION}"))
