"""What a resume would do to each step: kept, run again, changed, new, removed; and that a resume does just that."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cerebelum.core.decide import Stopping
from cerebelum.core.errors import DefinitionChanged, UsageError
from cerebelum.core.events import AnyEvent
from cerebelum.core.model import Step, Workflow, step_digest
from cerebelum.core.outcome import Approval, Sleep
from cerebelum.core.plan import Plan, make_plan
from tests.core.world import World, chain, explicit, retry, starts, step, workflow


def actions(plan: Plan) -> dict[str, str]:
    return {row.step: row.action for row in plan.rows}


def why(plan: Plan, step_id: str) -> str:
    return next(row.why for row in plan.rows if row.step == step_id)


def applied(world: World, definition: Workflow, **choices: Any) -> list[AnyEvent]:
    """Resume by hand as the plan says; returns what was decided at once."""
    plan = make_plan(world.state, definition, **choices)
    assert not plan.blocked
    return world.resumes(
        definition if plan.changed else None,
        from_step=choices.get("from_step"),
        rerun=plan.rerun,
        accepted=plan.accepted,
        continues=plan.continues_handlers,
    )


def failed_at(last: str, *names: str, **fields: Any) -> World:
    """A chain that failed at `last`, everything before it completed."""
    world = World(chain(*names, **fields)).start()
    for name in names[: names.index(last)]:
        world.completes(name, output=f"{name} 1")
    world.fails(last)
    return world


def edited(definition: Workflow, step_id: str, **fields: Any) -> Workflow:
    """The workflow with one step changed."""

    def change(steps: tuple[Step, ...]) -> tuple[Step, ...]:
        return tuple(with_digest(msgspec.structs.replace(s, **fields)) if s.id == step_id else s for s in steps)

    return msgspec.structs.replace(
        definition,
        steps=change(definition.steps),
        on_failure=change(definition.on_failure),
        on_success=change(definition.on_success),
    )


def with_digest(step: Step) -> Step:
    return msgspec.structs.replace(step, digest=step_digest(step))


# -- the five words ---------------------------------------------------------------------------------------------------


def test_completed_steps_are_kept_and_the_rest_is_run() -> None:
    world = failed_at("b", "a", "b", "c")
    plan = make_plan(world.state, world.definition)
    assert actions(plan) == {"a": "KEEP", "b": "RERUN", "c": "RERUN"}
    assert why(plan, "b") == "attempt 1 failed"
    assert why(plan, "c") == "not reached yet"
    assert (plan.changed, plan.rerun, plan.blocked, plan.accepted) == (False, (), (), ())
    assert starts(applied(world, world.definition)) == ["b"]


def test_an_edit_to_a_step_that_failed_is_simply_used() -> None:
    world = failed_at("b", "a", "b")
    fixed = edited(world.definition, "b", body="make image2")
    plan = make_plan(world.state, fixed)
    assert actions(plan) == {"a": "KEEP", "b": "RERUN"}
    assert plan.changed
    assert why(plan, "b") == "attempt 1 failed, definition changed"
    assert starts(applied(world, fixed)) == ["b"]
    assert world.state.graph.step("b").body == "make image2"


def test_an_edit_to_a_completed_step_needs_a_decision() -> None:
    world = failed_at("b", "a", "b")
    plan = make_plan(world.state, edited(world.definition, "a", body="other"))
    assert actions(plan) == {"a": "CHANGED", "b": "RERUN"}
    assert plan.blocked == ("a",)
    refusal = plan.refusal()
    assert isinstance(refusal, DefinitionChanged)
    assert "a" in refusal.message
    assert "--from a" in (refusal.hint or "")


def test_accepting_changes_keeps_the_old_output() -> None:
    world = failed_at("b", "a", "b")
    changed = edited(world.definition, "a", body="other")
    plan = make_plan(world.state, changed, accept_changes=True)
    assert (plan.blocked, plan.accepted) == ((), ("a",))
    assert starts(applied(world, changed, accept_changes=True)) == ["b"]
    assert world.state.steps["a"].output == "a 1"


def test_changes_once_accepted_are_not_asked_about_again() -> None:
    world = failed_at("b", "a", "b")
    changed = edited(world.definition, "a", body="other")
    applied(world, changed, accept_changes=True)
    world.fails("b")
    assert actions(make_plan(world.state, changed)) == {"a": "KEEP", "b": "RERUN"}


@pytest.mark.parametrize(
    "fields",
    [
        {"description": "other words"},
        {"retry": retry(5)},
        {"timeout": 5.0},
        {"when": "${{ true }}"},
        {"continue_on_error": True},
        {"needs": (), "explicit_needs": True},
        {"line": 99},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_does_not_change_a_result_does_not_change_a_completed_step(fields: dict[str, Any]) -> None:
    world = failed_at("c", "a", "b", "c")
    plan = make_plan(world.state, edited(world.definition, "b", **fields))
    assert actions(plan) == {"a": "KEEP", "b": "KEEP", "c": "RERUN"}


@pytest.mark.parametrize(
    "fields",
    [
        {"body": "other"},
        {"executor": "python"},
        {"options": {"shell": "sh"}},
        {"env": {"X": "1"}},
        {"working_dir": "sub"},
        {"output": "text"},
        {"fingerprint": "f" * 64},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_changes_a_result_changes_a_completed_step(fields: dict[str, Any]) -> None:
    world = failed_at("b", "a", "b")
    assert actions(make_plan(world.state, edited(world.definition, "a", **fields)))["a"] == "CHANGED"


def test_a_new_step_ahead_of_completed_ones_runs_now_and_they_are_kept() -> None:
    world = failed_at("c", "a", "b", "c")
    longer = chain("new", "a", "b", "c")
    plan = make_plan(world.state, longer)
    assert actions(plan) == {"new": "NEW", "a": "KEEP", "b": "KEEP", "c": "RERUN"}
    assert starts(applied(world, longer)) == ["new", "c"]
    world.completes("new", "c")
    assert world.status == "completed"
    assert world.started().count("a") == 1


def test_a_step_that_was_not_reached_waits_for_a_new_one_before_it() -> None:
    world = failed_at("b", "a", "b", "c")
    longer = chain("a", "b", "new", "c")
    assert starts(applied(world, longer)) == ["b"]
    assert starts(world.completes("b")) == ["new"]
    assert starts(world.completes("new")) == ["c"]


def test_a_completed_step_may_be_removed() -> None:
    world = failed_at("c", "a", "b", "c")
    shorter = chain("a", "c")
    plan = make_plan(world.state, shorter)
    assert actions(plan) == {"a": "KEEP", "c": "RERUN", "b": "REMOVED"}
    assert starts(applied(world, shorter)) == ["c"]
    world.completes("c")
    assert world.status == "completed"
    assert "b" not in world.statuses


def test_the_failed_step_may_be_removed() -> None:
    world = failed_at("b", "a", "b", "c")
    assert starts(applied(world, chain("a", "c"))) == ["c"]


def test_a_renamed_step_is_a_new_one_and_a_removed_one() -> None:
    world = failed_at("c", "a", "b", "c")
    plan = make_plan(world.state, chain("a", "b2", "c"))
    assert actions(plan) == {"a": "KEEP", "b2": "NEW", "c": "RERUN", "b": "REMOVED"}


def test_removing_all_that_was_left_completes_the_execution() -> None:
    world = failed_at("b", "a", "b")
    applied(world, chain("a"))
    assert world.status == "completed"


# -- from a step ------------------------------------------------------------------------------------------------------


def test_from_a_step_runs_it_and_everything_downstream_again() -> None:
    fork = (step("a"), step("b", "a"), step("c", "a"))
    world = World(workflow(*fork, step("d", "b"), step("e", "d"), step("f", "e"), step("g", "c", "f"))).start()
    world.completes("a", "b", "c", "d", "e")
    world.fails("f")
    plan = make_plan(world.state, world.definition, from_step="b")
    kept = {row.step for row in plan.rows if row.action == "KEEP"}
    assert kept == {"a", "c"}
    assert plan.rerun == ("b", "d", "e", "f")
    assert {why(plan, s) for s in plan.rerun} == {"from b"}
    assert starts(applied(world, world.definition, from_step="b")) == ["b"]
    assert [starts(world.completes(s)) for s in ("b", "d", "e", "f")] == [["d"], ["e"], ["f"], ["g"]]


def test_from_a_step_begins_a_new_generation_downstream_only() -> None:
    world = failed_at("c", "a", "b", "c")
    applied(world, world.definition, from_step="b")
    generations = {s: at.generation for s, at in world.state.steps.items()}
    assert generations == {"a": 1, "b": 2, "c": 2}


def test_from_a_step_that_was_interrupted_begins_a_new_generation_too() -> None:
    world = World(chain("a")).start()
    world.stops(Stopping("signal", "SIGTERM"))
    world.is_interrupted("a")
    applied(world, world.definition, from_step="a")
    assert world.state.steps["a"].generation == 2
    assert world.state.steps["a"].interrupted is None


def test_anew_runs_every_step_again_also_where_there_is_more_than_one_first() -> None:
    world = World(workflow(step("a"), explicit("b"), step("c", "a", "b"))).start()
    world.completes("a", "b")
    world.fails("c")
    assert make_plan(world.state, world.definition, from_step="a").rerun == ("a", "c")
    plan = make_plan(world.state, world.definition, anew=True)
    assert plan.rerun == ("a", "b", "c")
    assert sorted(starts(applied(world, world.definition, anew=True))) == ["a", "b"]


def test_anew_does_not_go_on_in_handlers() -> None:
    world = World(chain("a", "b", on_failure=(step("tell"),))).start()
    world.completes("a")
    world.fails("b")
    plan = make_plan(world.state, world.definition, anew=True)
    assert (plan.rerun, plan.continues_handlers) == (("a", "b"), False)
    assert make_plan(world.state, world.definition).continues_handlers


def test_from_a_changed_step_is_a_decision_about_it() -> None:
    world = failed_at("b", "a", "b")
    plan = make_plan(world.state, edited(world.definition, "a", body="other"), from_step="a")
    assert actions(plan) == {"a": "RERUN", "b": "RERUN"}
    assert plan.blocked == ()


def test_from_a_step_does_not_decide_about_changes_upstream() -> None:
    world = failed_at("c", "a", "b", "c")
    plan = make_plan(world.state, edited(world.definition, "a", body="other"), from_step="b")
    assert plan.blocked == ("a",)


def test_from_a_step_forgets_its_waits_and_answers() -> None:
    world = World(chain("a", "b")).start()
    world.ends("a", Approval("go?"))
    world.granted("a")
    world.completes("a")
    world.fails("b")
    applied(world, world.definition, from_step="a")
    assert world.state.steps["a"].calls == ()
    assert world.state.steps["a"].output is None


@pytest.mark.parametrize("name", ["c", "bb", "f", ""])
def test_from_something_that_is_no_step_of_the_main_graph_is_refused(name: str) -> None:
    world = failed_at("b", "a", "b", on_failure=(step("f"),))
    world.completes("f")
    with pytest.raises(UsageError, match="there is no step"):
        make_plan(world.state, world.definition, from_step=name)


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    world = failed_at("rollout", "image", "rollout")
    with pytest.raises(UsageError) as caught:
        make_plan(world.state, world.definition, from_step="rolout")
    assert caught.value.hint == "did you mean rollout?"


# -- skipped and tolerated --------------------------------------------------------------------------------------------


def skipping(**fields: Any) -> World:
    """`b` was skipped by its condition and `d` because of that; `e` failed."""
    steps = (step("a"), step("b", "a", when=False, **fields), step("c", "b"), explicit("d", "b"), step("e", "c", "d"))
    world = World(workflow(*steps)).start()
    world.completes("a", "c")
    world.fails("e")
    return world


def test_skipped_steps_are_kept() -> None:
    world = skipping()
    plan = make_plan(world.state, world.definition)
    assert actions(plan) == {"a": "KEEP", "b": "KEEP", "c": "KEEP", "d": "KEEP", "e": "RERUN"}
    assert why(plan, "b") == "skipped (condition)"


@pytest.mark.parametrize("fields", [{"when": True}, {"when": None}, {"body": "other", "when": True}])
def test_a_skipped_step_whose_condition_changed_is_looked_at_again_with_what_it_had_skipped(
    fields: dict[str, Any],
) -> None:
    world = skipping()
    now = edited(world.definition, "b", **fields)
    plan = make_plan(world.state, now)
    assert actions(plan) == {"a": "KEEP", "b": "RERUN", "c": "KEEP", "d": "RERUN", "e": "RERUN"}
    assert plan.rerun == ("b", "d")
    assert starts(applied(world, now)) == ["b"]
    assert starts(world.completes("b")) == ["d"]


def test_what_was_skipped_with_a_step_is_looked_at_again_wherever_it_stands() -> None:
    steps = (explicit("d", "c"), explicit("c", "b"), explicit("b", when=False), explicit("e"))
    world = World(workflow(*steps)).start()
    world.fails("e")
    plan = make_plan(world.state, edited(world.definition, "b", when=None))
    assert plan.rerun == ("d", "c", "b")


def test_a_tolerated_failure_is_kept() -> None:
    world = World(workflow(step("a", continue_on_error=True), step("b", "a"))).start()
    world.fails("a")
    world.fails("b")
    plan = make_plan(world.state, world.definition)
    assert actions(plan) == {"a": "KEEP", "b": "RERUN"}
    assert starts(applied(world, world.definition)) == ["b"]


@pytest.mark.parametrize("fields", [{"body": "other"}, {"continue_on_error": False}])
def test_a_tolerated_failure_runs_again_when_its_definition_changed(fields: dict[str, Any]) -> None:
    world = World(workflow(step("a", continue_on_error=True), step("b", "a"))).start()
    world.fails("a")
    world.fails("b")
    now = edited(world.definition, "a", **fields)
    assert actions(make_plan(world.state, now)) == {"a": "RERUN", "b": "RERUN"}
    assert "a" in starts(applied(world, now))


def test_a_failure_that_is_tolerated_from_now_on_still_runs_again() -> None:
    world = failed_at("a", "a", "b")
    now = edited(world.definition, "a", continue_on_error=True)
    assert actions(make_plan(world.state, now)) == {"a": "RERUN", "b": "RERUN"}
    assert starts(applied(world, now)) == ["a"]
    assert starts(world.fails("a")) == ["b"]


# -- waiting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [Sleep(60.0), Approval("go?")])
def test_a_step_that_waits_goes_on_waiting(asked: Sleep | Approval) -> None:
    world = World(workflow(step("a"), step("b"))).start()
    world.ends("a", asked)
    world.fails("b")
    plan = make_plan(world.state, world.definition)
    assert why(plan, "a").endswith(": goes on waiting")
    assert starts(applied(world, world.definition)) == ["b"]


@pytest.mark.parametrize("asked", [Sleep(60.0), Approval("go?")])
def test_a_step_that_waits_and_was_edited_begins_its_wait_anew(asked: Sleep | Approval) -> None:
    world = World(workflow(step("a"), step("b"))).start()
    world.ends("a", Sleep(1.0))
    world.passes(1)
    world.ends("a", asked)
    world.fails("b")
    now = edited(world.definition, "a", body="other")
    assert why(make_plan(world.state, now), "a").endswith(": begins anew, definition changed")
    assert starts(applied(world, now)) == ["a", "b"]
    assert [call.result for call in world.state.steps["a"].calls] == ["slept"]


# -- handlers ---------------------------------------------------------------------------------------------------------


def test_what_a_handler_undid_runs_again_with_everything_downstream() -> None:
    handler = step("rollback", undoes=("b",))
    world = failed_at("d", "a", "b", "c", "d", on_failure=(handler,))
    world.completes("rollback")
    plan = make_plan(world.state, world.definition)
    assert actions(plan) == {"a": "KEEP", "b": "RERUN", "c": "RERUN", "d": "RERUN"}
    assert why(plan, "c") == "its effect was undone by a handler"
    assert plan.handlers_ran == ("rollback",)
    assert starts(applied(world, world.definition)) == ["b"]


def test_a_handler_that_did_not_complete_undid_nothing() -> None:
    world = failed_at("c", "a", "b", "c", on_failure=(step("rollback", undoes=("b",)),))
    world.fails("rollback")
    plan = make_plan(world.state, world.definition)
    assert actions(plan) == {"a": "KEEP", "b": "KEEP", "c": "RERUN"}
    assert plan.handlers_ran == ()


def test_what_a_handler_undid_is_undone_once() -> None:
    world = failed_at("c", "a", "b", "c", on_failure=(step("rollback", undoes=("b",), when="${{ x }}"),))
    world.completes("rollback")
    applied(world, world.definition)
    world.completes("b")
    world.conditions = {"rollback": False}
    world.fails("c")
    assert actions(make_plan(world.state, world.definition)) == {"a": "KEEP", "b": "KEEP", "c": "RERUN"}


def test_a_changed_step_that_was_undone_needs_no_decision() -> None:
    world = failed_at("c", "a", "b", "c", on_failure=(step("rollback", undoes=("b",)),))
    world.completes("rollback")
    assert make_plan(world.state, edited(world.definition, "b", body="other")).blocked == ()


def test_handlers_have_no_rows_and_may_be_edited_freely() -> None:
    world = failed_at("b", "a", "b", on_failure=(step("f"),))
    world.completes("f")
    plan = make_plan(world.state, edited(world.definition, "f", body="other"))
    assert actions(plan) == {"a": "KEEP", "b": "RERUN"}
    assert plan.blocked == ()


def test_a_step_moved_between_the_main_graph_and_handlers_counts_as_never_run() -> None:
    world = failed_at("b", "a", "b", on_failure=(step("f"),))
    world.completes("f")
    moved = workflow(step("f"), step("b", "f"), on_failure=(step("a"),))
    plan = make_plan(world.state, moved)
    assert actions(plan) == {"f": "RERUN", "b": "RERUN", "a": "REMOVED"}
    assert starts(applied(world, moved)) == ["f"]
    assert starts(world.fails("f")) == ["a"]


def test_an_interruption_inside_handlers_of_a_failure_is_continued_first() -> None:
    world = failed_at("b", "a", "b", on_failure=(step("f", undoes=("a",)), step("f2", "f")))
    world.completes("f")
    world.stops(Stopping("signal", "SIGTERM"))
    world.is_interrupted("f2")
    plan = make_plan(world.state, world.definition)
    assert plan.continues_handlers
    assert (plan.rerun, plan.handlers_ran) == ((), ("f",))
    assert starts(applied(world, world.definition)) == ["f2"]
    world.completes("f2")
    assert world.status == "failed"
    plan = make_plan(world.state, world.definition)
    assert not plan.continues_handlers
    assert actions(plan) == {"a": "RERUN", "b": "RERUN"}


def test_from_a_step_does_not_continue_handlers() -> None:
    world = failed_at("b", "a", "b", on_failure=(step("f"),))
    world.stops(Stopping("signal", "SIGTERM"))
    world.is_interrupted("f")
    assert not make_plan(world.state, world.definition, from_step="b").continues_handlers
    assert starts(applied(world, world.definition, from_step="b")) == ["b"]


def test_an_interruption_on_the_way_to_cancelled_is_continued() -> None:
    world = World(chain("a", "b", on_cancel=(step("c"),))).start()
    world.stops(Stopping("signal", "SIGTERM"))
    world.cancelled_by()
    world.is_interrupted("a", "cancelled")
    assert make_plan(world.state, world.definition).continues_handlers
    assert starts(applied(world, world.definition)) == ["c"]


def interrupted_in_success(*names: str) -> World:
    world = World(chain(*names, on_success=(step("g"), step("g2", "g")))).start()
    world.completes(*names, "g")
    world.stops(Stopping("signal", "SIGTERM"))
    world.is_interrupted("g2")
    return world


def test_an_interruption_inside_handlers_of_a_success_is_continued() -> None:
    world = interrupted_in_success("a", "b")
    assert make_plan(world.state, world.definition).continues_handlers
    assert starts(applied(world, world.definition)) == ["g2"]
    world.completes("g2")
    assert world.status == "completed"


def test_a_new_step_comes_before_the_handlers_of_the_success() -> None:
    world = interrupted_in_success("a", "b")
    longer = chain("a", "b", "c", on_success=(step("g"), step("g2", "g")))
    plan = make_plan(world.state, longer)
    assert actions(plan) == {"a": "KEEP", "b": "KEEP", "c": "NEW"}
    assert not plan.continues_handlers
    assert starts(applied(world, longer)) == ["c"]
    assert starts(world.completes("c")) == ["g"]
