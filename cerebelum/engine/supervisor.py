"""Goes on with what nobody drives: executions of dead runners, waits that are over, approvals that were decided.

Everything runs in one process, one thread per execution that is being driven; what sleeps costs nothing but its row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec

from cerebelum.core.decide import Opened, Stopping
from cerebelum.core.elsewhere import left_elsewhere, warning
from cerebelum.core.errors import CerebelumError, OwnedElsewhere, StoreError, UsageError
from cerebelum.core.events import (
    AnyEvent,
    ExecutionFailed,
    ExecutionResumed,
    ResumeReason,
    StepError,
    StepInterrupted,
    encode,
)
from cerebelum.core.evolve import evolve
from cerebelum.core.state import State
from cerebelum.core.status import WAITING
from cerebelum.core.summary import summarise
from cerebelum.engine.handing import check_pool
from cerebelum.engine.leftovers import clear_leftovers
from cerebelum.engine.ownership import Registration, lost_store
from cerebelum.engine.preflight import Checked, folder_for
from cerebelum.engine.queueing import Line, whose_turn_it_is
from cerebelum.engine.session import Prepared, Result, Stoppable, drive, prepare
from cerebelum.engine.settings import Settings
from cerebelum.engine.timetable import Due, Timetable
from cerebelum.engine.workers import Workers
from cerebelum.host import faults
from cerebelum.host.bell import Bell
from cerebelum.host.clock import Clock
from cerebelum.host.process_tree import host_name
from cerebelum.host.surroundings import surroundings
from cerebelum.steps.executor import Executor, leaving_nothing
from cerebelum.steps.masking import Masker
from cerebelum.store import Change, Conflict, EventStore, Fenced, Ownership, Query, Row, every, lookup
from cerebelum.store.liveness import DEAD_SECONDS, judge, reported_dead
from cerebelum.store.lookup import Log

MOST_RESURRECTIONS = 3
"""Takeovers in a row without a completed step in between; after that the execution fails."""
_LOOK_SECONDS = 1.0
_FEW = 4
"""Executions that are being taken up at once: that is work for the processor, and more would be in each other's way."""
_STALLED_SECONDS = 0.02
"""When nothing happened for so long, those are waiting themselves, for a store that is far away or whatever it may be,
and twice as many are taken up."""
_STORE_PAUSE = 10.0
"""Seconds until an execution is tried again on which the store failed."""

Tell = Callable[[str], None]


class Driving(Stoppable, Protocol):
    """An engine, or a worker's errand."""

    execution_id: str


Entered = Callable[[Driving], None]
"""Told of what drives an execution, so that it can be stopped."""


class _Watched(msgspec.Struct):
    """A runner that only its beat can tell about: the last beat seen, and since when it stands still."""

    beat: int
    since: float
    suspect: bool
    """By the wall clock it is dead already."""


