"""Keeps events in a PostgreSQL database that several machines share: `postgresql://…`, with psycopg 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cerebelum.core.errors import UsageError
from cerebelum.store import EventStore

__all__ = ["cerebelum_backends", "open_store", "versions"]


def open_store(url: str) -> EventStore:
    """The store of `postgresql://user@host/database?schema=name`; nothing is created before the first write.

    Raises UsageError if that is no such URL, or psycopg is not installed; the store's methods raise StoreError.
    """
    from cerebelum.backends.postgres.address import parse
    from cerebelum.backends.postgres.store import PostgresStore

    return PostgresStore(parse(url))


def versions() -> tuple[str | None, str | None]:
    """Of psycopg and libpq; None where psycopg is not installed."""
    try:
        from cerebelum.backends.postgres.driver import libpq, psycopg
    except UsageError:
        return None, None
    return psycopg.__version__, libpq()


def cerebelum_backends() -> Mapping[str, Callable[[str], EventStore]]:
    return {"postgresql": open_store, "postgres": open_store}
