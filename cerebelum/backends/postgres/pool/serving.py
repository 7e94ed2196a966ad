"""A worker at work: Procrastinate's worker, with our own looks after the jobs beside it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import procrastinate
from procrastinate import jobs, retry
from procrastinate.worker import Worker as JobsWorker

from cerebelum.backends.postgres.pool.connector import Connector
from cerebelum.backends.postgres.pool.statements import STEP_TASK, TASK
from cerebelum.backends.postgres.pool.tables import Tables, read_worker
from cerebelum.backends.postgres.server import Connection
from cerebelum.store.liveness import judge
from cerebelum.store.pooling import Job, Later, Perform, Service, Worker

_TICK = 1.0
"""Seconds between two looks after the jobs."""
_SELDOM = 3
"""Of so many looks, one is after the dead on this machine."""
_POLL = 5.0
"""Seconds between two looks for jobs that nobody announced."""
_DAY = 86_400.0

# What it logs is told by events, and by what the worker says.
logging.getLogger("procrastinate").addHandler(logging.NullHandler())
logging.getLogger("procrastinate").propagate = False


class _NotDone(Exception):
    """How a job says that it is to be taken again."""

    def __init__(self, later: Later) -> None:
        super().__init__(later)
        self.later = later


class _Again(retry.BaseRetryStrategy):
    def get_retry_decision(self, *, exception: BaseException, job: jobs.Job) -> retry.RetryDecision | None:
        later = exception.later if isinstance(exception, _NotDone) else Later(after=60.0)
        return retry.RetryDecision(retry_at=later.moment(datetime.now(UTC)))


class Serving(Service):
    """See Service."""

    def __init__(
        self,
        tables: Tables,
        worker: Worker,
        perform: Perform,
        on_drain: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        self._tables, self._worker, self._perform = tables, worker, perform
        self._on_drain, self._tell = on_drain, tell
        self._connector = Connector(tables, worker)
        self._threads = ThreadPoolExecutor(worker.concurrency, "cerebelum-drive")
        self._jobs: JobsWorker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = False
        self._looks = 0

    def run(self, *, once: bool) -> None:
        """See Service."""
        try:
            asyncio.run(self._main(once))
        finally:
            self._connector.close()
            self._threads.shutdown()

    def stop(self) -> None:
        """See Service."""
        self._stopped = True
        loop, worker = self._loop, self._jobs
        if loop is not None and worker is not None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(worker.stop)

    async def _main(self, once: bool) -> None:
        app = procrastinate.App(connector=self._connector)
        app.task(name=TASK, retry=_Again(), pass_context=True)(self._drive)
        app.task(name=STEP_TASK, retry=_Again(), pass_context=True)(self._step)
        await self._connector.in_turn(self._begin)
        self._jobs = JobsWorker(
            app,
            queues=list(self._worker.queues),
            name=None,
            concurrency=self._worker.concurrency,
            wait=not once,
            fetch_job_polling_interval=_POLL,
            delete_jobs="always",
            install_signal_handlers=False,
            # Whether a worker is alive its beat as a runner tells.
            update_heartbeat_interval=_DAY / 24,
            stalled_worker_timeout=_DAY,
        )
        self._loop = asyncio.get_running_loop()
        if self._stopped:
            return
        looking = asyncio.create_task(self._look_after())
        # A look that fails ends the worker: the store is gone, and its engines end by themselves.
        looking.add_done_callback(lambda task: None if task.cancelled() else self.stop())
        try:
            await self._jobs.run()  # type: ignore[no-untyped-call]
        finally:
            self._loop = None
            looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking

    async def _drive(self, context: procrastinate.JobContext, execution: str) -> None:
        await self._do(context, Job(execution))

    async def _step(
        self,
        context: procrastinate.JobContext,
        execution: str,
        step: str,
        handover: int,
        labels: list[str],
        lost: bool = False,
    ) -> None:
        await self._do(context, Job(execution, step, handover))

    async def _do(self, context: procrastinate.JobContext, job: Job) -> None:
        later = await asyncio.get_running_loop().run_in_executor(self._threads, self._perform, job)
        if later is None:
            return
        if later.why is not None and context.job.id is not None:
            await self._connector.in_turn(partial(self._connector.leave, context.job.id, job.key, later))
        raise _NotDone(later)

    def _begin(self) -> None:
        self._tables.adopt()
        # Among them the one that this one was started in the place of.
        self._tables.write(self._bury)

    # -- looking after the jobs ---------------------------------------------------------------------------------------

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            for job in await self._connector.in_turn(self._look):
                done = await asyncio.get_running_loop().run_in_executor(None, self._perform, job)
                if done is None:
                    await self._connector.in_turn(partial(self._finish, job))

    def _look(self) -> list[Job]:
        """Look after the jobs; those of steps that nobody takes although their workers are gone."""
        if self._connector.jobs_worker is None:
            return []
        self._looks += 1

        def look(connection: Connection) -> tuple[list[Job], bool]:
            if self._looks % _SELDOM == 0:
                self._bring_back(connection)
                self._bury(connection)
            return self._sweep(connection), self._is_draining(connection)

        # In one transaction, since there may be very many who look.
        forlorn, draining = self._tables.write(look)
        if draining:
            self._on_drain()
        return forlorn

    def _finish(self, job: Job) -> None:
        self._tables.write(lambda connection: connection.execute(self._tables.sql.withdraw, ([job.key],)))

    def _is_draining(self, connection: Connection) -> bool:
        found = connection.execute(self._tables.sql.draining, (self._worker.runner.id,)).fetchone()
        if found is None:
            # It stood still for so long that it was struck off.
            self._connector.enlist(connection)
        return found == (True,)

    def _bring_back(self, connection: Connection) -> None:
        """Put back what this worker was given without hearing of it, when the connection was lost."""
        connection.execute(self._tables.sql.put_back, ([self._connector.jobs_worker], list(self._connector.held)))

    def _bury(self, connection: Connection) -> None:
        """Put back the jobs of workers that died on this machine, which is known at once."""
        mine, sql = self._worker.runner, self._tables.sql
        for row in connection.execute(sql.workers, (mine.host, mine.host)).fetchall():
            worker, jobs_worker = read_worker(row)
            if worker.runner.id != mine.id and judge(worker.runner) == "dead":
                connection.execute(sql.put_back, ([jobs_worker], []))
                connection.execute(sql.delist, ([worker.runner.id],))

    def _sweep(self, connection: Connection) -> list[Job]:
        """What one worker does for all of them, once a second; see _look."""
        sql = self._tables.sql
        if connection.execute(sql.turn).fetchone() is None:
            return []
        for sweep in sql.sweeps:
            connection.execute(sweep)
        return [Job(name, step, handover, other=True) for name, step, handover in connection.execute(sql.forlorn)]
