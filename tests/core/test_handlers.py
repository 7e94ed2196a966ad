"""What runs when the main graph is over: handlers of failure, success and cancellation, and what runs in any case."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cerebelum.core.decide import Stopping
from cerebelum.core.events import ExecutionCancelled, ExecutionFailed, StepInterrupted
from cerebelum.core.evolve import evolve
from cerebelum.core.model import Workflow
from cerebelum.core.outcome import Approval, Sleep
from cerebelum.core.phases import awaited
from cerebelum.core.state import status
from cerebelum.core.summary import due_at, summarise
from tests.core.world import START, World, chain, error, explicit, retry, starts, step, workflow


def handled(*names: str, **groups: object) -> Workflow:
    """A chain with one handler in every group."""
    every = {
        "on_failure": (step("f"),),
        "on_success": (step("g"),),
        "on_cancel": (step("c"),),
        "finally_": (step("z"),),
    }
    return chain(*(names or ("a",)), **{**every, **groups})


# -- which, and in what order -----------------------------------------------------------------------------------------


def test_a_failure_is_followed_by_its_handlers_then_by_finally() -> None:
    world = World(handled()).start()
    assert starts(world.fails("a")) == ["f"]
    assert starts(world.completes("f")) == ["z"]
    world.completes("z")
    assert world.status == "failed"
    assert world.statuses == {"a": "failed", "f": "completed", "g": "pending", "c": "pending", "z": "completed"}


def test_success_is_followed_by_its_handlers_then_by_finally() -> None:
    world = World(handled()).start()
    assert starts(world.completes("a")) == ["g"]
    assert starts(world.completes("g")) == ["z"]
    world.completes("z")
    assert world.status == "completed"


def test_a_cancellation_is_followed_by_its_handlers_then_by_finally() -> None:
    world = World(handled()).start()
    assert world.cancelled_by("ann", "wrong version") == []
    assert starts(world.is_interrupted("a", "cancelled")) == ["c"]
    assert starts(world.completes("c")) == ["z"]
    end = world.completes("z")[-1]
    assert isinstance(end, ExecutionCancelled)
    assert (end.by, end.why) == ("ann", "wrong version")
    assert world.status == "cancelled"


def test_handlers_begin_when_the_last_attempt_of_the_main_graph_has_ended() -> None:
    world = World(workflow(step("a"), step("b"), on_failure=(step("f"),))).start()
    assert starts(world.fails("a")) == []
    assert starts(world.completes("b")) == ["f"]


def test_handlers_of_a_group_follow_one_another_and_may_be_skipped() -> None:
    handlers = (step("f1"), step("f2", "f1", when=False), explicit("f3", "f2"), step("f4", "f3"))
    world = World(workflow(step("a"), on_failure=handlers)).start()
    world.fails("a")
    assert starts(world.completes("f1")) == ["f4"]
    assert world.statuses["f3"] == "skipped"


def test_a_time_limit_of_the_workflow_counts_as_a_failure_for_handlers() -> None:
    world = World(handled(timeout=60.0)).start()
    world.ends("a", Sleep(600.0))
    assert starts(world.passes(60)) == ["f"]
    assert starts(world.completes("f")) == ["z"]
    world.completes("z")
    assert world.status == "failed"
    assert world.state.error is not None
    assert world.state.error.kind == "timeout"


def test_main_steps_left_waiting_do_not_wake_while_handlers_run() -> None:
    world = World(workflow(step("a"), step("b"), on_failure=(step("f"),))).start()
    world.ends("a", Sleep(5.0))
    world.fails("b")
    assert world.passes(60) == []
    assert world.running == ["f"]


# -- handlers that go wrong -------------------------------------------------------------------------------------------


def test_a_failing_handler_of_failure_does_not_keep_finally_from_running() -> None:
    world = World(handled(on_failure=(step("f"), step("f2", "f")))).start()
    world.fails("a")
    assert starts(world.fails("f")) == ["z"]
    world.completes("z")
    end = world.log[-1]
    assert isinstance(end, ExecutionFailed)
    assert end.failed_steps == ("a",)
    assert end.error == error("step_failed", "step a failed: it broke", None)


@pytest.mark.parametrize("handler", ["g", "z"])
def test_a_failing_handler_makes_a_success_a_failure(handler: str) -> None:
    world = World(handled()).start()
    world.completes("a")
    for name in ("g", "z"):
        if name == handler:
            world.fails(name)
        else:
            world.completes(name)
    assert world.status == "failed"
    assert world.state.error == error("step_failed", f"handler {handler} failed: it broke", None)


def test_a_failing_handler_of_cancellation_leaves_it_cancelled() -> None:
    world = World(handled()).start()
    world.cancelled_by()
    world.is_interrupted("a", "cancelled")
    world.fails("c")
    world.completes("z")
    assert world.status == "cancelled"


def test_a_handler_that_cannot_be_asked_whether_it_should_run_fails() -> None:
    world = World(handled(on_success=(step("g", when="${{ x }}"),)), g=None).start()
    assert starts(world.completes("a")) == ["z"]
    assert world.state.phase == "finally"
    world.completes("z")
    assert world.status == "failed"


@pytest.mark.parametrize("late", [False, True])
def test_handlers_are_retried_as_they_say_even_if_the_workflow_s_time_is_over(late: bool) -> None:
    world = World(handled(on_failure=(step("f", retry=retry(2, delay=5.0)),), timeout=60.0)).start()
    if late:
        world.passes(61)
    world.fails("a")
    world.fails("f")
    assert world.statuses["f"] == "retrying"
    assert starts(world.passes(5)) == ["f"]


def test_handlers_of_a_cancellation_are_retried_as_they_say() -> None:
    world = World(handled(on_cancel=(step("c", retry=retry(2, delay=5.0)), step("c2"))), a=True).start()
    world.cancelled_by()
    world.is_interrupted("a", "cancelled")
    world.fails("c")
    world.fails("c2")
    assert world.status == "sleeping"
    assert starts(world.passes(5)) == ["c"]
    assert starts(world.completes("c")) == ["z"]


def test_a_handler_retried_beside_a_failed_one_finishes_when_the_workflow_s_time_is_over() -> None:
    world = World(handled(on_failure=(step("f", retry=retry(2, delay=5.0)), step("f2")), timeout=60.0)).start()
    world.fails("a")
    world.fails("f")
    world.fails("f2")
    assert starts(world.passes(61)) == ["f"]
    assert starts(world.completes("f")) == ["z"]


# -- cancelling -------------------------------------------------------------------------------------------------------


def test_a_cancellation_starts_nothing_new_and_retries_nothing() -> None:
    world = World(workflow(step("a", retry=retry(3)), step("b"), step("c", "b"))).start()
    world.cancelled_by()
    assert starts(world.fails("a")) == []
    assert world.statuses["a"] == "failed"
    world.completes("b")
    assert world.status == "cancelled"
    assert world.statuses["c"] == "pending"


def test_a_cancellation_waits_for_neither_sleeps_nor_approvals_nor_retries() -> None:
    world = World(workflow(step("a"), step("b"), step("c", retry=retry(2, delay=60.0)))).start()
    world.ends("a", Sleep(60.0))
    world.ends("b", Approval())
    world.fails("c")
    world.cancelled_by()
    assert world.status == "cancelled"


@pytest.mark.parametrize("group", ["f", "g"])
def test_a_cancellation_while_other_handlers_run_winds_them_down_first(group: str) -> None:
    world = World(handled()).start()
    if group == "f":
        world.fails("a")
    else:
        world.completes("a")
    assert world.running == [group]
    assert world.cancelled_by() == []
    assert starts(world.is_interrupted(group, "cancelled")) == ["c"]
    assert starts(world.completes("c")) == ["z"]
    world.completes("z")
    assert world.status == "cancelled"


def test_a_cancellation_while_finally_runs_lets_it_finish() -> None:
    world = World(handled()).start()
    world.completes("a", "g")
    assert world.cancelled_by() == []
    world.completes("z")
    assert world.status == "cancelled"


def test_only_the_first_of_two_cancellations_counts() -> None:
    world = World(handled()).start()
    world.cancelled_by("ann")
    world.cancelled_by("bob")
    world.is_interrupted("a", "cancelled")
    world.completes("c", "z")
    assert world.state.cancel is not None
    assert world.state.cancel.by == "ann"


def test_a_cancellation_survives_the_runner_that_was_at_it() -> None:
    world = World(handled()).start()
    world.cancelled_by()
    assert starts(world.crashes()) == ["c"]
    world.completes("c", "z")
    assert world.status == "cancelled"


def test_resuming_a_cancelled_execution_from_a_step_forgets_the_cancellation() -> None:
    world = World(handled("a", "b")).start()
    world.completes("a")
    world.cancelled_by()
    world.is_interrupted("b", "cancelled")
    world.completes("c", "z")
    assert starts(world.resumes(from_step="a", rerun=("a", "b"))) == ["a"]
    world.completes("a", "b", "g", "z")
    assert world.status == "completed"


# -- segments ---------------------------------------------------------------------------------------------------------


def test_handlers_start_afresh_after_a_resume_by_hand() -> None:
    world = World(handled(on_failure=(step("f", retry=retry(2, delay=1.0)),))).start()
    world.fails("a")
    world.fails("f")
    world.passes(1)
    world.completes("f", "z")
    world.resumes()
    assert world.statuses == {"a": "running", "f": "pending", "g": "pending", "c": "pending", "z": "pending"}
    assert world.state.steps["f"].used == 0
    assert starts(world.fails("a")) == ["f"]
    assert world.state.steps["f"].attempt == 3
    assert world.state.steps["f"].generation == 2
    world.completes("f", "z")
    assert world.status == "failed"


def test_what_went_wrong_in_handlers_is_forgotten_after_a_resume_by_hand() -> None:
    world = World(handled()).start()
    world.completes("a")
    world.fails("g")
    world.completes("z")
    assert world.status == "failed"
    assert starts(world.resumes()) == ["g"]
    world.completes("g", "z")
    assert world.status == "completed"


@pytest.mark.parametrize("reason", ["resurrected", "manual"])
def test_an_interruption_inside_handlers_continues_the_handlers(reason: str) -> None:
    world = World(handled(on_failure=(step("f"), step("f2", "f")))).start()
    world.fails("a")
    world.completes("f")
    assert starts(world.resumes(reason=reason, continues=True)) == ["f2"]
    world.completes("f2", "z")
    assert world.status == "failed"
    assert world.statuses["f"] == "completed"


def test_handlers_running_side_by_side_are_finished_after_an_interruption_although_one_failed() -> None:
    world = World(handled(on_failure=(step("f"), step("f2")))).start()
    world.fails("a")
    world.fails("f")
    assert starts(world.crashes()) == ["f2"]
    assert starts(world.completes("f2")) == ["z"]


def test_a_pause_runs_no_handlers() -> None:
    world = World(handled("a", "b")).start()
    world.stops(Stopping("signal", "SIGTERM"))
    world.is_interrupted("a")
    assert world.status == "paused"
    assert world.started() == ["a"]


def test_a_time_limit_that_is_gone_from_the_definition_still_cut_this_segment_off() -> None:
    world = World(handled("a", "b", timeout=60.0)).start()
    world.ends("a", Sleep(600.0))
    world.passes(60)
    assert world.running == ["f"]
    assert starts(world.resumes(handled("a", "b"), continues=True)) == ["f"]
    world.completes("f", "z")
    assert world.status == "failed"
    assert world.state.error is not None
    assert world.state.error.kind == "timeout"


def test_removing_the_failed_step_does_not_turn_its_handlers_into_those_of_success() -> None:
    world = World(handled("a", "b")).start()
    world.completes("a")
    world.fails("b")
    assert starts(world.resumes(handled("a"), continues=True)) == ["f"]
    world.completes("f", "z")
    assert world.status == "failed"
    assert world.started().count("g") == 0
    world.resumes()
    world.completes("g", "z")
    assert world.status == "completed"


def test_a_fact_about_a_step_that_was_removed_has_no_bearing() -> None:
    world = World(handled("a", "b")).start()
    world.resumes(handled("b"))
    before = world.state
    after = evolve(before, StepInterrupted(step="a", attempt=1, why="runner_died", **world.stamp))
    assert after.steps == before.steps
    assert after.version == before.version + 1


# -- what others see meanwhile ----------------------------------------------------------------------------------------


def test_what_a_failure_left_pending_is_not_awaited_while_handlers_wait() -> None:
    world = World(workflow(step("a"), step("b"), step("d"), on_failure=(step("f"),))).start()
    world.ends("a", Sleep(5.0))
    world.ends("d", Approval())
    world.fails("b")
    world.ends("f", Sleep(60.0))
    assert awaited(world.state) == ["f"]
    assert status(world.state) == "sleeping"
    assert due_at(world.state) == START + timedelta(seconds=60)


def test_what_a_failure_leaves_pending_is_not_awaited_while_a_retry_waits() -> None:
    world = World(workflow(step("a"), step("b"), step("d", retry=retry(2, delay=60.0)))).start()
    world.ends("a", Sleep(5.0))
    world.fails("d")
    world.fails("b")
    assert awaited(world.state) == ["d"]
    assert due_at(world.state) == START + timedelta(seconds=60)


def test_the_summary_tells_what_is_done_and_what_is_going_on() -> None:
    world = World(workflow(step("a"), step("b", "a"), step("c", "a"), finally_=(step("z"),))).start(tags=("x",))
    world.completes("a")
    row = summarise(world.state, "d" * 64)
    assert (row.status, row.steps_total, row.steps_done, row.current) == ("running", 3, 1, ("b", "c"))
    assert (row.version, row.tags, row.due_at, row.ended_at) == (world.state.version, ("x",), None, None)
    world.completes("b")
    world.fails("c", error(message="disk full"))
    world.completes("z")
    row = summarise(world.state, "d" * 64)
    assert (row.status, row.steps_done, row.current) == ("failed", 2, ())
    assert row.reason == "step c failed: disk full"
    assert row.ended_at == START
