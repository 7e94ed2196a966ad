"""Which machine each step ran on, and what is therefore not here when another one goes on."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cerebelum.core.elsewhere import Elsewhere, left_elsewhere, warning
from cerebelum.core.events import Environment, ExecutionResumed
from cerebelum.core.evolve import reconstruct
from cerebelum.core.model import Workflow
from cerebelum.core.outcome import Sleep
from cerebelum.core.plan import make_plan
from cerebelum.core.state import State
from tests.core.world import ENVIRONMENT, ID, World, chain, step, workflow

A = ENVIRONMENT.host
B = Environment("agent-b", "/ci/work", "linux", "0.1.0")


def resumed(world: World, environment: Environment | None, **fields: Any) -> None:
    world.resumes(**{"reason": "resurrected", "environment": environment, "continues": True, **fields})


def cut_off(environment: Environment | None = B) -> World:
    """`one` completed, `two` was cut off, and somebody else went on."""
    world = World(chain("one", "two", "three")).start()
    world.completes("one")
    resumed(world, environment)
    return world


def hosts(state: State) -> list[str | None]:
    return [at.host for at in state.steps.values()]


def test_each_step_has_the_machine_of_its_last_attempt_and_what_never_ran_none() -> None:
    world = cut_off()
    assert hosts(world.state) == [A, "agent-b", None]
    assert world.state.hosts() == (A, "agent-b")
    assert world.state.environment.host == A, "where it was started stays what it was"
    assert world.state.environment.cwd == "/ci/work"
    world.completes("two")
    world.fails("three", retryable=False)
    assert hosts(world.state) == [A, "agent-b", "agent-b"]
    assert reconstruct(ID, world.log) == world.state


def test_a_log_that_does_not_say_where_it_went_on_is_read_and_nothing_is_made_up() -> None:
    world = cut_off(None)
    assert hosts(world.state) == [A, None, None]
    assert world.state.hosts() == (A,)
    assert left_elsewhere(world.state, world.definition, A, ()) == ()


def test_a_step_that_wakes_on_another_machine_ran_there() -> None:
    world = World(chain("nap", "two")).start()
    world.ends("nap", Sleep(seconds=60.0))
    assert world.state.steps["nap"].host == A
    resumed(world, B)
    assert (world.statuses["nap"], world.state.steps["nap"].host) == ("sleeping", A)
    world.passes(61)
    assert (world.statuses["nap"], world.state.steps["nap"].host) == ("running", "agent-b")


def test_a_step_that_is_to_run_again_says_where_it_ran_until_it_does() -> None:
    world = cut_off()
    world.fails("two", retryable=False)
    world.folds(ExecutionResumed(reason="manual", environment=B, rerun=("one",), **world.stamp))
    assert (world.statuses["one"], world.state.steps["one"].host) == ("pending", A)
    world.passes(0)
    assert (world.statuses["one"], world.state.steps["one"].host) == ("running", "agent-b")


def test_what_completed_elsewhere_is_named_by_machine_but_for_what_leaves_nothing_or_runs_again() -> None:
    steps = (step("one"), step("ask", "one", executor="approval"), step("two", "ask"), step("three", "two"))
    world = World(workflow(*steps)).start()
    world.completes("one", "ask")
    resumed(world, B)
    world.completes("two")

    def left(here: str, now: Workflow = world.definition, **more: Any) -> tuple[Elsewhere, ...]:
        return left_elsewhere(world.state, now, here, {"approval"}, **more)

    assert left(A) == (Elsewhere("agent-b", ("two",)),)
    assert left("agent-b") == (Elsewhere(A, ("one",)),)
    assert left("agent-c") == (Elsewhere(A, ("one",)), Elsewhere("agent-b", ("two",)))
    assert left("agent-c", again=["two"]) == (Elsewhere(A, ("one",)),)
    portable = msgspec.structs.replace(world.definition, portable=True)
    assert left("agent-c", portable) == ()


def test_the_plan_of_a_resume_says_what_is_elsewhere_by_the_definition_that_goes_on() -> None:
    state = cut_off().state
    assert make_plan(state, state.workflow, here="agent-b").elsewhere == (Elsewhere(A, ("one",)),)
    assert make_plan(state, state.workflow, here=A).elsewhere == ()
    assert make_plan(state, state.workflow, here="agent-b", from_step="one").elsewhere == ()
    plan = make_plan(state, msgspec.structs.replace(state.workflow, portable=True), here="agent-b")
    assert (plan.elsewhere, plan.changed, plan.blocked) == ((), True, ())


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ((Elsewhere("a", ("one",)),), "the completed step one ran on a; files that it left there are not here; "),
        (
            (Elsewhere("a", ("one",)), Elsewhere("b", ("two", "six"))),
            "steps one ran on a, two, six ran on b; files that",
        ),
        ((Elsewhere("a", tuple("abcdefghijklm")),), "a, b, c, d, e, f, g, h, i, j and 3 more ran on a; "),
    ],
)
def test_the_warning_names_steps_and_machines(left: tuple[Elsewhere, ...], words: str) -> None:
    assert words in warning(left)
    assert "portable: true" in warning(left)
