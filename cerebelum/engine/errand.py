"""One attempt that a worker took: performed by the means of an engine, and reported to whoever drives the execution.

A worker owns nothing of the execution. What it says is heeded only while the log says that the attempt is its own; from
the moment that does not hold any more, its processes are ended.
"""

from __future__ import annotations

import queue
import threading
from typing import Any

from cerebelum.core import handover
from cerebelum.core.decide import Stopping
from cerebelum.core.events import StepInterrupted, StepReported, StepTaken, decode
from cerebelum.core.evolve import evolve
from cerebelum.core.outcome import Interrupted
from cerebelum.core.state import State
from cerebelum.engine import performing, requests
from cerebelum.engine.attempts import Attempts, cut_off_by
from cerebelum.engine.orders import Order, Orders
from cerebelum.engine.outside import POLL_SECONDS, Outside, Told
from cerebelum.engine.ownership import lost_store
from cerebelum.engine.performing import Performed
from cerebelum.engine.prepare import Surroundings
from cerebelum.engine.settings import Settings
from cerebelum.engine.timers import Timers, overtime_at, patience
from cerebelum.host.clock import Clock
from cerebelum.steps.attempt import Attempt
from cerebelum.steps.log import LogWriter
from cerebelum.store import EventStore, Runner
from cerebelum.store.lookup import Log
from cerebelum.store.pooling import Job

Item = Performed | BaseException | Order | Told


def take(store: EventStore, clock: Clock, job: Job, worker: Runner) -> Log | None:
    """Take what was handed over; the log then, or None if it is no longer there to be taken."""
    assert job.step is not None
    step = job.step

    def make(state: State, stamp: dict[str, Any]) -> StepTaken | None:
        at = state.steps.get(step)
        if at is None or at.status != "waiting_for_worker" or state.ended or state.cancel or state.pausing:
            return None
        if at.handed is None or at.handed.version != job.handover:
            return None
        return StepTaken(
            step=step, attempt=at.attempt, handover=job.handover, worker=worker.id, host=worker.host, **stamp
        )

    log = requests.request(store, clock, job.execution_id, make)
    return log if handover.holds(log.state.steps.get(step), job.handover, worker.id) else None


def bury(store: EventStore, clock: Clock, job: Job, worker_id: str) -> None:
    """Record that the attempt was cut off because the worker that had it died, if it still has it."""
    assert job.step is not None
    step = job.step

    def make(state: State, stamp: dict[str, Any]) -> StepInterrupted | None:
        at = state.steps.get(step)
        if state.ended or at is None or not handover.holds(at, job.handover, worker_id):
            return None
        return StepInterrupted(step=step, attempt=at.attempt, why="runner_died", **stamp)

    requests.request(store, clock, job.execution_id, make)


def given_up(state: State, step: str, version: int, worker: str) -> str | None:
    """Why a worker has no longer got an attempt that it took; None if it has."""
    at = state.steps.get(step)
    if state.ended is not None:
        return f"the execution had ended ({state.ended})"
    if handover.holds(at, version, worker):
        return None
    if at is None:
        return "the step was removed"
    if at.handed is not None and at.handed.version != version:
        return f"attempt {at.attempt} was handed over in its place"
    if at.interrupted == "runner_died":
        return "its worker had been taken for dead"
    return f"the attempt had been given up; the step is {at.status}"


