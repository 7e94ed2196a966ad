"""The tables of the queues, as this process writes and reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from cerebelum.backends.postgres.address import Address
from cerebelum.backends.postgres.driver import psycopg
from cerebelum.backends.postgres.pool import schema
from cerebelum.backends.postgres.pool.statements import PoolStatements
from cerebelum.backends.postgres.server import LONG, Connection, Lane, Server
from cerebelum.backends.postgres.statements import restored
from cerebelum.backends.sql.rows import RUNNER, moment, runner_of
from cerebelum.core.events import ExecutionStarted, Queued, decode
from cerebelum.store.pooling import Handover, Worker, step_key

T = TypeVar("T")


class Tables:
    """The queues in one schema of a database; a connection of their own, made when first needed."""

    def __init__(self, server: Server, address: Address) -> None:
        self.server, self.address = server, address
        self.sql = PoolStatements(address)
        self.lane = Lane()
        self._ready = False

    def defer(self, connection: Connection, execution_id: str, queued: Queued) -> None:
        """Add the job of an execution."""
        values = (queued.name, queued.priority, execution_id, execution_id, queued.at)
        connection.execute(self.sql.defer, values)

    def defer_steps(self, connection: Connection, execution_id: str, handovers: Sequence[Handover]) -> None:
        """Add the jobs of steps."""
        for each in handovers:
            key = step_key(execution_id, each.step, each.version)
            values = (each.queue, each.priority, key, execution_id, each.step, each.version, list(each.labels))
            connection.execute(self.sql.defer_step, values)

    def offer_steps(self, connection: Connection, execution_id: str, handovers: Sequence[Handover]) -> None:
        """Add the jobs of steps that have none."""
        for each in handovers:
            key = step_key(execution_id, each.step, each.version)
            if connection.execute(self.sql.has_job, (key,)).fetchone() is None:
                try:
                    with connection.transaction():
                        self.defer_steps(connection, execution_id, [each])
                except psycopg.errors.UniqueViolation:
                    # Somebody else was first.
                    continue

    def adopt(self) -> None:
        """Give jobs to executions that are queued and have none: they came from another store."""

        def give(connection: Connection) -> None:
            for execution_id, data in connection.execute(self.sql.jobless).fetchall():
                event = decode(data, where=execution_id)
                if not isinstance(event, ExecutionStarted) or event.queue is None:
                    continue
                try:
                    with connection.transaction():
                        self.defer(connection, restored(execution_id), event.queue)
                except psycopg.errors.UniqueViolation:
                    # Another worker was first.
                    continue

        self.write(give)

    def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, in one transaction, with the tables there and their names found.

        It is called again where the connection was lost meanwhile. Raises StoreError.
        """

        def ready(connection: Connection, again: bool) -> T:
            if not self._ready:
                if schema.version_of(connection, self.address) < schema.SCHEMA_VERSION:
                    silence, connection.silence = connection.silence, LONG
                    schema.migrate(connection, self.address)
                    connection.silence = silence
                self._ready = True
            with connection.transaction():
                schema.set_path(connection, self.address)
                return work(connection)

        return self.server.write(self.lane, ready)

    def fetched(self, sql: Any, values: Sequence[Any] = ()) -> list[Any]:
        """All rows; none where there are no queues yet."""

        def look(connection: Connection) -> list[Any]:
            try:
                return connection.execute(sql, values).fetchall()
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                return []

        return self.server.read(self.lane, look) or []


def read_worker(row: Sequence[Any]) -> tuple[Worker, int]:
    """A worker as `PoolStatements.workers` gives it, and what the jobs know it by."""
    now, queues, labels, concurrency, version, draining, drives, leaves, jobs_worker, *registered = row
    assert len(registered) == len(RUNNER)
    runner = runner_of(tuple(registered), moment(now))
    worker = Worker(runner, tuple(queues), tuple(labels), concurrency, version, draining, tuple(drives), leaves or {})
    return worker, jobs_worker
