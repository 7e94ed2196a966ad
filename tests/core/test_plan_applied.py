"""That a resume runs just what its plan says, whatever was edited and wherever the execution stood."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from cerebelum.core.decide import Stopping
from cerebelum.core.events import SleepCompleted, StepFailed, StepHandedOver, StepReported, StepSkipped, StepStarted
from cerebelum.core.model import Workflow
from cerebelum.core.outcome import Completed
from cerebelum.core.plan import make_plan
from tests.core.scenarios import Scenario, scenarios
from tests.core.test_plan import applied, with_digest
from tests.core.world import World, step

# -- that a resume does what the plan says ----------------------------------------------------------------------------


@st.composite
def edits(draw: st.DrawFn, definition: Workflow) -> Workflow:
    """The workflow with some steps of its main graph changed, removed, or added."""
    gone = {s.id for s in definition.steps if draw(st.integers(0, 9)) == 0}
    gone = gone if len(gone) < len(definition.steps) else set()
    steps = []
    for at in definition.steps:
        if at.id in gone:
            continue
        choice = draw(st.integers(0, 7))
        changed: dict[int, dict[str, Any]] = {
            1: {"body": "other"},
            2: {"when": draw(st.sampled_from([None, False, True]))},
            3: {"continue_on_error": not at.continue_on_error},
        }
        needs = tuple(n for n in at.needs if n not in gone)
        steps.append(with_digest(msgspec.structs.replace(at, needs=needs, **changed.get(choice, {}))))
    if draw(st.booleans()):
        new = step("new", *draw(st.lists(st.sampled_from([s.id for s in steps]), unique=True, max_size=2)))
        steps.insert(draw(st.integers(0, len(steps))), new)
    return msgspec.structs.replace(definition, steps=tuple(steps))


@settings(
    max_examples=150,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(scenarios(cancels=False), st.data())
def test_a_resume_runs_just_what_the_plan_marks(scenario: Scenario, data: st.DataObject) -> None:
    world = scenario.world().start()
    for _ in range(data.draw(st.integers(0, 12), label="turns")):
        scenario.turn(world)
    if world.state.ended == "completed":
        return
    if not world.state.ended:
        world.stops(Stopping("signal", "SIGINT"))
        while world.running:
            world.is_interrupted(world.running[0], "operator")
    now = data.draw(edits(world.state.workflow), label="edited")
    names = [s.id for s in now.steps]
    from_step = data.draw(st.sampled_from([None, None, None, *names]), label="from")
    plan = make_plan(world.state, now, from_step=from_step, accept_changes=True)
    event("continues handlers" if plan.continues_handlers else "a new segment")
    before = len(world.log)
    applied(world, now, from_step=from_step, accept_changes=True)
    everything_goes_well(world)
    touched = {
        fact.step
        for fact in world.log[before:]
        if isinstance(fact, StepStarted | StepHandedOver | StepReported | StepSkipped | StepFailed | SleepCompleted)
    } & set(names)
    marked = {row.step for row in plan.rows if row.action in ("RERUN", "NEW")}
    if plan.continues_handlers:
        assert not touched
    elif not world.state.main_failed():
        assert touched | still_waiting(world) == marked
    else:
        assert touched <= marked


def everything_goes_well(world: World) -> None:
    """Complete whatever runs, grant whatever waits, until the end."""
    for _ in range(200):
        waiting = [s for s, kind in world.state.active.items() if kind == "waiting_for_approval"]
        if world.state.ended:
            return
        if world.running:
            world.completes(world.running[0])
        elif world.on_workers:
            step_id = world.on_workers[0]
            world.reported(world.state.steps[step_id].taken or world.taken(step_id), Completed())
        elif waiting:
            world.granted(waiting[0])
        else:
            world.passes(10)
    raise AssertionError("it does not come to an end")


def still_waiting(world: World) -> set[str]:
    """Steps that the workflow's time limit left waiting."""
    quiet = ("completed", "failed", "skipped")
    return {s.id for s in world.state.workflow.steps if world.state.steps[s.id].status not in quiet}
