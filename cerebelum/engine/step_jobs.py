"""Jobs of single steps, as a worker does them: look whether the step is there to be taken, take it, and perform it."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from cerebelum.core import handover
from cerebelum.core.errors import CerebelumError, StoreError, UsageError
from cerebelum.core.model import Step
from cerebelum.core.state import State
from cerebelum.engine import errand, prepare
from cerebelum.engine.handing import Watch
from cerebelum.engine.leftovers import clear_attempt, clear_earlier
from cerebelum.engine.prepare import Surroundings, inheritable
from cerebelum.engine.session import Prepared
from cerebelum.engine.session import prepare as gathered
from cerebelum.engine.supervisor import Supervisor
from cerebelum.host.process_tree import become_subreaper
from cerebelum.host.temporary_folder import private_folder
from cerebelum.steps.attempt import Scratch
from cerebelum.steps.descriptors import mask_with
from cerebelum.store import Query, lookup
from cerebelum.store.pooling import Job, Later, pool_of

_OBSERVE = 3.0
"""Seconds between two looks at the beat of a worker that may be dead."""


class StepJobs(msgspec.Struct):
    """Performs steps with the means of a supervisor."""

    supervisor: Supervisor
    watch: Watch

    def perform(self, job: Job) -> Later | None:
        """See Perform. Raises CerebelumError for what cannot be done here."""
        supervisor = self.supervisor
        if not supervisor.store.find(Query(id=job.execution_id, limit=1)).rows:
            missing = lookup.missing(supervisor.store, job.execution_id).message
            supervisor.tell(f"{job.execution_id}: {missing}; nothing to do")
            return None
        state = lookup.read(supervisor.store, job.execution_id).state
        at = state.steps.get(job.step or "")
        if at is None or state.ended or at.handed is None or at.handed.version != job.handover:
            return None
        if at.status == "on_worker":
            return self._look_after(job, state)
        if at.status != "waiting_for_worker":
            return None
        if job.other:
            return Later(after=_OBSERVE)
        step = state.graph.step(job.step or "")
        prepared = self._prepared(state, step)
        if at.attempt > 1:
            # What a worker of this machine may have left that was killed.
            clear_earlier(state, step.id)
        self._take(job, prepared)
        return None

    def _prepared(self, state: State, step: Step) -> Prepared:
        """Secrets and mask. Raises CerebelumError if something is missing that the step needs."""
        supervisor = self.supervisor
        supervisor.check(state)
        if step.executor not in supervisor.executors:
            hint = "name the plugin with --plugin, or install it"
            raise UsageError(f"no plugin here knows the executor {step.executor}", hint=hint)
        prepared = gathered(state.workflow, supervisor.environ, step.secrets)
        try:
            names = prepare.scope(state, step)
        except CerebelumError:
            # No worker can do better: the attempt fails, and says why.
            return prepared
        prepare.folder(state, step, names)
        return prepared

    def _take(self, job: Job, prepared: Prepared) -> None:
        supervisor, worker = self.supervisor, self.supervisor.registration
        log = errand.take(supervisor.store, supervisor.clock, job, worker.runner)
        if log is None:
            return
        supervisor.tell(f"{job.execution_id}: step {job.step} taken")
        become_subreaper()
        mask_with(prepared.masker)
        with private_folder() as folder:
            inherited = inheritable(supervisor.environ, prepared.secrets)
            around = Surroundings(
                supervisor.executors, inherited, prepared.secrets, prepared.masker, supervisor.clock, Scratch(folder)
            )
            one = errand.Errand(supervisor.store, job, log, around, worker.runner, supervisor.settings)
            worker.on_lost(one.lost)
            worker.on_woken(one.woken)
            supervisor.entered(one)
            try:
                told = one.perform()
            finally:
                worker.no_longer(one.lost, one.woken)
        self._wake(job)
        how = told.outcome if told.refused is None else f"{told.outcome}, which counts for nothing: {told.refused}"
        supervisor.tell(f"{job.execution_id}: step {job.step} {how}")

    def _wake(self, job: Job) -> None:
        """Whoever has the turn would find it as well, some time later."""
        with suppress(StoreError):
            pool_of(self.supervisor.store).wake(job.execution_id)

    def _look_after(self, job: Job, state: State) -> Later | None:
        """What becomes of a step that some worker has: it may be dead."""
        at = state.steps[job.step or ""]
        assert at.taken is not None
        supervisor, worker = self.supervisor, at.taken.worker
        if worker != supervisor.registration.runner.id and worker not in self.watch.dead([worker]):
            return Later(after=_OBSERVE)
        # Its own, and not at work on it: the store failed it in the middle.
        if handover.holds(at, job.handover, worker):
            clear_attempt(supervisor.store, state, job.step or "")
            errand.bury(supervisor.store, supervisor.clock, job, worker)
            self._wake(job)
            supervisor.tell(f"{job.execution_id}: step {job.step} was interrupted: its worker {worker} died")
        return None
