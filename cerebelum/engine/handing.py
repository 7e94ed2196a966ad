"""Steps that workers perform, as the one who drives the execution sees to them: hands them over, and notices whose
worker died.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

import msgspec

from cerebelum.core.decide import Ended
from cerebelum.core.errors import StoreError, UsageError
from cerebelum.core.events import AnyEvent, Entry, StepHandedOver, StepInterrupted
from cerebelum.core.model import Workflow
from cerebelum.core.outcome import Interrupted
from cerebelum.core.state import State
from cerebelum.core.summary import Summary
from cerebelum.engine.echo import Echo
from cerebelum.engine.leftovers import clear_attempt
from cerebelum.engine.settings import Settings
from cerebelum.host.clock import Clock
from cerebelum.store import EventStore, Ownership
from cerebelum.store.liveness import DEAD_SECONDS, judge
from cerebelum.store.pooling import Handover, HasPool, pool_of, step_key, takers

_LOOK_SECONDS = 3.0
_ECHO_SECONDS = 0.5


class Watch:
    """Which workers of a store are dead: at once on this machine, otherwise after watching their beats."""

    def __init__(self, store: EventStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._beats: dict[str, tuple[int, float]] = {}

    def dead(self, ids: Iterable[str]) -> set[str]:
        """Those of the workers that are dead; whoever is not in the list has signed off, or was struck off it.

        Of a store without queues, to which the execution was copied, nobody is a worker.
        """
        workers = pool_of(self._store).workers() if isinstance(self._store, HasPool) else []
        there = {worker.runner.id: worker.runner for worker in workers}
        found = set()
        for name in ids:
            verdict = "dead" if name not in there else judge(there[name])
            if verdict == "dead" or (verdict == "unknown" and self._stands_still(name, there[name].beat)):
                found.add(name)
        return found

    def _stands_still(self, name: str, beat: int) -> bool:
        now = self._clock.elapsed()
        seen, since = self._beats.get(name, (-1, now))
        since = since if seen == beat else now
        self._beats[name] = beat, since
        return now - since >= DEAD_SECONDS


class Changed(msgspec.Struct, frozen=True):
    """What is appended: the state before (None: there was none), the events, and the state after them."""

    before: State | None
    events: Sequence[AnyEvent]
    after: State


class Handing:
    """The steps of one execution that workers perform, for the engine that drives it."""

    def __init__(self, store: EventStore, execution_id: str, clock: Clock, settings: Settings) -> None:
        self._store = store
        self._execution_id = execution_id
        self._clock = clock
        self._note = settings.on_note
        self._echo = Echo(store, execution_id, settings.live)
        self._noted: set[tuple[str, tuple[str, ...]]] = set()
        self._watch = Watch(store, clock)
        self._looked = self._echoed = 0.0

    def append(
        self,
        expected: int,
        entries: Sequence[Entry],
        changed: Changed,
        summary: Summary,
        fence: Ownership,
        *,
        release: bool,
    ) -> None:
        """`EventStore.append`, with the jobs of the steps that are handed over by that. Raises what that does."""
        kinds = set(map(type, changed.events))
        handed = [e for e in changed.events if isinstance(e, StepHandedOver)] if StepHandedOver in kinds else []
        if handed:
            jobs = [_job(changed.after, event) for event in handed]
            pool_of(self._store).hand_over(
                self._execution_id, expected, entries, summary, jobs, fence=fence, release=release
            )
        else:
            self._store.append(self._execution_id, expected, entries, summary, fence=fence, release=release)
        if StepInterrupted in kinds:
            self._withdraw(changed)
        if handed:
            self._say_who_serves(handed)

    def _withdraw(self, changed: Changed) -> None:
        """Remove the jobs of what was taken back, so that nobody counts them as waiting."""
        back = [e.step for e in changed.events if isinstance(e, StepInterrupted) and e.why == "withdrawn"]
        if not back or changed.before is None or not isinstance(self._store, HasPool):
            return
        gone = [changed.before.steps[step].handed for step in back]
        keys = [step_key(self._execution_id, event.step, event.version) for event in gone if event is not None]
        # Whoever takes one all the same finds that there is nothing to do.
        with suppress(StoreError, UsageError):
            pool_of(self._store).withdraw(keys)

    def offer(self, state: State) -> None:
        """See that what waits for a worker has a job: it may have come from another store."""
        waiting = [state.steps[step_id].handed for step_id in state.active.at("waiting_for_worker")]
        handed = [event for event in waiting if event is not None]
        if handed:
            pool_of(self._store).offer(self._execution_id, [_job(state, event) for event in handed])
            self._say_who_serves(handed)

    def look(self, state: State) -> list[Ended]:
        """Attempts that ended because their worker died, if it is time to look; shows what the others print."""
        now = self._clock.elapsed()
        if not state.active.count("on_worker"):
            return []
        if now - self._echoed >= _ECHO_SECONDS:
            self._echoed = now
            self._echo.look(state)
        if now - self._looked < _LOOK_SECONDS:
            return []
        self._looked = now
        taken = {step_id: state.steps[step_id].taken for step_id in state.active.at("on_worker")}
        dead = self._watch.dead({event.worker for event in taken.values() if event is not None})
        lost = [step_id for step_id, event in taken.items() if event is not None and event.worker in dead]
        for step_id in lost:
            clear_attempt(self._store, state, step_id)
        return [Ended(step_id, Interrupted(), why="runner_died") for step_id in lost]

    def hear(self, event: AnyEvent) -> None:
        """What was recorded, before anybody else is told of it."""
        self._echo.hear(event)

    def _say_who_serves(self, handed: Iterable[StepHandedOver]) -> None:
        if self._note is None:
            return
        for event in handed:
            if (event.queue, event.labels) in self._noted:
                continue
            self._noted.add((event.queue, event.labels))
            key = step_key(self._execution_id, event.step, event.version)
            found = takers(pool_of(self._store).workers(), event.queue, event.labels, key)
            if not found.able:
                told = nobody_serves(event.step, event.queue, event.labels, found.serving)
                self._note(f"{self._execution_id}: {told}")


def check_pool(store: EventStore, workflow: Workflow, here: bool) -> None:
    """Raises UsageError for steps that are workers' business where the store has no queues."""
    placed = [step for step in workflow.every_step() if step.runs_on is not None]
    if not placed or here:
        return
    try:
        pool_of(store)
    except UsageError as error:
        step = placed[0]
        assert step.runs_on is not None
        raise UsageError(
            f"step {step.id} runs on a worker of the queue {step.runs_on.queue}, and {error.message}",
            hint="name a store with --store postgresql://… or CEREBELUM_STORE; `run` and `resume` have everything"
            " performed here with --here",
        ) from None


def nobody_serves(step: str, queue: str, labels: Sequence[str], serving: int) -> str:
    """That a step waits for a worker that there is not."""
    command = f"cerebelum worker --queue {queue}" + (f" --labels {','.join(labels)}" if labels else "")
    who = f"none of its workers has the labels {', '.join(labels)}" if serving else "no worker serves it"
    return f"step {step} waits for a worker of the queue {queue}, and {who}; start one with: {command}"


def _job(state: State, event: StepHandedOver) -> Handover:
    priority = state.queue.priority if state.queue is not None else 0
    return Handover(event.step, event.version, event.queue, event.labels, priority)
