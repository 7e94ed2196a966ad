"""What holds for every workflow, however its attempts end, in whatever order, and wherever its log is cut."""

from __future__ import annotations

import os
from typing import Any

import msgspec
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cerebelum.core import runs
from cerebelum.core.decide import Nudge, Stopping, decide
from cerebelum.core.events import (
    CancelRequested,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionPaused,
    ExecutionResumed,
    StepFailed,
    StepHandedOver,
    StepStarted,
)
from cerebelum.core.evolve import evolve, reconstruct
from cerebelum.core.outcome import Interrupted
from cerebelum.core.state import State
from cerebelum.core.step_state import BUSY
from tests.core.scenarios import Scenario, scenarios
from tests.core.world import ID, World, interruptions

ENDS = (ExecutionCompleted, ExecutionFailed, ExecutionCancelled)
SETTLED = ("completed", "skipped")

THOROUGH = int(os.environ.get("CEREBELUM_TEST_THOROUGH", "1"))
"""How many times more examples to try than in the everyday run."""


def examples(count: int) -> settings:
    return settings(
        max_examples=count * THOROUGH,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


often, quick = examples(120), examples(35)


def whole(state: State) -> bytes:
    """Everything a state holds, as bytes, so that nothing in it can be changed unnoticed."""
    fields = {name: getattr(state, name) for name in state.__struct_fields__ if name not in ("graph", "steps")}
    return msgspec.msgpack.encode([fields, list(state.steps.items()), list(state.active)], enc_hook=list)


def end(world: World) -> tuple[str, dict[str, tuple[str, Any]]]:
    """What an execution came to."""
    final: dict[str, tuple[str, Any]] = {
        s: (at.status, at.output)
        for s, at in world.state.steps.items()
        if at.status in ("completed", "failed", "skipped")
    }
    return world.status, final


@often
@given(scenarios(), st.data())
def test_a_log_cut_anywhere_reaches_the_same_end(scenario: Scenario, data: st.DataObject) -> None:
    uncut = scenario.run(scenario.world().start())
    event(uncut.status)
    last = len(uncut.log) - (uncut.state.ended is not None)
    for _ in range(4):
        cut = scenario.world()
        cut.log = list(uncut.log)
        cut.crashes(data.draw(st.integers(1, last), label="cut after"))
        scenario.run(cut)
        assert end(cut) == end(uncut)


@often
@given(scenarios(), st.data())
def test_a_log_cut_again_and_again_reaches_the_same_end(scenario: Scenario, data: st.DataObject) -> None:
    uncut = scenario.run(scenario.world().start())
    cut = scenario.world().start()
    for _ in range(3):
        for _ in range(data.draw(st.integers(0, 4), label="turns")):
            scenario.turn(cut)
        if not cut.state.ended:
            at_least = max([e.version for e in cut.log if isinstance(e, ExecutionResumed)], default=1)
            cut.crashes(data.draw(st.integers(at_least, len(cut.log)), label="cut after"))
    assert end(scenario.run(cut)) == end(uncut)


@st.composite
def walks(draw: st.DrawFn) -> World:
    """An execution with everything that can happen to it: crashes, pauses, cancellation, and resumes by hand."""
    scenario = draw(scenarios(interrupts=True))
    world = scenario.world().start()
    for _ in range(draw(st.integers(0, 6))):
        for _ in range(draw(st.integers(0, 5))):
            scenario.turn(world)
        match draw(st.sampled_from(["crash", "pause", "resume", "redo", "cancel"])):
            case "crash" if not world.state.ended and not world.state.paused:
                world.crashes()
            case "pause" if not world.state.ended:
                world.stops(Stopping("signal", "SIGINT"))
                while world.running:
                    world.is_interrupted(world.running[0], "operator")
                for step_id in world.on_workers:
                    taken = world.state.steps[step_id].taken
                    assert taken is not None
                    world.reported(taken, Interrupted(), why="operator")
            case "cancel" if not world.state.ended and not world.state.cancel:
                world.cancelled_by()
            case "resume" if world.state.ended == "failed" or world.state.paused:
                world.resumes()
            case "redo" if world.state.ended == "failed" or world.state.paused:
                redone = draw(st.lists(st.sampled_from(list(world.state.steps)), unique=True))
                world.resumes(rerun=tuple(redone))
            case _:
                pass
    return world if draw(st.booleans()) or world.state.paused else scenario.run(world)


@quick
@given(walks())
def test_versions_have_no_gaps(world: World) -> None:
    assert [event.version for event in world.log] == list(range(1, len(world.log) + 1))


# Whether there are few events or many, by which it is decided how they are folded.
@quick
@given(walks(), st.sampled_from([0, 2, 1000]), st.integers(1, 100))
def test_every_prefix_of_a_log_can_be_reconstructed_to_what_it_was(world: World, few: int, cut: int) -> None:
    one_by_one, first, seen = None, None, b""
    for length, fact in enumerate(world.log, 1):
        one_by_one = evolve(one_by_one, fact, ID)
        state = reconstruct(ID, world.log[:length], few=few)
        assert state is not None
        assert state.version == length
        assert exactly(state) == exactly(one_by_one)
        if length == cut:
            first, seen = state, exactly(state)
    assert one_by_one is not None
    assert exactly(one_by_one) == exactly(world.state)
    if first is not None:
        whole_again = reconstruct(ID, world.log[cut:], first, few=few)
        assert whole_again is not None
        assert exactly(whole_again) == exactly(world.state)
        assert exactly(first) == seen
    assert reconstruct(ID, [], few=few) is None


def exactly(state: State) -> bytes:
    """The same, and what is counted besides."""
    counted = sorted((group, *sorted(kinds.items())) for group, kinds in state.active._tally.items() if kinds)
    return whole(state) + repr(counted).encode()


@quick
@given(walks())
def test_what_is_kept_up_to_date_equals_what_is_worked_out_from_nothing(world: World) -> None:
    failed: list[str] = []
    state = None
    for fact in world.log:
        state = evolve(state, fact, ID)
        match fact:
            case ExecutionResumed(continues=False):
                failed = []
            case StepFailed(retry_at=None) if not state.graph.step(fact.step).continue_on_error:
                failed.append(fact.step)
        assert_up_to_date(state, tuple(failed))


def assert_up_to_date(state: State, failed: tuple[str, ...]) -> None:
    settled = {
        s.id
        for s in state.graph.steps
        if state.steps[s.id].status in SETTLED or (state.steps[s.id].status == "failed" and s.continue_on_error)
    }
    waits = tuple(len(set(s.needs) - settled) for s in state.graph.steps)
    assert tuple(state.waits) == waits
    assert state.ready == runs.of(
        p
        for p, s in enumerate(state.graph.steps)
        if not waits[p] and state.steps[s.id].status in ("pending", "interrupted")
    )
    assert state.done == len(settled & {s.id for s in state.workflow.steps})
    quiet = ("pending", "interrupted", "completed", "failed", "skipped")
    assert state.active == {s: at.status for s, at in state.steps.items() if at.status not in quiet}
    assert state.failed == failed


@quick
@given(walks())
def test_a_completed_step_runs_again_only_if_that_was_asked_for(world: World) -> None:
    completed: set[str] = set()
    state = None
    for fact in world.log:
        state = evolve(state, fact, ID)
        if isinstance(fact, ExecutionResumed):
            handlers = {s.id for s in state.graph.steps if state.graph.group_of(s.id) != "steps"}
            completed -= {*fact.rerun, *(handlers if not fact.continues else ())}
        if isinstance(fact, StepStarted | StepHandedOver):
            assert fact.step not in completed
        completed |= {s for s, at in state.steps.items() if at.status == "completed"}


@quick
@given(walks())
def test_a_step_starts_only_when_all_it_needs_is_settled(world: World) -> None:
    state = None
    for fact in world.log:
        if isinstance(fact, StepStarted | StepHandedOver):
            assert state is not None
            for need in state.graph.step(fact.step).needs:
                tolerated = state.graph.step(need).continue_on_error
                assert state.steps[need].status in (*SETTLED, "failed" if tolerated else "completed")
        state = evolve(state, fact, ID)


@quick
@given(walks())
def test_no_more_attempts_run_at_once_than_allowed(world: World) -> None:
    state = None
    for fact in world.log:
        state = evolve(state, fact, ID)
        assert sum(kind in BUSY for kind in state.active.values()) <= state.workflow.max_parallel


@quick
@given(walks())
def test_nothing_follows_an_end_or_a_pause_but_a_resume(world: World) -> None:
    for fact, following in zip(world.log, world.log[1:], strict=False):
        if isinstance(fact, ENDS):
            assert isinstance(following, ExecutionResumed)
        if isinstance(fact, ExecutionPaused):
            assert isinstance(following, ExecutionResumed | CancelRequested)
    if world.state.ended:
        assert isinstance(world.log[-1], ENDS)
        assert not world.turn(Nudge())


@quick
@given(walks())
def test_evolve_leaves_the_state_before_as_it_was(world: World) -> None:
    state = None
    for fact in world.log:
        before = whole(state) if state else b""
        after = evolve(state, fact, ID)
        assert (whole(state) if state else b"") == before
        state = after


@quick
@given(walks())
def test_decide_leaves_the_state_before_as_it_was_and_decides_the_same_twice(world: World) -> None:
    before = whole(world.state)
    circumstances = replace(world.circumstances(), due=frozenset(world.state.steps), overtime=True)
    first = decide(world.state, Nudge(), circumstances)
    assert decide(world.state, Nudge(), circumstances).events == first.events
    assert whole(world.state) == before


@quick
@given(walks())
def test_an_execution_ends_or_waits_for_something(world: World) -> None:
    world.turn(Nudge())
    state = world.state
    assert (
        state.ended or state.paused or world.running or world.on_workers or world.moments() or waits_for_a_person(state)
    )


@quick
@given(scenarios(interrupts=True), st.integers(0, 20))
def test_an_execution_left_alone_comes_to_an_end_unless_a_person_is_waited_for(scenario: Scenario, turns: int) -> None:
    world = scenario.world().start()
    for _ in range(turns):
        scenario.turn(world)
    if not world.state.ended:
        world.crashes()
    scenario.run(world)
    assert world.state.ended or waits_for_a_person(world.state)


def waits_for_a_person(state: State) -> bool:
    return any(kind == "waiting_for_approval" for kind in state.active.values())


@quick
@given(scenarios())
def test_an_undisturbed_execution_interrupts_nothing_by_itself(scenario: Scenario) -> None:
    world = scenario.run(scenario.world().start())
    asked_for = [s for s, outcomes in scenario.script.items() for o in outcomes if type(o).__name__ == "Interrupted"]
    if scenario.cancel_after is None:
        assert len(interruptions(world.log)) <= len(asked_for)


@quick
@given(walks())
def test_attempts_are_numbered_without_repeating(world: World) -> None:
    seen: dict[str, int] = {}
    state = None
    for fact in world.log:
        if isinstance(fact, StepStarted | StepHandedOver) and state is not None:
            slept = isinstance(fact, StepHandedOver) and state.steps[fact.step].status == "running"
            goes_on = slept or state.steps[fact.step].status == "answered"
            assert fact.attempt == seen.get(fact.step, 0) + (not goes_on)
        if isinstance(fact, StepStarted | StepHandedOver | StepFailed):
            seen[fact.step] = fact.attempt
        state = evolve(state, fact, ID)
