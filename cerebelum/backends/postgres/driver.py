"""psycopg, imported in one place, with an error that says how to get it."""

from __future__ import annotations

import logging

from cerebelum.core.errors import UsageError

try:
    import psycopg
except ImportError as error:
    raise UsageError(
        f"PostgreSQL needs psycopg, which cannot be imported here: {error}", hint="pip install 'cerebelum[postgres]'"
    ) from None

# What it logs of connections that broke while they were being given up, nobody is to see on standard error.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

__all__ = ["libpq", "psycopg"]


def libpq() -> str:
    """The version of libpq, such as `16.4`."""
    version = psycopg.pq.version()
    return f"{version // 10000}.{version % 10000}"
