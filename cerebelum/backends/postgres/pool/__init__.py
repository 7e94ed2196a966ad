"""Queues in a PostgreSQL store: jobs of Procrastinate, in the same database and schema as the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cerebelum.core.errors import UsageError

if TYPE_CHECKING:
    from cerebelum.backends.postgres.address import Address
    from cerebelum.backends.postgres.pool.queues import Queues
    from cerebelum.backends.postgres.server import Server
    from cerebelum.backends.postgres.statements import Statements


def open_queues(server: Server, address: Address, statements: Statements) -> Queues:
    """The queues of a store. Raises UsageError if Procrastinate is not installed."""
    from cerebelum.backends.postgres.pool.queues import Queues

    try:
        import procrastinate  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"queues need Procrastinate, which cannot be imported here: {error}", hint="pip install 'cerebelum[pool]'"
        ) from None
    return Queues(server, address, statements)
