"""Two runners, a store and a clock, with kills, stops and takeovers in any order: no stale write, no double completion.

The runners take part with the real `decide` and `evolve` on a real store, each with the epoch it owns the execution
under; what is simulated is their processes and the time. Removing the fence (the check of the epoch inside `append`)
makes the model fail, which `test_without_the_fence_the_model_finds_a_stale_write` shows each time.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from cerebelum.backends.sqlite import open_store
from cerebelum.core.decide import Circumstances, Ended, Happening, Nudge, Opened, decide
from cerebelum.core.events import ExecutionResumed, ExecutionStarted, StepCompleted, StepStarted, decode, encode
from cerebelum.core.evolve import evolve
from cerebelum.core.outcome import Approval, Completed, Failed, Outcome, Sleep
from cerebelum.core.state import State
from cerebelum.core.summary import summarise
from cerebelum.engine.ownership import BEAT_SECONDS
from cerebelum.engine.requests import approve, request
from cerebelum.store import Conflict, Fenced, Ownership, Query, Runner, lookup
from cerebelum.store.liveness import DEAD_SECONDS
from cerebelum.store.verify import verify
from tests.core.world import ENVIRONMENT, ID, SOURCE, START, error, explicit, retry, workflow
from tests.crash.arena import ROUNDS

WORKFLOW = workflow(
    explicit("a"),
    explicit("b", "a", retry=retry(3, delay=10.0)),
    explicit("c", "a", executor="sleep"),
    explicit("d", "a", executor="approval"),
    explicit("e", "b", "c", "d"),
    finally_=(explicit("z"),),
)
"""Steps side by side with a retry, a sleep and an approval, and a handler."""


class StaleWrite(AssertionError):
    """Somebody who is not the owner any more has written as if he were."""


@dataclass(slots=True)
class Simulated:
    """The process of a runner that drives the execution, or believes that it does."""

    row: Runner
    fence: Ownership
    state: State | None
    digest: str
    attempts: dict[str, int] = field(default_factory=dict)
    """What is running inside it: attempts by step."""
    stopped: bool = False


class Clock:
    """The time that all runners live in."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> Any:
        return START + timedelta(seconds=self.seconds)

    def elapsed(self) -> float:
        return self.seconds

    def idle(self, seconds: float) -> None:
        return None


