"""A worker of a pool: drives what it takes from queues, under the same rules of ownership as anybody.

A job only says that somebody should look after an execution; who may do that, its ownership alone decides. So a job may
come twice, or to a worker that cannot do it, and does no harm.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from cerebelum.core.decide import Stopping
from cerebelum.core.errors import CerebelumError, OwnedElsewhere, StoreError, UsageError
from cerebelum.core.state import State
from cerebelum.core.status import GOING_ON, WAITING
from cerebelum.core.summary import due_at
from cerebelum.engine.handing import Watch
from cerebelum.engine.ownership import lost_store
from cerebelum.engine.preflight import Checked
from cerebelum.engine.step_jobs import StepJobs
from cerebelum.engine.supervisor import Supervisor, said
from cerebelum.engine.timetable import Due, Timetable
from cerebelum.host import faults
from cerebelum.host.bell import Bell
from cerebelum.store import Conflict, Fenced, Query, Row, lookup
from cerebelum.store.pooling import Job, Later, Pool, Worker

if TYPE_CHECKING:
    from cerebelum.engine.session import Result
    from cerebelum.store.pooling import Service

MOST_RESURRECTIONS = 5
PARK_AFTER = 10.0
"""Seconds; what waits for no longer keeps its place."""

_SOON = 1.0
_OBSERVE = 3.0
"""Seconds between two looks at the beat of a runner that may be dead."""
_ELSEWHERE = 15.0
"""Seconds until it is looked at again whether somebody who is no worker still drives an execution."""
_REFUSED = 10.0
"""Seconds until an execution that cannot be driven here is there for others again; it is not woken before."""
_AT_LEAST = timedelta(hours=1)
"""How often what waits for a person is looked at, whatever else is to wake it."""


class PoolWorker(msgspec.Struct):
    """Drives what comes from the queues with the means of a supervisor, until it is stopped or drained."""

    supervisor: Supervisor
    worker: Worker
    timetable: Timetable
    """Whose ticks are submitted here."""
    submit: Callable[[Due, Checked], None]
    """Puts the execution of a tick into a queue; raises what submitting one raises."""
    _service: Service | None = None
    _ending: Bell = msgspec.field(default_factory=Bell)
    _stopping: Stopping | None = None
    _driving: set[str] = msgspec.field(default_factory=set)
    _refused: dict[str, str] = msgspec.field(default_factory=dict)
    """By execution: why it could not be driven here, which is told once."""
    _lost: bool = False
    _step_jobs: StepJobs | None = None

    def run(self, pool: Pool, *, once: bool) -> Stopping | None:
        """Serve the queues until stopped, with what stopped it; with `once`, until there is nothing to take.

        Raises StoreError.
        """
        self._service = pool.service(self.worker, self.perform, self._drain, self.supervisor.tell)
        registration = self.supervisor.registration
        registration.on_lost(self._lose)
        looking = threading.Thread(target=self._look_for_ticks, name="cerebelum-schedule", daemon=True)
        try:
            self._submit_due()
            if self.timetable:
                looking.start()
            if self._stopping is None:
                self._service.run(once=once)
        except BaseException:
            self.stop(Stopping("signal"))
            raise
        finally:
            registration.no_longer(self._lose)
            self._ending.ring()
            if looking.ident is not None:
                looking.join()
        if self._lost:
            raise lost_store()
        return None if self._stopping is None or self._stopping.gentle else self._stopping

    def stop(self, stopping: Stopping) -> None:
        """Take nothing more, and end the steps of what is being driven: others go on with it. Safe in a signal
        handler."""
        self._stopping = stopping
        self._ending.ring()
        self.supervisor.stop(stopping)
        if self._service is not None:
            self._service.stop()

    def hurry(self) -> None:
        """Kill the steps that are running."""
        self.supervisor.hurry()

    def _drain(self) -> None:
        """Take nothing more, let the steps that are running come to their end, and hand over what is not done then."""
        if self._stopping is None:
            self.supervisor.tell("draining: nothing new is taken, and what runs is handed over after its present steps")
            self.stop(Stopping("operator", gentle=True))

    def _lose(self) -> None:
        self._lost = True
        if self._service is not None:
            self._service.stop()

    # -- schedules ----------------------------------------------------------------------------------------------------

    def _look_for_ticks(self) -> None:
        told, pause = "", _SOON
        while not self._ending.wait(pause):
            try:
                self._submit_due()
                told, pause = "", _SOON
            except CerebelumError as error:
                # A store that is away, or a file that was changed just now: the tick stays due.
                if (text := error.text()) != told:
                    self.supervisor.tell(f"nothing can be scheduled at the moment: {text}")
                told, pause = text, _REFUSED

    def _submit_due(self) -> None:
        for due in self.timetable.due():
            faults.point("tick")
            try:
                self.submit(due, self.timetable.start(due))
            except (Conflict, Fenced):
                self.timetable.settle(due)
            except OwnedElsewhere as error:
                self.timetable.settle(due, error.message)
            else:
                self.supervisor.tell(f"{due.execution_id}: submitted")
                self.timetable.settle(due)

    # -- one job ------------------------------------------------------------------------------------------------------

    def perform(self, job: Job) -> Later | None:
        """See Perform."""
        execution_id = job.key
        tell = self.supervisor.tell
        if execution_id in self._driving:
            # Others took this worker for dead, and put the job back; it is alive, and goes on.
            return Later(after=_ELSEWHERE)
        self._driving.add(execution_id)
        try:
            if job.step is None:
                return self._perform(execution_id)
            return Later() if self._stopping is not None else self._steps().perform(job)
        except (Fenced, Conflict):
            tell(f"{execution_id}: somebody else took it up")
            return Later(after=_SOON)
        except StoreError as error:
            return self._refuse(execution_id, f"the store failed: {error.text()}")
        except CerebelumError as error:
            return self._refuse(execution_id, error.message, f"left for another worker: {error.text()}")
        except Exception as error:
            return self._refuse(
                execution_id, f"left alone because of a bug of cerebelum: {type(error).__name__}: {error}"
            )
        finally:
            self.supervisor.let_go(execution_id)
            self._driving.discard(execution_id)

    def _refuse(self, execution_id: str, why: str, told: str = "") -> Later:
        if self._refused.get(execution_id) != why:
            self._refused[execution_id] = why
            self.supervisor.tell(f"{execution_id}: {told or why}")
        return Later(after=_REFUSED, why=why)

    def _steps(self) -> StepJobs:
        self._step_jobs = self._step_jobs or StepJobs(
            self.supervisor, Watch(self.supervisor.store, self.supervisor.clock)
        )
        return self._step_jobs

    def _perform(self, execution_id: str) -> Later | None:
        supervisor = self.supervisor
        rows = supervisor.store.find(Query(id=execution_id, limit=1)).rows
        if not rows:
            supervisor.tell(f"{execution_id}: {lookup.missing(supervisor.store, execution_id).message}; nothing to do")
            return None
        row = rows[0]
        if (later := self._not_now(row)) is not None:
            return later
        if row.summary.status in ("completed", "failed", "cancelled", "paused"):
            return None
        result = supervisor.take_up(row)
        if result is None:
            return Later(after=_SOON)
        supervisor.tell(f"{execution_id}: {said(result)}")
        return self._after(result)

    def _not_now(self, row: Row) -> Later | None:
        """Why an execution is not to be taken up now, as the time of the next look; None if there is no reason."""
        if self._stopping is not None:
            return Later()
        now, due = self.supervisor.clock.now(), row.summary.due_at
        status = row.summary.status
        if status in WAITING and (due is None or due > now):
            return self._until(due)
        if status == "queued" and due is not None and due > now:
            return self._until(due)
        if status in GOING_ON and not self.supervisor.nobody_drives(row):
            silent = row.runner is not None and (row.runner.silent or 0.0) > _ELSEWHERE
            return Later(after=_OBSERVE if silent else _ELSEWHERE)
        if status == "waiting_for_lock" and not self.supervisor.has_its_turn(row):
            return Later(after=_SOON)
        return None

    def _after(self, result: Result) -> Later | None:
        if result.end == "fenced":
            return Later(after=_OBSERVE)
        if result.end != "parked":
            return None
        if self._stopping is not None:
            return Later()
        return Later(after=_SOON) if result.state.awaiting_lock else self._until(due_at(result.state))

    def _until(self, due: datetime | None) -> Later:
        at_least = self.supervisor.clock.now() + _AT_LEAST
        return Later(at=at_least if due is None else min(due, at_least))


def refuse_newer(state: State) -> None:
    """Raises UsageError for an execution that a newer version began: it may say what this one does not know."""
    from cerebelum import __version__

    theirs = state.environment.version
    if _release(theirs) > _release(__version__):
        raise UsageError(
            f"it was submitted by cerebelum {theirs}, and this worker is cerebelum {__version__}",
            hint=f"start workers of cerebelum {theirs} or newer",
        )


def _release(version: str) -> tuple[int, ...]:
    """Major and minor version; what comes behind changes nothing that is recorded."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
