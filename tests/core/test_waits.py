"""How an execution waits, and stops waiting: pauses, sleeps, approvals, and the workflow's own time limit."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from cerebelum.core.decide import Stopping
from cerebelum.core.events import (
    ApprovalGranted,
    ApprovalTimedOut,
    ExecutionPaused,
    PauseRequested,
    SleepCompleted,
    SleepStarted,
    StepStarted,
)
from cerebelum.core.outcome import Approval, Sleep
from tests.core.world import START, World, chain, error, retry, starts, step, workflow

SIGNAL = Stopping("signal", "SIGTERM")


def parallel(*names: str, **fields: Any) -> World:
    return World(workflow(*(step(name) for name in names), **fields)).start()


# -- pausing ----------------------------------------------------------------------------------------------------------


def test_a_pause_with_nothing_running_is_at_once() -> None:
    world = World(chain("a", "b")).start()
    world.ends("a", Sleep(60.0))
    events = world.stops(Stopping("operator", by="ann"))
    assert [(type(e), e.why, e.by) for e in events if isinstance(e, ExecutionPaused)] == [
        (ExecutionPaused, "operator", "ann")
    ]
    assert world.status == "paused"


def test_a_pause_starts_nothing_and_comes_when_the_last_attempt_has_ended() -> None:
    world = World(workflow(step("a"), step("b"), step("c", "a"))).start()
    assert world.stops(SIGNAL) == []
    assert starts(world.completes("a")) == []
    assert world.status == "running"
    world.is_interrupted("b")
    assert world.status == "paused"
    assert world.state.paused is not None
    assert world.state.paused.signal == "SIGTERM"


def test_a_paused_execution_does_nothing_until_it_is_resumed() -> None:
    world = World(chain("a", "b")).start()
    world.ends("a", Sleep(5.0))
    world.stops(SIGNAL)
    world.stopping = None
    assert world.passes(60) == []
    world.resumes()
    assert world.running == ["a"]


def test_a_request_to_pause_by_somebody_else_is_heeded() -> None:
    world = World(chain("a", "b")).start()
    assert world.appended(PauseRequested(by="ann", **world.stamp)) == []
    assert starts(world.completes("a")) == []
    assert world.status == "paused"
    assert world.state.paused is not None
    assert world.state.paused.by == "ann"


def test_a_request_to_pause_outlives_the_runner_that_was_asked() -> None:
    world = World(chain("a", "b")).start()
    world.appended(PauseRequested(by="ann", **world.stamp))
    assert starts(world.crashes()) == []
    assert world.status == "paused"
    assert starts(world.resumes()) == ["a"]


def test_who_cancels_what_is_being_paused_wants_no_more_of_it() -> None:
    world = World(chain("a", "b")).start()
    world.appended(PauseRequested(by="ann", **world.stamp))
    world.cancelled_by("bob")
    world.is_interrupted("a", "cancelled")
    assert world.status == "cancelled"


# -- sleeping ---------------------------------------------------------------------------------------------------------


def test_a_sleep_ends_when_it_is_due_and_the_step_is_called_again() -> None:
    world = World(chain("a", "b")).start()
    assert [type(event) for event in world.ends("a", Sleep(30.0))] == [SleepStarted]
    assert world.status == "sleeping"
    assert world.passes(29) == []
    assert [type(event) for event in world.passes(1)] == [SleepCompleted]
    assert world.running == ["a"]
    assert world.state.steps["a"].attempt == 1
    assert starts(world.completes("a")) == ["b"]


def test_sleeping_steps_wake_in_the_order_in_which_they_are_due() -> None:
    world = parallel("a", "b", "c", max_parallel=1)
    world.ends("a", Sleep(30.0))
    world.ends("b", Sleep(10.0))
    world.ends("c", Sleep(20.0))
    world.passes(100)
    woken = [world.running[0]]
    for _ in range(2):
        world.completes(woken[-1])
        woken += world.running
    assert woken == ["b", "c", "a"]


def test_a_sleeping_step_takes_no_place_among_the_running() -> None:
    world = parallel("a", "b", max_parallel=1)
    assert starts(world.ends("a", Sleep(10.0))) == ["b"]


def test_a_sleep_until_a_moment_that_is_past_is_over_at_once() -> None:
    world = World(chain("a")).start()
    world.ends("a", Sleep(until=START - timedelta(days=1)))
    assert world.state.steps["a"].calls[0].due_at == START
    assert world.running == ["a"]


def test_a_second_sleep_is_another_call() -> None:
    world = World(chain("a")).start()
    world.ends("a", Sleep(1.0))
    world.passes(1)
    world.ends("a", Sleep(2.0))
    world.passes(2)
    assert [call.result for call in world.state.steps["a"].calls] == ["slept", "slept"]
    assert [event.call for event in world.log if isinstance(event, SleepStarted)] == [0, 1]


@pytest.mark.parametrize(
    "asked",
    [
        Sleep(1e300),
        Sleep(float("inf")),
        Sleep(until=datetime(2030, 1, 1)),  # noqa: DTZ001 - a moment without a time zone is the point
        Approval(timeout=1e300),
        Approval(timeout=float("nan")),
    ],
)
def test_a_wait_for_a_time_that_cannot_be_fails_the_step(asked: Sleep | Approval) -> None:
    world = World(workflow(step("a", retry=retry(3)))).start()
    world.ends("a", asked)
    assert world.status == "failed"
    assert world.state.steps["a"].error is not None
    assert world.state.steps["a"].error.kind == "invalid"


# -- approvals --------------------------------------------------------------------------------------------------------


def asked(timeout: float | None = None, **fields: Any) -> World:
    """A step that waits for an approval, and one after it."""
    world = World(chain("a", "b")).start()
    world.ends("a", Approval("go?", timeout=timeout, **fields))
    return world


def test_an_approval_by_somebody_else_lets_the_same_attempt_go_on() -> None:
    world = asked()
    assert world.status == "waiting_for_approval"
    events = world.granted("a", ticket="OPS-1")
    assert [(type(e), e.attempt) for e in events if isinstance(e, StepStarted)] == [(StepStarted, 1)]
    assert world.state.steps["a"].calls[0].response == {"ticket": "OPS-1"}
    assert world.state.steps["a"].calls[0].by == "ann"
    assert starts(world.completes("a")) == ["b"]


def test_an_approval_given_while_no_runner_was_there_counts_when_one_is() -> None:
    world = asked()
    world.folds(ApprovalGranted(step="a", call=0, by="ann", **world.stamp))
    assert world.statuses["a"] == "answered"
    assert starts(world.crashes()) == ["a"]


def test_a_rejection_fails_the_execution_with_its_own_kind() -> None:
    world = asked()
    world.rejected("a", "not on a Friday")
    assert world.status == "failed"
    assert world.state.error == error("rejected", "step a failed: rejected by ann: not on a Friday", None)


def test_a_rejection_is_not_retried() -> None:
    world = World(workflow(step("a", retry=retry(5)))).start()
    world.ends("a", Approval())
    world.rejected("a")
    assert world.status == "failed"


def test_a_rejection_shows_in_the_end_even_if_another_step_failed_before() -> None:
    world = parallel("a", "b", "c")
    world.ends("a", Approval())
    world.fails("b")
    world.rejected("a")
    world.completes("c")
    assert world.state.error is not None
    assert world.state.error.kind == "rejected"


def test_resuming_after_a_rejection_asks_again() -> None:
    world = asked()
    world.rejected("a")
    assert starts(world.resumes()) == ["a"]
    assert world.state.steps["a"].calls == ()
    world.ends("a", Approval("really?"))
    assert world.status == "waiting_for_approval"
    world.granted("a")
    world.completes("a", "b")
    assert world.status == "completed"


@pytest.mark.parametrize(("policy", "kind"), [("fail", "timeout"), ("reject", "rejected")])
def test_an_approval_that_nobody_gives_in_time_fails(policy: str, kind: str) -> None:
    world = asked(60.0, on_timeout=policy)
    assert world.passes(59) == []
    world.passes(1)
    assert world.status == "failed"
    assert world.state.steps["a"].error == error(kind, "nobody decided in time", None)
    assert world.state.error is not None
    assert world.state.error.kind == ("rejected" if policy == "reject" else "step_failed")


def test_an_approval_that_nobody_gives_in_time_may_count_as_given() -> None:
    world = asked(60.0, on_timeout="approve")
    assert [type(event) for event in world.passes(60)] == [ApprovalTimedOut, StepStarted]
    world.completes("a", "b")
    assert world.status == "completed"


def test_resuming_keeps_the_answers_a_step_has_got_and_only_asks_again_what_was_refused() -> None:
    world = asked(60.0, on_timeout="approve")
    world.passes(60)
    world.ends("a", Sleep(1.0))
    world.passes(1)
    world.ends("a", Approval("and now?"))
    world.rejected("a")
    world.resumes()
    assert [call.result for call in world.state.steps["a"].calls] == ["timed_out", "slept"]


def test_the_time_to_decide_runs_out_even_if_no_attempt_is_free() -> None:
    world = parallel("a", "b", max_parallel=1)
    world.ends("a", Approval(timeout=5.0, on_timeout="approve"))
    assert [type(event) for event in world.passes(5)] == [ApprovalTimedOut]
    assert starts(world.completes("b")) == ["a"]


def test_nothing_wakes_after_an_approval_that_ran_out_in_the_same_turn() -> None:
    world = parallel("a", "b")
    world.ends("a", Approval(timeout=5.0))
    world.ends("b", Sleep(6.0))
    world.passes(60)
    assert world.statuses == {"a": "failed", "b": "sleeping"}
    assert world.status == "failed"


def test_an_answer_for_a_step_that_does_not_wait_has_no_bearing() -> None:
    world = asked()
    grant = ApprovalGranted(step="a", call=0, by="ann", **world.stamp)
    world.granted("a")
    world.completes("a")
    world.folds(ApprovalGranted(step="a", call=0, by="bob", **world.stamp))
    assert world.statuses["a"] == "completed"
    assert world.state.steps["a"].calls[0].by == grant.by


# -- the workflow's own time limit ------------------------------------------------------------------------------------


def test_a_workflow_that_takes_too_long_fails() -> None:
    world = World(chain("a", "b", timeout=60.0)).start()
    world.completes("a")
    assert world.passes(60) == []
    world.fails("b", error("timeout"))
    assert world.status == "failed"
    assert world.state.main_failed() == ("b",)


def test_a_retry_does_not_outlast_the_workflow_s_time() -> None:
    world = World(workflow(step("a", retry=retry(5, delay=1.0)), timeout=60.0)).start()
    world.passes(61)
    world.fails("a")
    assert world.status == "failed"


def test_a_wait_that_outlasts_the_workflow_s_time_ends_it() -> None:
    world = World(chain("a", timeout=60.0)).start()
    world.ends("a", Sleep(600.0))
    world.passes(60)
    assert world.status == "failed"
    assert world.state.error == error("timeout", "the workflow took longer than 60 s", None)
    assert world.statuses["a"] == "sleeping"


def test_a_workflow_that_is_finished_is_not_late() -> None:
    world = World(chain("a", timeout=60.0, on_success=(step("g"),))).start()
    world.completes("a")
    world.passes(3600)
    world.completes("g")
    assert world.status == "completed"


def test_a_resume_by_hand_has_the_workflow_s_whole_time_again() -> None:
    world = World(chain("a", timeout=60.0)).start()
    world.passes(61)
    world.fails("a", error("timeout"))
    world.resumes()
    world.passes(59)
    world.completes("a")
    assert world.status == "completed"


def test_a_takeover_does_not_begin_the_workflow_s_time_anew() -> None:
    world = World(chain("a", "b", timeout=60.0)).start()
    world.completes("a")
    world.now += timedelta(seconds=50)
    world.crashes()
    world.passes(61)
    world.fails("b", error("timeout"))
    assert world.status == "failed"