class Runners(RuleBasedStateMachine):
    """At most two runners live at a time; one that was stopped may wake up long after it was taken over."""

    fenced = True

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="cerebelum-model-"))
        self.store = open_store(f"sqlite:///{self.folder / 'store.db'}")
        self.clock = Clock()
        self.runners: list[Simulated] = []
        self.count = 0
        self.seen: dict[str, tuple[int, float]] = {}
        """What everybody has observed of the runners: the last beat, and since when it stands still."""
        self.took_effect: list[tuple[str, int]] = []
        self.acknowledged: list[str] = []
        event = ExecutionStarted(
            version=1,
            at=self.clock.now(),
            workflow=WORKFLOW.name,
            definition=WORKFLOW,
            source=SOURCE,
            inputs={},
            environment=ENVIRONMENT,
        )
        first = self.process(Ownership(self.name(), 1), None)
        self.turn(first, Opened(event))

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    # -- runners ------------------------------------------------------------------------------------------------------

    def name(self) -> str:
        self.count += 1
        return f"runner-{self.count}"

    def process(self, fence: Ownership, log: lookup.Log | None) -> Simulated:
        assert fence.owner is not None
        row = Runner(
            id=fence.owner,
            host="elsewhere",
            boot_id="another",
            pid=1,
            pid_namespace="",
            start_ticks=1,
            started_at=self.clock.now(),
            lock="/nonexistent",
        )
        self.store.beat(row)
        self.seen[row.id] = (0, self.clock.seconds)
        runner = Simulated(row, fence, log.state if log else None, log.digest if log else "0" * 64)
        self.runners.append(runner)
        return runner

    def owner(self) -> Ownership:
        return self.store.find(Query(id=ID)).rows[0].ownership

    def turn(self, runner: Simulated, happening: Happening) -> None:
        """What the engine does with a happening; a runner that is fenced off dies of it."""
        while True:
            waits = ("retrying", "sleeping")
            active = runner.state.active.items() if runner.state else ()
            due = frozenset(s for s, kind in active if kind in waits and self.is_due(runner, s))
            turn = decide(runner.state, happening, Circumstances(now=self.clock.now(), due=due), ID)
            if not turn.events:
                return
            entries = encode(ID, turn.events, runner.digest)
            summary = summarise(turn.state, entries[-1].digest)
            owner = self.owner() if runner.state else runner.fence
            fence = runner.fence if self.fenced or runner.state is None else None
            try:
                self.store.append(ID, turn.events[0].version - 1, entries, summary, fence=fence)
            except Fenced:
                assert owner != runner.fence, "the owner was refused"
                self.runners.remove(runner)
                return
            except Conflict:
                self.catch_up(runner)
                if isinstance(happening, Opened):
                    raise
                continue
            break
        if owner != runner.fence:
            raise StaleWrite(f"{runner.fence} wrote {turn.events}, but {owner} is the owner")
        runner.state, runner.digest = turn.state, entries[-1].digest
        self.acknowledged += [e.digest for e in entries]
        for event in turn.events:
            if isinstance(event, StepStarted):
                runner.attempts[event.step] = event.attempt
                self.took_effect.append((event.step, event.attempt))

    def is_due(self, runner: Simulated, step: str) -> bool:
        assert runner.state is not None
        at = runner.state.steps[step]
        when = at.retry_at if at.status == "retrying" else at.calls[-1].due_at
        return when is not None and when <= self.clock.now()

    def catch_up(self, runner: Simulated) -> None:
        assert runner.state is not None
        for entry in self.store.read(ID, runner.state.version):
            event = decode(entry.text)
            runner.state = evolve(runner.state, event)
            runner.digest = entry.digest

    def awake(self) -> list[Simulated]:
        return [r for r in self.runners if not r.stopped]

    # -- what may happen ----------------------------------------------------------------------------------------------

    @precondition(lambda self: any(r.attempts for r in self.awake()))
    @rule(data=st.data(), fails=st.booleans())
    def an_attempt_ends(self, data: st.DataObject, fails: bool) -> None:
        runner = data.draw(st.sampled_from([r for r in self.awake() if r.attempts]), "runner")
        step = data.draw(st.sampled_from(sorted(runner.attempts)), "step")
        del runner.attempts[step]
        assert runner.state is not None
        at = runner.state.steps[step]
        outcome: Outcome = Completed({"by": runner.row.id})
        if runner.state.graph.step(step).executor == "sleep" and not at.calls:
            outcome = Sleep(seconds=20.0)
        elif runner.state.graph.step(step).executor == "approval" and not at.calls:
            outcome = Approval(message="Go?")
        elif fails and step == "b":
            outcome = Failed(error())
        self.turn(runner, Ended(step, outcome))

    @precondition(lambda self: self.awake())
    @rule(data=st.data())
    def a_runner_looks_again(self, data: st.DataObject) -> None:
        runner = data.draw(st.sampled_from(self.awake()), "runner")
        self.catch_up(runner)
        self.turn(runner, Nudge())

    @rule()
    def somebody_approves(self) -> None:
        log = lookup.read(self.store, ID)
        if log.state.active.get("d") == "waiting_for_approval":
            request(
                self.store, self.clock, ID, lambda *given: approve(*given, step="d", by="me", comment=None, response={})
            )

    @rule(beats=st.integers(1, 8))
    def time_passes(self, beats: int) -> None:
        for _ in range(beats):
            self.clock.seconds += BEAT_SECONDS
            for runner in self.awake():
                runner.row = msgspec.structs.replace(runner.row, beat=runner.row.beat + 1)
                self.store.beat(runner.row)
                self.seen[runner.row.id] = (runner.row.beat, self.clock.seconds)

    @precondition(lambda self: self.awake())
    @rule(data=st.data())
    def a_runner_is_killed(self, data: st.DataObject) -> None:
        self.runners.remove(data.draw(st.sampled_from(self.awake()), "runner"))

    @precondition(lambda self: self.awake())
    @rule(data=st.data())
    def a_runner_is_stopped(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.awake()), "runner").stopped = True

    @precondition(lambda self: any(r.stopped for r in self.runners))
    @rule(data=st.data())
    def a_runner_wakes_up(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from([r for r in self.runners if r.stopped]), "runner").stopped = False

    @precondition(lambda self: len(self.awake()) < 2)
    @rule()
    def somebody_takes_over(self) -> None:
        row = self.store.find(Query(id=ID)).rows[0]
        if row.summary.status in ("completed", "failed"):
            return
        assert row.runner is not None
        beat, since = self.seen[row.runner.id]
        if beat != row.runner.beat or self.clock.seconds - since < DEAD_SECONDS:
            return
        fence = self.store.own(ID, self.name(), row.ownership)
        assert fence is not None
        assert self.store.own(ID, "another", row.ownership) is None, "two took over at once"
        log = lookup.read(self.store, ID)
        event = ExecutionResumed(
            version=log.state.version + 1, at=self.clock.now(), reason="resurrected", epoch=fence.epoch, continues=True
        )
        self.turn(self.process(fence, log), Opened(event))

    # -- what holds ---------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost_and_nothing_completes_twice(self) -> None:
        entries = self.store.read(ID)
        assert [e.version for e in entries] == list(range(1, len(entries) + 1))
        assert set(self.acknowledged) <= {e.digest for e in entries}
        completed = [event.step for event in map(decode, (e.text for e in entries)) if isinstance(event, StepCompleted)]
        assert len(completed) == len(set(completed)), f"completed twice: {completed}"
        assert [verified.flaws for verified in verify(self.store)] == [()]

    @invariant()
    def at_most_one_runner_is_the_owner(self) -> None:
        assert len([r for r in self.runners if r.fence == self.owner()]) <= 1


class Unfenced(Runners):
    """The same world with a store that does not look at the epoch."""

    fenced = False


def test_no_stale_write_and_no_double_completion() -> None:
    run_state_machine_as_test(
        Runners,
        settings=settings(
            max_examples=max(25, 3 * ROUNDS),
            stateful_step_count=40,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_without_the_fence_the_model_finds_a_stale_write() -> None:
    with pytest.raises(StaleWrite):
        run_state_machine_as_test(
            Unfenced,
            settings=settings(
                max_examples=2000,
                stateful_step_count=40,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
