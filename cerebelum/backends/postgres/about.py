"""What a PostgreSQL server says about itself and about the state of its tables."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from cerebelum.backends.postgres.address import Address
from cerebelum.backends.postgres.driver import libpq, psycopg
from cerebelum.backends.postgres.schema import SCHEMA_VERSION, literally
from cerebelum.backends.postgres.server import Connection, Lane, Server, Session
from cerebelum.store import Description

# What makes an acknowledgement of the server untrue after a power cut.
_RISKS = {
    "fsync": "fsync is off: a power cut can destroy the store",
    "full_page_writes": "full_page_writes is off: a power cut can damage the store",
    "synchronous_commit": "synchronous_commit is off: a power cut can lose events that were acknowledged",
}


def described(server: Server, lane: Lane, address: Address) -> Description:
    """What there is to know about the store. Raises StoreError."""

    def look(session: Session, again: bool) -> Description:
        connection = session.connection
        row = connection.execute(
            "SELECT current_database(), current_user, current_setting('server_version'),"
            " (SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c JOIN pg_namespace AS n"
            "  ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'r'),"
            " current_setting('data_checksums'), pg_is_in_recovery()",
            (address.schema,),
        ).fetchone()
        assert row is not None
        database, user, version, size, checksums, recovering = row
        off = {name for name in _RISKS if _setting(connection, name) == "off"}
        return Description(
            kind="PostgreSQL",
            where=address.shown,
            exists=session.schema_version > 0,
            library=f"psycopg {psycopg.__version__}, libpq {libpq()}",
            server=version,
            schema_version=session.schema_version or None,
            known_schema_version=SCHEMA_VERSION,
            size=None if size is None else int(size),
            warnings=tuple(text for name, text in _RISKS.items() if name in off)
            + (("the server is a standby: it can only be read",) if recovering else ()),
            details={
                "database": database,
                "user": user,
                "schema": address.schema,
                "encrypted": bool(connection.pgconn.ssl_in_use),
                "pooled": session.pooled,
                "data_checksums": checksums == "on",
            },
        )

    return server.run(lane, look)


def _setting(connection: Any, name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    return str(row[0])


def checked(server: Server, lane: Lane, address: Address) -> Iterator[str]:
    """What amcheck finds wrong with the store's tables and indexes; nothing where it may not be used."""
    relations = server.read(
        lane,
        lambda connection: connection.execute(
            "SELECT c.oid, c.relname, c.relkind FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " JOIN pg_extension AS x ON x.extname = 'amcheck' WHERE n.nspname = %s AND c.relkind IN ('r', 'i')"
            " AND to_regprocedure('bt_index_check(regclass, boolean)') IS NOT NULL ORDER BY c.relname",
            (address.schema,),
        ).fetchall(),
    )
    for oid, name, kind in relations or ():
        sql = "SELECT bt_index_check(%s, true)" if kind == "i" else "SELECT msg FROM verify_heapam(%s)"
        for message in server.read(lane, partial(_examined, sql, oid)) or ():
            if message:
                yield f"{name}: {message}"


def _examined(sql: str, oid: int, connection: Connection) -> list[str]:
    """What is wrong with one table or index."""
    try:
        return [str(row[0]) for row in connection.execute(literally(sql), (oid,))]
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFunction):
        return []
    except psycopg.errors.InternalError as error:
        return [" ".join(str(error).split())]
