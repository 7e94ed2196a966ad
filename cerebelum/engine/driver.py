"""What the client does when it drives executions: starts them, goes on with them, finishes what was asked of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cerebelum.core.decide import Opened, Stopping
from cerebelum.core.elsewhere import warning
from cerebelum.core.errors import CerebelumError, UsageError
from cerebelum.core.events import GENESIS, AnyEvent, ExecutionResumed, ExecutionStarted, Queued, encode
from cerebelum.core.evolve import evolve
from cerebelum.core.ids import check_id, check_tags
from cerebelum.core.model import Concurrency, Workflow
from cerebelum.core.resume_options import ResumeOptions
from cerebelum.core.state import State
from cerebelum.core.step_kind import Defines
from cerebelum.core.summary import summarise
from cerebelum.engine import ownership, preflight, requests
from cerebelum.engine.handing import check_pool
from cerebelum.engine.ids import new_id
from cerebelum.engine.preflight import Checked
from cerebelum.engine.queueing import Place, Replacing, concurrency_of, refuse_if_held
from cerebelum.engine.session import Prepared, Result, Stoppable, drive, prepare, signals
from cerebelum.engine.settings import DEFAULTS, Settings
from cerebelum.engine.take_over import end_runner
from cerebelum.engine.timetable import TAG, Due, Timetable
from cerebelum.host.clock import Clock
from cerebelum.host.process_tree import host_name
from cerebelum.host.surroundings import current_folder, surroundings
from cerebelum.steps.executor import Executor, leaving_nothing
from cerebelum.steps.secrets import refuse_in_definition
from cerebelum.store import Conflict, EventStore, Fenced, Ownership, Query, Row, lookup
from cerebelum.store.liveness import reported_dead
from cerebelum.store.lookup import Log
from cerebelum.store.pooling import Pool, Worker, check_priority, check_queues, pool_of

if TYPE_CHECKING:
    from datetime import datetime

    from cerebelum.core.plan import Plan
    from cerebelum.engine.supervisor import Entered, Supervisor


def _nothing(told: object) -> None:
    return None


class Driver(msgspec.Struct, frozen=True):
    """Drives executions in this process. The methods are those of `Verbs`, which says what they raise."""

    store: EventStore
    executors: Mapping[str, Executor]
    environ: Mapping[str, str]
    clock: Clock
    settings: Settings = DEFAULTS
    heed_signals: bool = False
    on_start: Callable[[str], None] = _nothing
    on_note: Callable[[str], None] = _nothing
    on_engine: Callable[[Stoppable], None] = _nothing
    by: str | None = None
    """Who asked for it, where that is not this user."""
    correlation_id: str | None = None
    """What somebody else knows an execution by that is started."""

    def run(
        self,
        path: Path | Defines,
        inputs: Mapping[str, Any],
        execution_id: str | None,
        or_resume: bool,
        tags: tuple[str, ...],
        lock: str | None = None,
    ) -> Result:
        """Start an execution, or go on with the one that has this id."""
        if execution_id is not None:
            check_id(execution_id)
            found = self.store.find(Query(id=execution_id, limit=1)).rows
            if found and or_resume:
                return self._go_on(execution_id, path, inputs)
            if found:
                hint = "choose another id, or go on with it: --or-resume"
                raise UsageError(f"there is an execution {execution_id} already", hint=hint)
            lookup.check_unused(self.store, execution_id)
        elif or_resume:
            raise UsageError("--or-resume needs --id", hint="the id says which execution to go on with")
        check_tags(tags)
        labels = tags if execution_id is None else (*tags, execution_id)
        start = preflight.check(path, inputs, labels, self.executors, self.environ, lock=lock, here=self.settings.here)
        try:
            return self._begin(start, execution_id, tags)
        except (Conflict, Fenced):
            if execution_id is not None and or_resume:
                # Somebody else started it at the same instant: this one has come second.
                return self._go_on(execution_id, path, inputs)
            raise UsageError(f"there is an execution {execution_id} already", hint="choose another id") from None

    def submit(
        self,
        path: Path | Defines,
        inputs: Mapping[str, Any],
        execution_id: str | None,
        tags: tuple[str, ...],
        queued: Queued,
        working_dir: Path | None,
        lock: str | None = None,
    ) -> str:
        """Put a new execution into a queue; its id. Secrets are the worker's business."""
        pool = pool_of(self.store)
        check_queues([queued.name])
        check_priority(queued.priority)
        if execution_id is not None:
            check_id(execution_id)
            lookup.check_unused(self.store, execution_id)
        check_tags(tags)
        labels = tags if execution_id is None else (*tags, execution_id)
        start = preflight.check(path, inputs, labels, self.executors, self.environ, lenient=True, lock=lock)
        name = execution_id or new_id(start.workflow.name)
        event = self._started(start, tags, queue=queued, folder=working_dir)
        try:
            self._enqueue(pool, name, event, queued)
        except Conflict:
            raise UsageError(f"there is an execution {name} already", hint="choose another id") from None
        return name

    def _enqueue(self, pool: Pool, name: str, event: ExecutionStarted, queued: Queued) -> None:
        [entry] = encode(name, [event], GENESIS)
        pool.submit(name, entry, summarise(evolve(None, event, name), entry.digest), queued)
        for listener in self._announcing().listeners:
            listener(name, event)

    def _go_on(self, execution_id: str, path: Path | Defines, inputs: Mapping[str, Any]) -> Result:
        state = lookup.read(self.store, execution_id).state
        preflight.check_same_inputs(state, path, inputs, self.executors)
        if state.ended == "completed":
            self.on_start(execution_id)
            return Result(execution_id, "ended", state, already=True)
        try:
            return self.resume(execution_id, ResumeOptions(file=path, working_dir=self._folder_here(state)))
        except UsageError:
            # Its runner may have completed it meanwhile, which is as good as if it had before.
            state = lookup.read(self.store, execution_id).state
            if state.ended != "completed":
                raise
            self.on_start(execution_id)
            return Result(execution_id, "ended", state, already=True)

    def _folder_here(self, state: State) -> Path | None:
        """The current folder, where this is another machine than before, and does not have the folder it was in."""
        missing = preflight.missing_elsewhere(state)
        if missing is None:
            return None
        folder = current_folder()
        self.on_note(f"{missing}; going on in {folder}")
        return folder

    def _begin(
        self,
        start: Checked,
        execution_id: str | None,
        tags: tuple[str, ...],
        *,
        parent: str | None = None,
        reused: Mapping[str, Any] | None = None,
    ) -> Result:
        check_pool(self.store, start.workflow, self.settings.here)
        execution_id = execution_id or new_id(start.workflow.name)
        event = self._started(start, tags, parent=parent, reused=reused)
        with self._registered() as registration:
            return self._own_and_drive(execution_id, event, registration, start.prepared)

    def _own_and_drive(
        self, execution_id: str, event: ExecutionStarted, registration: ownership.Registration, prepared: Prepared
    ) -> Result:
        fence = Ownership(registration.runner.id, 1)
        self._heed_policy(execution_id, event.concurrency, fence)
        return self._drive(execution_id, Opened(event), registration, fence, prepared)

    def _started(
        self,
        start: Checked,
        tags: tuple[str, ...],
        *,
        folder: Path | None = None,
        parent: str | None = None,
        reused: Mapping[str, Any] | None = None,
        queue: Queued | None = None,
        scheduled_for: datetime | None = None,
    ) -> ExecutionStarted:
        return ExecutionStarted(
            version=1,
            at=self.clock.now(),
            workflow=start.workflow.name,
            definition=start.workflow,
            source=start.source,
            inputs=start.inputs,
            environment=surroundings(folder or current_folder()),
            tags=tags,
            correlation_id=self.correlation_id,
            by=self.by,
            concurrency=start.concurrency,
            parent=parent,
            reused=dict(reused or {}),
            queue=queue,
            scheduled_for=scheduled_for,
        )

    def fork(self, parent: str, inputs: Mapping[str, Any], execution_id: str | None, choice: ResumeOptions) -> Result:
        """Start a new execution with what an old one completed before `choice.from_step`."""
        if execution_id is not None:
            check_id(execution_id)
            lookup.check_unused(self.store, execution_id)
        state = lookup.read(self.store, parent).state
        definition = self._definition(state, choice)
        known = {name: value for name, value in state.inputs.items() if name in definition.workflow.inputs}
        plan = self._plan(state, definition.workflow, choice)
        if plan.blocked:
            raise plan.refusal()
        self._warn(plan)
        start = preflight.check_definition(
            definition, {**known, **inputs}, state.tags, self.environ, here=self.settings.here
        )
        kept = [r.step for r in plan.rows if r.action in ("KEEP", "CHANGED")]
        reused = {s: state.steps[s].output for s in kept if state.steps[s].status == "completed"}
        try:
            return self._begin(start, execution_id, state.tags, parent=parent, reused=reused)
        except Conflict:
            raise UsageError(f"there is an execution {execution_id} already", hint="choose another id") from None

    def plan(self, execution_id: str, choice: ResumeOptions) -> Plan:
        """What `resume` would do to each step."""
        state = lookup.read(self.store, execution_id).state
        return self._plan(state, self._definition(state, choice).workflow, choice)

    def resume(self, execution_id: str, choice: ResumeOptions) -> Result:
        """Become the owner of an execution and go on with it."""
        log = lookup.read(self.store, execution_id)
        preflight.check_resumable(log.state, again=choice.anew or choice.from_step is not None)
        if not choice.take_over:
            ownership.refuse_if_alive(log.row)
        definition = self._definition(log.state, choice)
        if definition.note:
            self.on_note(definition.note)
        if (plan := self._plan(log.state, definition.workflow, choice)).blocked:
            raise plan.refusal()
        check_pool(self.store, definition.workflow, self.settings.here)
        prepared = prepare(
            definition.workflow, self.environ, preflight.needed_here(definition.workflow, self.settings.here)
        )
        refuse_in_definition(definition.workflow, (), prepared.masker)
        folder = preflight.folder_for(log.state, choice.working_dir)
        inputs = preflight.inputs_for(log.state, definition.workflow)
        if choice.take_over:
            end_runner(self.store, log.row, self.on_note)
        with (
            self._registered() as registration,
            ownership.taken(self.store, log.row, registration, self.clock) as fence,
        ):
            before, log = log.state, lookup.read_on(self.store, log)
            preflight.check_untouched(before, log.state)
            plan = self._plan(log.state, definition.workflow, choice)
            self._warn(plan)
            if log.state.concurrency is not None and (log.state.ended or log.state.paused):
                # Should it have died before it could take its claim away: it comes last now.
                self.store.unclaim(execution_id, fence)
            self._heed_policy(execution_id, log.state.concurrency, fence)
            event = ExecutionResumed(
                version=log.state.version + 1,
                at=self.clock.now(),
                reason="manual",
                from_step=choice.from_step,
                rerun=plan.rerun,
                definition=definition.workflow if plan.changed else None,
                source=definition.source if definition.source != log.state.source else None,
                inputs=inputs if inputs != log.state.inputs else None,
                accepted=plan.accepted,
                epoch=fence.epoch,
                environment=surroundings(folder),
                continues=plan.continues_handlers,
                by=self.by,
            )
            return self._drive(execution_id, Opened(event), registration, fence, prepared, log)

    def _heed_policy(self, execution_id: str, concurrency: Concurrency | None, fence: Ownership) -> None:
        """Raises OwnedElsewhere where the lock is held and the policy is to fail, before anything is recorded."""
        if concurrency is not None:
            refuse_if_held(Place(self.store, self.clock, execution_id, concurrency.group, fence), concurrency)

    def finish(self, row: Row) -> None:
        """See to it that a request is met, if nobody drives the execution who would."""
        if row.ownership.owner is not None and not reported_dead(row):
            return
        with self._registered() as registration:
            supervisor = self._supervisor(registration, _nothing, 1)
            self.on_engine(supervisor)
            with signals(supervisor) if self.heed_signals else nullcontext():
                supervisor.take_up(row)

    def supervise(
        self, *, once: bool, most: int, tell: Callable[[str], None], files: Sequence[Path] = ()
    ) -> Stopping | None:
        """Drive whatever is due and driven by nobody."""
        timetable = self._timetable(files, tell, lenient=False)
        with self._registered() as registration:
            supervisor = self._supervisor(registration, tell, most)
            supervisor.timetable, supervisor.begin = timetable, partial(self._begin_due, registration)
            with signals(supervisor) if self.heed_signals else nullcontext():
                return supervisor.run(once=once)

    def work(
        self,
        queues: Sequence[str],
        labels: Sequence[str],
        *,
        concurrency: int,
        most_resurrections: int,
        once: bool,
        tell: Callable[[str], None],
        files: Sequence[Path] = (),
    ) -> Stopping | None:
        """Drive what comes from queues, until stopped or drained."""
        from cerebelum import __version__
        from cerebelum.engine.pool import PARK_AFTER, PoolWorker, refuse_newer

        pool = pool_of(self.store)
        queues = check_queues(queues)
        timetable = self._timetable(files, tell, lenient=True)
        with self._registered() as registration:
            supervisor = self._supervisor(registration, tell, concurrency)
            supervisor.settings = msgspec.structs.replace(
                self.settings, park_after=PARK_AFTER, most_deaths=most_resurrections, on_note=tell
            )
            supervisor.most_resurrections, supervisor.check = most_resurrections, refuse_newer
            served = Worker(registration.runner, queues, tuple(labels), concurrency, __version__)
            worker = PoolWorker(supervisor, served, timetable, partial(self._submit_due, pool, Queued(queues[0])))
            self.on_engine(worker)
            with signals(worker) if self.heed_signals else nullcontext():
                return worker.run(pool, once=once)

    # -- what schedules start -----------------------------------------------------------------------------------------

    def _timetable(self, files: Sequence[Path], tell: Callable[[str], None], *, lenient: bool) -> Timetable:
        def check(path: Path) -> Checked:
            checked = preflight.check(path, {}, (), self.executors, self.environ, lenient=lenient, scheduled=True)
            check_pool(self.store, checked.workflow, self.settings.here)
            return checked

        return Timetable(self.store, self.clock, check, files, tell)

    def _scheduled(self, due: Due, start: Checked, queue: Queued | None = None) -> ExecutionStarted:
        by = msgspec.structs.replace(self, by="schedule")
        return by._started(start, (TAG,), queue=queue, scheduled_for=due.at)

    def _begin_due(self, registration: ownership.Registration, due: Due, start: Checked, entered: Entered) -> Result:
        how = msgspec.structs.replace(self, settings=self._parking(), heed_signals=False, on_engine=entered)
        return how._own_and_drive(due.execution_id, self._scheduled(due, start), registration, start.prepared)

    def _submit_due(self, pool: Pool, queued: Queued, due: Due, start: Checked) -> None:
        # Nobody owns it yet; whoever takes it finds the lock claimed for it.
        self._heed_policy(due.execution_id, start.concurrency, Ownership(None, 0))
        self._enqueue(pool, due.execution_id, self._scheduled(due, start, queued), queued)

    def _definition(self, state: State, choice: ResumeOptions) -> preflight.Definition:
        return preflight.definition_for(state, choice.file, choice.recorded, self.executors)

    def _plan(self, state: State, workflow: Workflow, choice: ResumeOptions) -> Plan:
        from cerebelum.core.plan import make_plan

        return make_plan(
            state,
            workflow,
            from_step=choice.from_step,
            anew=choice.anew,
            accept_changes=choice.accept_changes,
            here=host_name(),
            leaving_nothing=leaving_nothing(self.executors),
        )

    def _warn(self, plan: Plan) -> None:
        if plan.elsewhere:
            self.on_note(warning(plan.elsewhere))

    def _registered(self) -> ownership.Registration:
        return ownership.Registration(self.store, self.clock, self.environ)

    def _supervisor(self, registration: ownership.Registration, tell: Callable[[str], None], most: int) -> Supervisor:
        from cerebelum.engine.supervisor import Supervisor

        settings = msgspec.structs.replace(self._parking(), on_note=tell)
        return Supervisor(self.store, self.executors, self.environ, self.clock, registration, settings, tell, most)

    def _parking(self) -> Settings:
        return msgspec.structs.replace(self.settings, park=True)

    def _drive(
        self,
        execution_id: str,
        opened: Opened,
        registration: ownership.Registration,
        fence: Ownership,
        prepared: Prepared,
        log: Log | None = None,
    ) -> Result:
        limit = concurrency_of(opened.event, log.state if log else None)
        replaces = limit is not None and limit.policy == "cancel_running"
        return drive(
            self.store,
            execution_id,
            opened,
            registration=registration,
            fence=fence,
            executors=self.executors,
            environ=self.environ,
            prepared=prepared,
            clock=self.clock,
            settings=self._announcing(),
            state=log.state if log else None,
            digest=log.digest if log else GENESIS,
            heed_signals=self.heed_signals,
            on_engine=self.on_engine,
            replacing=Replacing(partial(self._cancel, execution_id)) if replaces else None,
        )

    def _cancel(self, execution_id: str, other: str) -> None:
        """Have an execution cancelled that this one replaces, by this process if nobody drives it."""
        make = partial(requests.cancel, by=self.by or execution_id, why=f"replaced by {execution_id}")
        try:
            log = requests.request(self.store, self.clock, other, make)
            self.on_note(f"asked {other} to cancel, which this one replaces")
            msgspec.structs.replace(self, on_engine=_nothing).finish(log.row)
        except CerebelumError as error:
            # It ended by itself, most of the time; otherwise it is waited for, as it would be without this.
            self.on_note(f"{other}: {error.message}")

    def _announcing(self) -> Settings:
        """The settings, with `on_start(id)` called once the first event is recorded."""
        told: list[str] = []

        def tell(execution_id: str, event: AnyEvent) -> None:
            if not told:
                told.append(execution_id)
                self.on_start(execution_id)

        return msgspec.structs.replace(self.settings, listeners=(tell, *self.settings.listeners), on_note=self.on_note)
