"""psycopg, imported in one place, with an error that says how to get it."""

from __future__ import annotations

from cerebelum.core.errors import UsageError

try:
    import psycopg
except ImportError as error:
    raise UsageError(
        f"PostgreSQL needs psycopg, which cannot be imported here: {error}", hint="pip install 'cerebelum[postgres]'"
    ) from None

__all__ = ["library", "psycopg"]


def library() -> str:
    """psycopg and the libpq that it uses, with their versions."""
    version = psycopg.pq.version()
    return f"psycopg {psycopg.__version__}, libpq {version // 10000}.{version % 10000}"
