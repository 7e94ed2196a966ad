"""Procrastinate's statements over the connections of a store, which wait for a server that went away."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from procrastinate.connector import BaseAsyncConnector, Notify
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from cerebelum.backends.postgres.driver import psycopg
from cerebelum.backends.postgres.pool.tables import Tables
from cerebelum.backends.postgres.schema import literally
from cerebelum.backends.postgres.server import Connection
from cerebelum.core.errors import StoreError
from cerebelum.store.pooling import Later, Worker

_LOOK = 1.0
"""Seconds between two looks at whether anybody still wants to hear."""
_CONNECTING = 10.0
_FETCH = "procrastinate_fetch_job"
"""What the statement calls that takes a job, in the place of which ours is performed."""
_RETRY = "procrastinate_retry_job"
"""The same for the one that puts a job back."""
_MOST_LEFT = 100
"""So many of the jobs that it left a worker names with the reason."""


class Connector(BaseAsyncConnector):
    """What Procrastinate's worker asks the database through: one statement at a time, in a thread of its own.

    It also enters the worker in our list, and takes it out, together with Procrastinate's own; and has nothing done to
    a job that another worker has by now.
    """

    def __init__(self, tables: Tables, worker: Worker) -> None:
        self._tables = tables
        self._worker = worker
        self._thread = ThreadPoolExecutor(1, "cerebelum-jobs")
        self.jobs_worker: int | None = None
        """What the jobs know the worker by."""
        self.held: set[int] = set()
        """Jobs that it was given and has not brought back."""
        self._left: dict[int, float] = {}
        """Jobs that it leaves to others, and until when."""
        self._why: dict[str, str] = {}

    async def in_turn(self, work: Callable[[], Any]) -> Any:
        """What `work()` returns, called in the connector's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Release the thread."""
        self._thread.shutdown()

    # -- what Procrastinate calls -------------------------------------------------------------------------------------

    async def open_async(self, pool: Any = None) -> None:
        """Nothing: connections are made when needed."""

    async def close_async(self) -> None:
        """Nothing: the connections are the store's."""

    async def execute_query_async(self, query: str, **arguments: Any) -> None:
        await self.in_turn(lambda: self._perform(query, arguments))

    async def execute_query_one_async(self, query: str, **arguments: Any) -> dict[str, Any]:
        rows: list[dict[str, Any]] = await self.in_turn(lambda: self._perform(query, arguments))
        return rows[0]

    async def execute_query_all_async(self, query: str, **arguments: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self.in_turn(lambda: self._perform(query, arguments))
        return rows

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        loop, ended, names = asyncio.get_running_loop(), threading.Event(), list(channels)

        def tell(channel: str, payload: str) -> None:
            # The loop of a worker that has just ended is closed.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(lambda: loop.create_task(_told(on_notification, channel, payload)))

        thread = threading.Thread(
            target=self._listen, args=(names, tell, ended), name="cerebelum-jobs-ear", daemon=True
        )
        thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    # -- in the connector's thread ------------------------------------------------------------------------------------

    def _perform(self, query: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        values = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in arguments.items()}

        def work(connection: Connection) -> list[dict[str, Any]]:
            if "job_id" in arguments and not self._is_mine(connection, arguments["job_id"]):
                return []
            with connection.cursor(row_factory=dict_row) as cursor:
                if _FETCH in query:
                    more = {"labels": list(self._worker.labels), "left": self._still_left()}
                    cursor.execute(self._tables.sql.fetch, {**values, **more})
                elif _RETRY in query and arguments["job_id"] in self._left:
                    cursor.execute(self._tables.sql.give_back, (arguments["job_id"],))
                else:
                    cursor.execute(literally(query), values)
                rows = cursor.fetchall()
            self._follow(connection, query, rows)
            return rows

        rows = self._tables.write(work)
        if _FETCH in query and rows and rows[0]["id"] is not None:
            self.held.add(rows[0]["id"])
        self.held.discard(arguments.get("job_id", 0))
        return rows

    def leave(self, job: int, key: str, later: Later) -> None:
        """Leave a job to others from now on, for some time, and note why."""
        self._left[job] = time.monotonic() + later.after
        self._why.pop(key, None)
        self._why[key] = later.why or ""
        for old in list(self._why)[:-_MOST_LEFT]:
            del self._why[old]
        values = (Jsonb(self._why), self._worker.runner.id)
        self._tables.write(lambda connection: connection.execute(self._tables.sql.leave, values))

    def _still_left(self) -> list[int]:
        now = time.monotonic()
        self._left = {job: until for job, until in self._left.items() if until > now}
        return list(self._left)

    def _is_mine(self, connection: Connection, job: int) -> bool:
        sql = self._tables.sql
        return connection.execute(sql.mine, (job, self.jobs_worker)).fetchone() is not None

    def _follow(self, connection: Connection, query: str, rows: list[dict[str, Any]]) -> None:
        """Keep our list of workers like Procrastinate's."""
        sql, worker = self._tables.sql, self._worker
        if "procrastinate_register_worker" in query:
            self.jobs_worker = rows[0]["worker_id"]
            self.enlist(connection)
        elif "procrastinate_unregister_worker" in query:
            connection.execute(sql.delist, ([worker.runner.id],))

    def enlist(self, connection: Connection) -> None:
        """Enter the worker in our list."""
        worker = self._worker
        lists = (list(worker.queues), list(worker.labels))
        values = (worker.runner.id, self.jobs_worker, *lists, worker.concurrency, worker.version)
        connection.execute(self._tables.sql.enlist, values)

    # -- in the ear's thread ------------------------------------------------------------------------------------------

    def _listen(self, channels: list[str], tell: Callable[[str, str], None], ended: threading.Event) -> None:
        server = self._tables.server
        while not ended.is_set() and not server.closed:
            try:
                session = server.connect(time.monotonic() + _CONNECTING)
            except (psycopg.Error, StoreError):
                ended.wait(_LOOK)
                continue
            try:
                if session.pooled:
                    # Announcements don't come through a pooler; looking now and then has to do.
                    return
                self._hear(session.connection, channels, tell, ended)
            except psycopg.Error:
                ended.wait(0.1)
            finally:
                session.connection.close()

    def _hear(
        self, connection: Connection, channels: list[str], tell: Callable[[str, str], None], ended: threading.Event
    ) -> None:
        for channel in channels:
            connection.execute(literally(f'LISTEN "{channel}"'))
        connection.silence = None
        # What was announced before this connection listened is lost.
        tell(channels[0], '{"type": "job_inserted", "job_id": 0}')
        while not ended.is_set():
            for notice in connection.notifies(timeout=_LOOK, stop_after=1):
                tell(notice.channel, notice.payload)


async def _told(on_notification: Notify, channel: str, payload: str) -> None:
    await on_notification(channel=channel, payload=payload)
