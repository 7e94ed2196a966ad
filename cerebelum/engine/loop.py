"""The one loop: a happening is decided, what follows is appended and folded, and what became runnable is started.

`run`, `resume` and a takeover after a crash all enter it; they differ in the first event only.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from datetime import datetime
from functools import partial
from typing import Literal

from cerebelum.core import phases
from cerebelum.core.decide import Circumstances, Ended, Happening, Nudge, Opened, Stopping, decide
from cerebelum.core.errors import CerebelumError, StoreError
from cerebelum.core.events import (
    GENESIS,
    AnyEvent,
    ExecutionResumed,
    SleepCompleted,
    StepStarted,
    decode,
    encode,
)
from cerebelum.core.evolve import evolve
from cerebelum.core.outcome import Outcome
from cerebelum.core.state import State
from cerebelum.core.summary import summarise
from cerebelum.engine import ids, performing, prepare
from cerebelum.engine.attempts import STOP_GRACE, Attempts, cut_off_by
from cerebelum.engine.handing import Changed, Handing
from cerebelum.engine.orders import Order, Orders
from cerebelum.engine.outside import POLL_SECONDS, Outside, Told
from cerebelum.engine.ownership import is_taken, lost_store
from cerebelum.engine.prepare import Surroundings
from cerebelum.engine.queueing import Place
from cerebelum.engine.settings import DEFAULTS, Settings
from cerebelum.engine.timers import ABANDON_AFTER, Timers, overtime_at, patience
from cerebelum.engine.workers import Workers
from cerebelum.host import faults
from cerebelum.host.clock import Clock
from cerebelum.steps.attempt import Attempt
from cerebelum.steps.executor import StopReason
from cerebelum.steps.log import LogWriter
from cerebelum.steps.perform import output_problem
from cerebelum.store import Conflict, EventStore, Fenced, Ownership

Item = Ended | BaseException | Literal["turn"] | Order | Told
"""What other threads have to tell the loop; `turn`: one of them had its turn, which the loop has to look at."""
End = Literal["ended", "paused", "parked", "fenced"]
_BEGINNINGS = (StepStarted, SleepCompleted)


class Engine(Orders):
    """Drives one execution from its first event, or from the state it was left in, until it ends or rests."""

    def __init__(
        self,
        store: EventStore,
        execution_id: str,
        around: Surroundings,
        *,
        fence: Ownership,
        settings: Settings = DEFAULTS,
        state: State | None = None,
        digest: str = GENESIS,
        place: Place | None = None,
        workers: Workers | None = None,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self.store = store
        self.execution_id = execution_id
        self.around = around
        self.clock: Clock = around.clock
        self.fence = fence
        self.settings = settings
        self._state = state
        self.digest = digest
        self._chance = chance or ids.chance
        self._workers = workers or Workers()
        self._inbox: queue.SimpleQueue[Item] = queue.SimpleQueue()
        super().__init__(self._inbox.put, Attempts(self.clock, settings.grace))
        self._timers = Timers()
        self._stopping: Stopping | None = None
        self._stop_by: float | None = None
        self._fenced = False
        # Whether the last event appended here gave up the ownership; that of a successor, which is folded too, did not.
        self._released = False
        self._broken: StoreError | None = None
        self._place = place
        self._handing = Handing(store, execution_id, around.clock, settings)
        self._outside = Outside(store, execution_id, self._inbox.put)
        self._looked = self.clock.elapsed()
        self._overtime_at: float | None = None
        self._log = LogWriter(store, execution_id, self._inbox.put)
        # Who has this may decide and append: the loop while it does not wait, or a worker for a moment. Once the loop
        # has ended, nobody.
        self._turn = threading.Lock()
        self._wanted = False
        self._wakes_at = 0.0

    @property
    def state(self) -> State:
        assert self._state is not None
        return self._state

    # -- the loop -----------------------------------------------------------------------------------------------------

    def drive(self, opened: Opened) -> End:
        """Append the first event of this segment, and go on until the execution has ended, is paused, or may park.

        Raises StoreError when the store fails (the running attempts have been ended then), and Conflict if an
        execution that is to be created is there already.
        """
        try:
            if isinstance(opened.event, ExecutionResumed) and opened.event.continues:
                # The segment that goes on may be over its time limit already.
                self._set_timers((), self.clock.now(), self.clock.elapsed())
            self._turn.acquire()
            self._hand_out(self._commit([opened]), self.state)
            self._outside.listen()
            self._handing.offer(self.state)
            if self._place is not None and self.state.awaiting_lock:
                self._place.listen(self._inbox.put)
                self._hand_out(self._commit(self._place.look()), self.state)
            while (end := self._rest()) is None or (end == "parked" and not self._let_go()):
                happenings = self._await()
                if self._lost:
                    raise lost_store()
                if self._fenced:
                    self._end_attempts("fenced")
                    return "fenced"
                self._hand_out(self._commit(happenings), self.state)
            return end
        except Fenced:
            self._end_attempts("fenced")
            return "fenced"
        except BaseException:
            self._end_attempts("stopped")
            raise
        finally:
            self._outside.close()
            self._log.close()
            self._workers.close()

    def _rest(self) -> End | None:
        state = self.state
        if self._attempts.going:
            return None
        if state.ended or state.paused:
            return "ended" if state.ended else "paused"
        if self._stopping is not None and self._stopping.hand_over:
            return "parked"
        if state.awaiting_lock is not None:
            return "parked" if self.settings.park or self.settings.park_after is not None else None
        kinds = phases.awaited_kinds(state)
        if "on_worker" in kinds and (state.cancel or state.pausing):
            # Its worker is about to tell.
            late = self._stop_by is not None and self.clock.elapsed() >= self._stop_by
            return "parked" if late else None
        if kinds and not kinds & {"running", "answered", "reported"}:
            now = self.clock.elapsed()
            if self._timers.due(now):
                return None
            left = None if (wait := self._timers.next(now)) is None else wait - now
            long = self.settings.park_after is not None and (left is None or left > self.settings.park_after)
            if self.settings.park or long:
                return "parked"
        return None

    def _let_go(self) -> bool:
        """Give up the ownership; False if somebody has appended meanwhile what nobody else would heed."""
        summary = summarise(self.state, self.digest)
        try:
            self.store.append(self.execution_id, self.state.version, [], summary, fence=self.fence, release=True)
        except Conflict:
            self._catch_up()
            return False
        return True

    def _await(self) -> list[Happening]:
        """Wait for something to happen, for at most until the next thing is due."""
        happenings: list[Happening] = []
        block = True
        while True:
            try:
                item = self._next() if block else self._inbox.get_nowait()
            except queue.Empty:
                break
            block = False
            if isinstance(item, Ended):
                self._attempts.going.pop(item.step, None)
                happenings.append(item)
            elif isinstance(item, Stopping):
                self._begin_stopping(item)
            elif isinstance(item, BaseException):
                raise item
            elif item == "hurry":
                self._attempts.ask_all_to_end("stopped", 0.0)
                self._stop_by = 0.0
            elif item == "news":
                self._outside.hurry()
            elif item == "turn":
                continue
            elif item == "fenced" or (not self._released and is_taken(self.store, self.execution_id, self.fence)):
                self._fenced = True
        if self._released:
            # A worker had the last word, and from then on somebody else may own it.
            return happenings
        self._allow_for_pause()
        self._watch_attempts()
        self._look_outside()
        if self._place is not None and self.state.awaiting_lock:
            happenings += self._place.look()
        happenings += self._handing.look(self.state)
        return happenings or [Nudge()]

    def _next(self) -> Item:
        """The next item, waited for as long as nothing is due; meanwhile a worker may have its turn. Raises Empty."""
        patience = self._patience()
        self._wakes_at = self.clock.elapsed() + patience
        self._turn.release()
        try:
            return self._inbox.get(timeout=patience)
        finally:
            self._wanted = True
            self._turn.acquire()
            self._wanted = False

    def _allow_for_pause(self) -> None:
        """Where this process stood still, time limits move on by as much: its steps may have stood still with it."""
        now = self.clock.elapsed()
        pause, self._looked = now - self._looked, now
        if self._attempts.allow_for_pause(pause) and self._overtime_at is not None:
            self._overtime_at += pause

    def _patience(self) -> float:
        if self.state.awaiting_lock is not None:  # What is due has to wait for the lock.
            return POLL_SECONDS
        if not self._attempts.going and self._inbox.empty():
            self._timers.let_pass(self.clock)
        now = self.clock.elapsed()
        return patience(self._attempts.going.values(), self._timers, self._overtime_at, now, POLL_SECONDS)

    def _begin_stopping(self, stopping: Stopping) -> None:
        first, self._stopping = self._stopping is None, self._stopping or stopping
        self._stop_by = self._stop_by or self.clock.elapsed() + STOP_GRACE + ABANDON_AFTER
        if stopping.gentle:
            return
        self._attempts.ask_all_to_end("stopped", self._attempts.stop_grace)
        if first and self._attempts.going and self.settings.on_stopping:
            self.settings.on_stopping([*self._attempts.going], self._attempts.stop_grace + ABANDON_AFTER)

    def _watch_attempts(self) -> None:
        for attempt in self._attempts.watch(self.state, self._overtime()):
            self._abandon(attempt)

    def _overtime(self) -> bool:
        """Whether the workflow's own time limit has passed."""
        return self._overtime_at is not None and self.clock.elapsed() >= self._overtime_at

    def _abandon(self, attempt: Attempt) -> None:
        """A thread cannot be killed: its attempt is over as far as the log goes, and no retry may run beside it."""
        if attempt.abandoned:
            return
        attempt.abandoned = True
        attempt.output.close()
        self._inbox.put(self._ended(attempt, attempt.outcome_of_leaving(), verified=False))

    def _look_outside(self) -> None:
        if self._outside.is_due(self.clock.elapsed()):
            self._catch_up()

    def _catch_up(self) -> None:
        """Fold what others appended."""
        events = []
        for entry in self.store.read(self.execution_id, self.state.version):
            event = decode(entry.text, where=self.execution_id)
            self._state = evolve(self._state, event)
            self.digest = entry.digest
            self._tell(event)
            events.append(event)
        self._timers.follow(self.state, events, self.clock.now(), self.clock.elapsed())
        self._attempts.heed_requests(self.state)

    # -- deciding and appending ---------------------------------------------------------------------------------------

    def _circumstances(self) -> Circumstances:
        now = self.clock.elapsed()
        return Circumstances(
            now=self.clock.now(),
            chance=self._chance(),
            due=self._timers.due(now),
            stopping=self._stopping,
            overtime=self._overtime(),
            here=self.settings.here,
            most_deaths=self.settings.most_deaths,
            condition=prepare.condition,
            result=self._result,
        )

    def _result(self, state: State) -> object:
        output = prepare.result(state)
        problem = output_problem(output, self.around.masker)
        if problem:
            raise CerebelumError(problem.message)
        return output

    def _commit(self, happenings: Sequence[Happening]) -> list[Attempt]:
        """Decide, append in one transaction, fold, tell; the attempts that begin. On a conflict: fold the tail and
        decide again.
        """
        while True:
            state = self._state
            events: list[AnyEvent] = []
            circumstances, now = self._circumstances(), self.clock.elapsed()  # in this order: no wait is cut short
            for happening in happenings:
                turn = decide(state, happening, circumstances, self.execution_id)
                state = turn.state
                events += turn.events
            if not events:
                return []
            assert state is not None
            entries = encode(self.execution_id, events, self.digest)
            expected = events[0].version - 1
            summary = summarise(state, entries[-1].digest)
            release = state.ended is not None or state.paused is not None
            try:
                faults.point("before-commit")
                changed = Changed(self._state, events, state)
                self._handing.append(expected, entries, changed, summary, self.fence, release=release)
                faults.point("after-commit")
            except Conflict:
                if self._state is None:
                    raise
                self._catch_up()
                continue
            break
        self._released = release
        self._state = state
        self.digest = entries[-1].digest
        for event in events:
            self._tell(event)
        self._set_timers(events, circumstances.now, now)
        self._attempts.heed_requests(self.state)
        return [
            self._begin(event.step, state)
            for event in events
            if isinstance(event, _BEGINNINGS) and state.active.get(event.step) == "running"
        ]

    def _tell(self, event: AnyEvent) -> None:
        self._handing.hear(event)
        for listener in self.settings.listeners:
            listener(self.execution_id, event)

    def _set_timers(self, events: Sequence[AnyEvent], today: datetime, now: float) -> None:
        """Follow `events`; `today` and `now` are the two clocks as they were when it was decided."""
        state = self.state
        self._timers.follow(state, events, today, now)
        if self._overtime_at is None or state.awaiting_lock is not None:
            self._overtime_at = overtime_at(state, today, now)

    # -- attempts -----------------------------------------------------------------------------------------------------

    def _begin(self, step_id: str, state: State) -> Attempt:
        attempt = self._attempts.going[step_id] = performing.begin(
            state, step_id, self.around, self.settings, self._log
        )
        return attempt

    def _hand_out(self, attempts: Iterable[Attempt], state: State) -> None:
        for attempt in attempts:
            self._workers.run(partial(self._work, attempt, state))

    def _work(self, attempt: Attempt | None, state: State) -> None:
        """In a worker thread: perform the attempt, and go on with one that follows from its end."""
        try:
            while attempt is not None:
                # What one attempt sets, such as the precision of decimals, the next one in this thread does not see.
                done = Context().run(performing.perform_attempt, attempt, state, self.store, self.around)
                if done.broken is not None:
                    self._inbox.put(done.broken)
                if attempt.abandoned:
                    return
                attempt, state = self._follow_up(self._ended(attempt, done.outcome, verified=done.verified))
        except BaseException as problem:
            # What went wrong with us.
            self._inbox.put(problem)

    def _follow_up(self, ended: Ended) -> tuple[Attempt | None, State]:
        """In a worker thread: what follows from the end of its attempt, and an attempt to go on with.

        To do that here saves waking the loop's thread and being woken by it, which takes longer than all the rest.
        Where that thread has something to do itself, it gets the news, and takes together what comes meanwhile.
        """
        if not self._turn.acquire(blocking=False):
            self._inbox.put(ended)
            return None, self.state
        try:
            if self._wanted or not self._inbox.empty():
                self._inbox.put(ended)
                return None, self.state
            self._attempts.going.pop(ended.step, None)
            attempts = self._commit([ended])
            self._hand_out(attempts[1:], self.state)
            if not self._attempts.going or self.clock.elapsed() + self._patience() < self._wakes_at:
                self._inbox.put("turn")
            return attempts[0] if attempts else None, self.state
        except BaseException as problem:
            self._inbox.put(problem)
            return None, self.state
        finally:
            self._turn.release()

    def _ended(self, attempt: Attempt, outcome: Outcome, *, verified: bool) -> Ended:
        why = cut_off_by(attempt, self._stopping, self.state)
        return Ended(attempt.step.id, outcome, self.clock.elapsed() - attempt.started, why, verified)

    def _end_attempts(self, reason: StopReason) -> None:
        """End what is running and wait for it, without recording anything."""
        self._attempts.end_all(reason, self._inbox)