class Supervisor(msgspec.Struct):
    """Finds what is due and drives it. `tell` gets a line of text for each thing worth knowing."""

    store: EventStore
    executors: Mapping[str, Executor]
    environ: Mapping[str, str]
    clock: Clock
    registration: Registration
    settings: Settings
    tell: Tell
    most: int = 16
    """How many executions are driven at once."""
    most_resurrections: int = MOST_RESURRECTIONS
    check: Callable[[State], None] = lambda state: None
    """Raises CerebelumError for what is not to be driven here."""
    timetable: Timetable | None = None
    """Whose ticks are started here as well."""
    begin: Callable[[Due, Checked, Entered], Result] | None = None
    """Starts the execution of a tick and drives it; raises what starting one raises."""
    _driving: set[str] = msgspec.field(default_factory=set)
    _engines: dict[str, Driving] = msgspec.field(default_factory=dict)
    _watched: dict[str, _Watched] = msgspec.field(default_factory=dict)
    _refused: dict[str, int] = msgspec.field(default_factory=dict)
    """By execution: the version at which it could not be driven here."""
    _later: dict[str, float] = msgspec.field(default_factory=dict)
    """By execution on which the store failed: when it may be tried again."""
    _broken: StoreError | None = None
    _stopping: Stopping | None = None
    _changed: Bell = msgspec.field(default_factory=Bell)
    _drivers: Workers = msgspec.field(default_factory=partial(Workers, "cerebelum-drive"))
    _found: Iterator[Row] | None = None
    """What is left of the last look for what is due."""
    _looked: float = 0.0
    _heard: bool = False
    """Whether there may be something that the last look did not find."""
    _few: int = _FEW
    """How many may be taken up at once just now."""
    _lost: bool = False
    _line: Line | None = None

    def stop(self, stopping: Stopping) -> None:
        """Take up nothing more, and end the steps of what is being driven. Safe in a signal handler.

        Nobody asked for these executions to be paused: they are left for the next supervisor to go on with.
        """
        self._stopping = msgspec.structs.replace(stopping, hand_over=True)
        for engine in list(self._engines.values()):
            engine.stop(self._stopping)
        self._changed.ring()

    def hurry(self) -> None:
        """Kill the steps that are running."""
        for engine in list(self._engines.values()):
            engine.hurry()

    def run(self, *, once: bool) -> Stopping | None:
        """Look for work until told to stop (returned); with `once`, until nothing is due and all have ended or park."""
        self.registration.on_lost(self._lose)
        ending = self.store.subscribe(self._hear)
        try:
            while self._stopping is None and not self._lost:
                idle = not self._driving
                none = self._take_up_due()
                if self._start_due() and none and idle and once and not self._observing():
                    if self._broken is not None:
                        raise self._broken
                    return None
                self._await_change()
        except BaseException:
            self.stop(Stopping("signal"))
            raise
        finally:
            if ending is not None:
                ending()
            self.registration.no_longer(self._lose)
            while self._driving:
                self._changed.wait(_LOOK_SECONDS)
            self._drivers.close()
        if self._lost:
            raise lost_store()
        return self._stopping

    def _await_change(self) -> None:
        held_back = len(self._driving) < self.most and self._entering() >= self._few
        if not self._changed.wait(_STALLED_SECONDS if held_back else _LOOK_SECONDS) and held_back:
            self._few *= 2

    def _hear(self, change: Change) -> None:
        if change.kind in ("request", "owner", "unknown"):
            self._heard = True
            self._changed.ring()

    def _lose(self) -> None:
        self._lost = True
        self._changed.ring()

    def _observing(self) -> bool:
        """Whether the death of a runner that only its beat can tell about is about to be known."""
        return any(0 <= self.clock.elapsed() - w.since < DEAD_SECONDS for w in self._watched.values() if w.suspect)

    def _take_up_due(self) -> bool:
        """Drive what is due, as much as may be driven at once; True if nothing is due.

        What is left over is gone on with as soon as there is room, without looking for it again: with many that are
        due, that would take longer than driving them.
        """
        if self._heard or self.clock.elapsed() - self._looked >= _LOOK_SECONDS:
            self._found = None
        while True:
            anew = self._found is None
            if self._found is None:
                self._heard, self._looked, self._few = False, self.clock.elapsed(), _FEW
                self._found = self._due()
            none = True
            while self._has_room():
                row = next(self._found, None)
                if row is None:
                    break
                none = not self._take_up_soon(row) and none
            else:
                return False
            self._found = None
            if anew:
                return none

    def _has_room(self) -> bool:
        if self._stopping is not None:
            return False
        return len(self._driving) < self.most and self._entering() < self._few

    def _entering(self) -> int:
        """How many are being taken up, and not driven yet."""
        return len(self._driving) - len(self._engines)

    def _take_up_soon(self, row: Row) -> bool:
        """Have an execution driven, unless it is, or is not to be."""
        execution_id = row.summary.execution_id
        if execution_id in self._driving or self._refused.get(execution_id) == row.summary.version:
            return False
        if self._later.get(execution_id, 0.0) > self.clock.elapsed():
            return False
        if not self.nobody_drives(row):
            return False
        self._begin_work(execution_id, row.summary.version, partial(self.take_up, row))
        return True

    def _start_due(self) -> bool:
        """Start a thread for each tick of a schedule that is due; True if there was none."""
        none = True
        for due in self.timetable.due() if self.timetable is not None else ():
            if due.execution_id in self._driving or self._later.get(due.execution_id, 0.0) > self.clock.elapsed():
                continue
            if not self._has_room():
                return False
            none = False
            self._begin_work(due.execution_id, 0, partial(self._start, due))
        return none

    def _start(self, due: Due) -> Result | None:
        """Start the execution of a tick and drive it, unless somebody else was first, or it is not to overlap."""
        assert self.timetable is not None
        assert self.begin is not None
        faults.point("tick")
        try:
            return self.begin(due, self.timetable.start(due), self.entered)
        except (Conflict, Fenced):
            self.timetable.settle(due)
        except OwnedElsewhere as error:
            self.timetable.settle(due, error.message)
        except UsageError:
            # Its file may be mended at any time.
            self._later[due.execution_id] = self.clock.elapsed() + _STORE_PAUSE
            raise
        return None

    def _begin_work(self, execution_id: str, version: int, drive: Callable[[], Result | None]) -> None:
        self._driving.add(execution_id)
        try:
            self._drivers.run(partial(self._work, execution_id, version, drive))
        except BaseException:
            # There may be no more threads.
            self._driving.discard(execution_id)
            raise

    def _due(self) -> Iterator[Row]:
        """Executions that may have to be taken up: running ones by their log, and those whose time has come."""
        now = self.clock.now()
        for query in (Query(status=("running",)), Query(status=WAITING, due_before=now)):
            yield from every(self.store, query)
        yield from self._next_in_line(list(every(self.store, Query(status=("waiting_for_lock",)))))

    def has_its_turn(self, row: Row) -> bool:
        """Whether nothing comes before an execution that waits for the lock of its group."""
        return bool(self._next_in_line([row]))

    def _next_in_line(self, rows: list[Row]) -> list[Row]:
        self._line = self._line or Line(self.store, self.clock)
        return whose_turn_it_is(self.store, self._line, rows)

    def nobody_drives(self, row: Row) -> bool:
        """Whether the owner of an execution is known to be dead; where only its beat can tell, after some looks."""
        if row.ownership.owner is None or row.runner is None:
            return True
        if row.ownership.owner == self.registration.runner.id:
            # Not among those being driven: it could not be let go.
            return True
        verdict = judge(row.runner)
        if verdict != "unknown":
            return verdict == "dead"
        now = self.clock.elapsed()
        watched = self._watched.get(row.runner.id)
        if watched is None or watched.beat != row.runner.beat:
            suspect = watched is None and reported_dead(row)
            self._watched[row.runner.id] = _Watched(row.runner.beat, now, suspect)
            return False
        return now - watched.since >= DEAD_SECONDS

    def _work(self, execution_id: str, version: int, drive: Callable[[], Result | None]) -> None:
        try:
            result = drive()
            if result is not None:
                self.tell(f"{execution_id}: {said(result)}")
        except (Fenced, Conflict):
            self.tell(f"{execution_id}: somebody else took it up")
        except StoreError as error:
            self._broken = error
            self._later[execution_id] = self.clock.elapsed() + _STORE_PAUSE
            self.tell(f"{execution_id}: the store failed: {error.text()}")
        except CerebelumError as error:
            self._refused[execution_id] = version
            self.tell(f"{execution_id}: left alone: {error.text()}")
        except Exception as error:
            self._refused[execution_id] = version
            self.tell(f"{execution_id}: left alone because of a bug of cerebelum: {type(error).__name__}: {error}")
        finally:
            self.let_go(execution_id)
            self._driving.discard(execution_id)
            self._changed.ring()

    def take_up(self, row: Row) -> Result | None:
        """Become the owner of an execution that nobody drives, and drive it; None if somebody else was first.

        Raises UsageError if its secrets are not at hand, StoreError.
        """
        execution_id = row.summary.execution_id
        # What cannot be driven here is left to others: look before taking it.
        before = lookup.read(self.store, execution_id)
        if before.row.ownership != row.ownership:
            return None
        prepared = self._prepared(before.state)
        fence = self.store.own(execution_id, self.registration.runner.id, row.ownership)
        faults.point("after-own")
        if fence is None:
            return None
        try:
            return self._go_on(before, fence, prepared)
        except BaseException:
            with suppress(StoreError):
                self.store.own(execution_id, None, fence)
            raise

    def _prepared(self, state: State) -> Prepared:
        """Secrets and mask. Raises UsageError if something is missing that the rest of the execution needs."""
        if not state.steps.begun() if state.cancel else state.pausing or state.paused or state.ended:
            # Nothing is performed.
            return Prepared({}, Masker({}))
        self.check(state)
        check_pool(self.store, state.workflow, self.settings.here)
        folder_for(state)
        here = [s for s in state.workflow.every_step() if s.runs_on is None or self.settings.here]
        missing = sorted({s.executor for s in here} - set(self.executors))
        if missing:
            hint = "name the plugin with --plugin, or install it"
            raise UsageError(f"no plugin here knows the executor {', '.join(missing)}", hint=hint)
        return prepare(state.workflow, self.environ)

    def _go_on(self, before: Log, fence: Ownership, prepared: Prepared) -> Result | None:
        execution_id = before.state.execution_id
        log = lookup.read_on(self.store, before)
        died = log.state.active.count("running") > 0
        asked = log.state.cancel or log.state.pausing
        if log.state.ended or (log.state.paused and not asked):
            self.store.own(execution_id, None, fence)
            return None
        if died and log.state.resurrections >= self.most_resurrections and not asked:
            return self._give_up(log, fence)
        taken = log.state.queued and not asked
        reason: ResumeReason = "resurrected" if died else "taken" if taken else "woken"
        left = left_elsewhere(log.state, log.state.workflow, host_name(), leaving_nothing(self.executors))
        self.tell(f"{execution_id}: {reason}" + (f"; {warning(left)}" if left and not asked else ""))
        event = ExecutionResumed(
            version=log.state.version + 1,
            at=self.clock.now(),
            reason=reason,
            epoch=fence.epoch,
            environment=surroundings(Path(log.state.environment.cwd)),
            continues=not taken,
        )
        return drive(
            self.store,
            execution_id,
            Opened(event),
            registration=self.registration,
            fence=fence,
            executors=self.executors,
            environ=self.environ,
            prepared=prepared,
            clock=self.clock,
            settings=self.settings,
            state=log.state,
            digest=log.digest,
            on_engine=self.entered,
        )

    def let_go(self, execution_id: str) -> None:
        """Forget an execution that is no longer driven."""
        self._engines.pop(execution_id, None)

    def entered(self, engine: Driving) -> None:
        """Have it stopped with everything else, from now on."""
        self._engines[engine.execution_id] = engine
        self._changed.ring()
        if self._stopping is not None:
            engine.stop(self._stopping)

    def _give_up(self, log: Log, fence: Ownership) -> Result:
        state = log.state
        message = f"its runner died {self.most_resurrections + 1} times in a row without completing a step"
        clear_leftovers(self.store, state)
        events: list[AnyEvent] = []
        for step_id in state.active.at("running"):
            stamp: dict[str, Any] = {"version": state.version + len(events) + 1, "at": self.clock.now()}
            events.append(
                StepInterrupted(step=step_id, attempt=state.steps[step_id].attempt, why="runner_died", **stamp)
            )
        error = StepError("resurrection_exhausted", message)
        events.append(ExecutionFailed(version=state.version + len(events) + 1, at=self.clock.now(), error=error))
        after = state
        for event in events:
            after = evolve(after, event)
        entries = encode(state.execution_id, events, log.digest)
        summary = summarise(after, entries[-1].digest)
        self.store.append(state.execution_id, state.version, entries, summary, fence=fence, release=True)
        if state.concurrency is not None:
            self.store.unclaim(state.execution_id, Ownership(None, fence.epoch))
        self.tell(f"{state.execution_id}: {message}; resume it by hand")
        return Result(state.execution_id, "ended", after)


def said(result: Result) -> str:
    """How it went, in a word."""
    if result.state.ended:
        return result.state.ended
    return "paused" if result.state.paused else result.end
