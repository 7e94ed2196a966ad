"""What can be asked of the queues of a store: submit, look, drain; and a worker's service."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from cerebelum.backends.postgres.address import Address
from cerebelum.backends.postgres.exchange import exchange
from cerebelum.backends.postgres.pool.tables import Tables, read_worker
from cerebelum.backends.postgres.server import Connection, Lane, Server
from cerebelum.backends.postgres.statements import Statements
from cerebelum.backends.postgres.writing import Append
from cerebelum.backends.sql.rows import entry_rows
from cerebelum.core.events import Entry, Queued
from cerebelum.core.summary import Summary
from cerebelum.store import Ownership
from cerebelum.store.pooling import Depth, Handover, Perform, Pool, Service, Standing, Worker, takers


class Queues(Pool):
    """The queues in one schema of a database."""

    def __init__(self, server: Server, address: Address, statements: Statements) -> None:
        self._tables = Tables(server, address)
        self._sql = self._tables.sql
        self._of_store = statements

    @property
    def lane(self) -> Lane:
        """Its connection, for whoever closes the store."""
        return self._tables.lane

    def submit(self, execution_id: str, entry: Entry, summary: Summary, queued: Queued) -> None:
        """See Pool."""
        self._append(
            0, [entry], summary, lambda connection: self._tables.defer(connection, execution_id, queued), None, False
        )

    def _append(
        self,
        expected: int,
        entries: Sequence[Entry],
        summary: Summary,
        defer: Callable[[Connection], None],
        fence: Ownership | None,
        release: bool,
    ) -> None:
        """Append, and `defer` jobs if that was done, in one transaction."""
        rows = entry_rows(summary.execution_id, expected, entries, summary)
        append = Append(self._of_store, os.urandom(16).hex(), expected, rows, summary, fence, release, False)

        def write(connection: Connection) -> None:
            # Sent again after it was done, it writes nothing, and is found to be there.
            (result,) = exchange(connection, [append.command()])
            written = result.ntuples > 0
            if written:
                defer(connection)
            append.sent(connection, written)

        self._tables.write(write)
        append.result()

    def hand_over(
        self,
        execution_id: str,
        expected: int,
        entries: Sequence[Entry],
        summary: Summary,
        handovers: Sequence[Handover],
        *,
        fence: Ownership,
        release: bool = False,
    ) -> None:
        """See Pool."""
        self._append(
            expected,
            entries,
            summary,
            lambda connection: self._tables.defer_steps(connection, execution_id, handovers),
            fence,
            release,
        )

    def offer(self, execution_id: str, handovers: Sequence[Handover]) -> None:
        """See Pool."""
        self._tables.write(lambda connection: self._tables.offer_steps(connection, execution_id, handovers))

    def withdraw(self, keys: Sequence[str]) -> None:
        """See Pool."""
        self._tables.write(lambda connection: connection.execute(self._sql.withdraw, (list(keys),)))

    def wake(self, execution_id: str) -> None:
        """See Pool."""
        self._tables.write(lambda connection: connection.execute(self._sql.wake, (execution_id,)))

    def depths(self) -> list[Depth]:
        """See Pool."""
        return [Depth(*row) for row in self._tables.fetched(self._sql.depths)]

    def workers(self) -> list[Worker]:
        """See Pool."""
        return [read_worker(row)[0] for row in self._tables.fetched(self._sql.workers, (None, None))]

    def standing(self, execution_id: str, queue: str) -> Standing:
        """See Pool."""
        rows = self._tables.fetched(self._sql.ahead, (execution_id,))
        found = takers(self.workers(), queue, (), execution_id)
        return Standing(found.serving, rows[0][0] if rows else 0, found.left, bool(rows))

    def drain(self, runner_id: str) -> bool:
        """See Pool."""
        return bool(self._tables.fetched(self._sql.drain, (runner_id,)))

    def service(
        self, worker: Worker, perform: Perform, on_drain: Callable[[], None], tell: Callable[[str], None]
    ) -> Service:
        """See Pool."""
        # Procrastinate's worker is imported where one works.
        from cerebelum.backends.postgres.pool.serving import Serving

        return Serving(self._tables, worker, perform, on_drain, tell)