class Errand(Orders):
    """An attempt that this worker has taken, from there to its report."""

    def __init__(
        self, store: EventStore, job: Job, log: Log, around: Surroundings, worker: Runner, settings: Settings
    ) -> None:
        assert job.step is not None
        self.execution_id = job.key
        """What it is known by among what the worker does."""
        self._store, self._job, self._step = store, job, job.step
        self._state = log.state
        self._around, self._clock = around, around.clock
        self._worker = worker
        self._settings = settings
        self._inbox: queue.SimpleQueue[Item] = queue.SimpleQueue()
        super().__init__(self._inbox.put, Attempts(self._clock, settings.grace))
        self._outside = Outside(store, job.execution_id, self._inbox.put, owned=False)
        self._log = LogWriter(store, job.execution_id, self._inbox.put)
        self._stopping: Stopping | None = None
        self._looked = self._clock.elapsed()

    # -- the attempt --------------------------------------------------------------------------------------------------

    def perform(self) -> StepReported:
        """Perform the attempt, and report how it went; what was recorded of that, which may be that it was refused.

        Raises StoreError, and NotFound if the execution was pruned meanwhile.
        """
        attempt = performing.begin(self._state, self._step, self._around, self._settings, self._log)
        self._attempts.going[self._step] = attempt
        thread = threading.Thread(target=self._work, args=(attempt, self._state), name="cerebelum-step", daemon=True)
        try:
            self._outside.listen()
            thread.start()
            while (done := self._await(attempt)) is None:
                self._look_outside(attempt)
                done = self._abandoned(attempt)
                if done is not None:
                    break
        except BaseException:
            self._attempts.ask_all_to_end("fenced", 0.0)
            attempt.kill()
            raise
        finally:
            self._outside.close()
            self._log.close()
        if self._lost:
            raise lost_store()
        return self._report(attempt, done)

    def _work(self, attempt: Attempt, state: State) -> None:
        try:
            self._inbox.put(performing.perform_attempt(attempt, state, self._store, self._around))
        except BaseException as problem:
            self._inbox.put(problem)

    def _await(self, attempt: Attempt) -> Performed | None:
        """Wait for the attempt's end, for as long as nothing is to be looked at."""
        now = self._clock.elapsed()
        self._attempts.allow_for_pause(now - self._looked)
        self._looked = now
        limit = overtime_at(self._state, self._clock.now(), now)
        try:
            item = self._inbox.get(timeout=patience([attempt], Timers(), limit, now, POLL_SECONDS))
        except queue.Empty:
            return None
        if isinstance(item, Performed):
            if item.broken is not None:
                raise item.broken
            return item
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, Stopping):
            self._stopping = item
            if not item.gentle:
                self._attempts.ask_all_to_end("stopped", self._attempts.stop_grace)
        elif item == "hurry":
            self._attempts.ask_all_to_end("stopped", 0.0)
        elif item in ("news", "look"):
            self._outside.hurry()
        return None

    def _look_outside(self, attempt: Attempt) -> None:
        """Heed what others appended: requests to cancel or to pause, and that the attempt is somebody else's."""
        if not self._outside.is_due(self._clock.elapsed()):
            return
        for entry in self._store.read(self._job.execution_id, self._state.version):
            self._state = evolve(self._state, decode(entry.text, where=self._job.execution_id))
        if given_up(self._state, self._step, self._job.handover, self._worker.id) is not None:
            self._attempts.ask_to_end(attempt, "fenced", 0.0)
        elif self._step in self._state.graph.position:
            self._attempts.heed_requests(self._state)

    def _abandoned(self, attempt: Attempt) -> Performed | None:
        """What an attempt comes to that does not end although it was told to; None as long as it may."""
        now = self._clock.elapsed()
        if self._step not in self._state.graph.position:
            return None
        limit = overtime_at(self._state, self._clock.now(), now)
        if not self._attempts.watch(self._state, limit is not None and now >= limit):
            return None
        attempt.abandoned = True
        attempt.output.close()
        return Performed(attempt.outcome_of_leaving(), False, None)

    def _report(self, attempt: Attempt, done: Performed) -> StepReported:
        made: list[StepReported] = []
        why = cut_off_by(attempt, self._stopping, self._state)
        duration = self._clock.elapsed() - attempt.started

        def make(state: State, stamp: dict[str, Any]) -> StepReported:
            refused = given_up(state, self._step, self._job.handover, self._worker.id)
            said = handover.said(done.outcome)
            if refused is not None:
                said = {"outcome": said["outcome"], "refused": refused}
            event = StepReported(
                step=self._step,
                attempt=attempt.number,
                handover=self._job.handover,
                worker=self._worker.id,
                host=self._worker.host,
                verified=done.verified,
                duration=duration,
                why=why if isinstance(done.outcome, Interrupted) else None,
                **said,
                **stamp,
            )
            made.append(event)
            return event

        requests.request(self._store, self._clock, self._job.execution_id, make)
        return made[-1]
