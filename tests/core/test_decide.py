"""What follows from what happens in the main graph: order, skipping, retries, failures and interruptions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cerebelum.core.decide import Nudge, Opened, Stopping, decide, delay
from cerebelum.core.errors import CerebelumError
from cerebelum.core.events import (
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionResumed,
    StepInterrupted,
    StepSkipped,
    StepStarted,
)
from cerebelum.core.model import Retry
from cerebelum.core.outcome import Approval, Completed, Sleep
from cerebelum.core.state import State
from tests.core.world import START, World, chain, error, explicit, retry, starts, step, workflow

SIGNAL = Stopping("signal", "SIGTERM")


def retried(attempts: int = 3, **fields: Any) -> World:
    """A single step with retries, started."""
    return World(workflow(step("a", retry=retry(attempts, **fields)))).start()


def parallel(*names: str, **fields: Any) -> World:
    return World(workflow(*(step(name) for name in names), **fields)).start()


# -- order ------------------------------------------------------------------------------------------------------------


def test_steps_of_a_timeline_run_one_after_the_other() -> None:
    world = World(chain("a", "b", "c")).start()
    assert world.running == ["a"]
    assert starts(world.completes("a")) == ["b"]
    assert starts(world.completes("b")) == ["c"]
    world.completes("c")
    assert world.status == "completed"


def test_an_end_and_what_it_lets_start_are_decided_in_one_turn() -> None:
    world = World(workflow(step("a"), step("b", "a"), step("c", "a"))).start()
    assert [type(event).__name__ for event in world.completes("a")] == ["StepCompleted", "StepStarted", "StepStarted"]


def test_a_step_after_a_group_waits_for_all_of_it() -> None:
    world = World(workflow(step("a"), step("b"), step("c", "a", "b"))).start()
    assert starts(world.completes("b")) == []
    assert starts(world.completes("a")) == ["c"]


def test_no_needs_at_all_starts_at_once() -> None:
    world = World(workflow(step("a"), explicit("b"))).start()
    assert world.running == ["a", "b"]


def test_a_step_may_need_one_that_stands_further_down() -> None:
    world = World(workflow(explicit("a", "b"), explicit("b"))).start()
    assert world.running == ["b"]
    assert starts(world.completes("b")) == ["a"]


def test_steps_beyond_max_parallel_start_in_the_file_s_order_as_attempts_end() -> None:
    world = parallel("a", "b", "c", "d", max_parallel=2)
    assert world.running == ["a", "b"]
    assert starts(world.completes("b", "a")) == ["c", "d"]


def test_the_end_holds_the_outputs_and_the_result() -> None:
    world = World(chain("a"))
    world.result = lambda state: {"a": state.steps["a"].output}
    world.start().completes("a", output={"digest": "abc"})
    assert world.state.output == {"a": {"digest": "abc"}}


def test_a_result_that_cannot_be_told_fails_the_execution() -> None:
    def result(state: State) -> None:
        raise CerebelumError("steps.b is not there")

    world = World(chain("a"))
    world.result = result
    world.start().completes("a")
    assert world.status == "failed"
    assert world.state.error == error("expression", "output: steps.b is not there", None)


def test_steps_taken_over_by_a_fork_do_not_run() -> None:
    world = World(chain("a", "b", "c")).start(reused={"a": 1, "b": {"x": 2}})
    assert world.running == ["c"]
    assert world.state.steps["b"].output == {"x": 2}


# -- skipping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", [False, "${{ inputs.x }}"])
def test_a_timeline_goes_on_over_a_skipped_step(when: str | bool) -> None:
    world = World(workflow(step("a"), step("b", "a", when=when), step("c", "b")), b=False).start()
    events = world.completes("a")
    assert [type(event) for event in events[1:]] == [StepSkipped, StepStarted]
    assert world.running == ["c"]


def test_explicit_needs_are_not_met_by_a_skipped_step() -> None:
    world = World(workflow(step("a", when=False), explicit("b", "a"), explicit("c", "b"), step("d", "c"))).start()
    assert world.statuses == {"a": "skipped", "b": "skipped", "c": "skipped", "d": "running"}
    assert world.state.steps["b"].skipped == "dependency"
    skips = [event for event in world.log if isinstance(event, StepSkipped)]
    assert [(event.step, event.why, event.detail) for event in skips] == [
        ("a", "condition", None),
        ("b", "dependency", "a"),
        ("c", "dependency", "b"),
    ]


def test_the_condition_of_a_step_is_asked_only_when_its_needs_are_met() -> None:
    world = World(workflow(step("a", when=False), explicit("b", "a", when="${{ steps.a.output }}")), b=None).start()
    assert world.statuses == {"a": "skipped", "b": "skipped"}
    assert world.status == "completed"


def test_a_condition_that_cannot_be_evaluated_fails_the_step() -> None:
    world = World(workflow(step("a", when="${{ nowhere }}"), step("b", "a")), a=None).start()
    assert world.status == "failed"
    failure = world.state.steps["a"].error
    assert failure is not None
    assert failure.kind == "expression"
    assert "nowhere" in failure.message


def test_a_condition_that_cannot_be_evaluated_takes_no_place_among_the_running() -> None:
    world = World(workflow(step("a"), step("b", when="${{ x }}"), max_parallel=1), b=None).start()
    assert world.running == ["a"]
    assert starts(world.log) == ["a"]
    assert world.statuses["b"] == "failed"


def test_a_condition_is_looked_at_again_when_an_interrupted_step_is_taken_up() -> None:
    world = World(chain("a", "b")).start()
    world.stops(SIGNAL)
    world.is_interrupted("a")
    world.resumes(workflow(step("a", when=False), step("b", "a")))
    assert world.statuses == {"a": "skipped", "b": "running"}


# -- retries ----------------------------------------------------------------------------------------------------------


def test_a_failed_attempt_is_tried_again_after_its_delay() -> None:
    world = retried(2, delay=5.0)
    world.fails("a")
    assert world.state.steps["a"].retry_at == START + timedelta(seconds=5)
    assert world.status == "sleeping"
    assert world.passes(4.9) == []
    assert starts(world.passes(0.1)) == ["a"]
    assert world.state.steps["a"].attempt == 2
    world.completes("a")
    assert world.status == "completed"


def test_a_retry_without_delay_is_decided_at_once() -> None:
    world = World(workflow(step("a", retry=retry(2, delay=0.0)), step("b"), max_parallel=1)).start()
    assert starts(world.fails("a")) == ["a"]


def test_the_last_attempt_s_failure_is_final() -> None:
    world = retried(2, delay=1.0)
    world.fails("a")
    world.passes(1)
    world.fails("a")
    assert world.state.steps["a"].attempt == 2
    assert world.status == "failed"


def test_a_failure_that_cannot_be_mended_by_trying_again_is_final() -> None:
    world = retried(3)
    world.fails("a", retryable=False)
    assert world.status == "failed"


def test_only_the_exit_codes_named_are_worth_a_retry() -> None:
    world = retried(3, on=(75,), delay=1.0)
    world.fails("a", error(exit_code=75))
    world.passes(1)
    world.fails("a", error(exit_code=1))
    assert world.status == "failed"


def test_a_failure_without_exit_code_is_not_among_those_named() -> None:
    world = retried(3, on=(75,))
    world.fails("a", error("exception", exit_code=None))
    assert world.status == "failed"


def test_each_delay_is_the_one_before_times_backoff_up_to_max_delay() -> None:
    assert [delay(Retry(9, 5.0, 2.0, 30.0), n, 0.5) for n in range(5)] == [5.0, 10.0, 20.0, 30.0, 30.0]


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 8.0), (0.5, 10.0), (0.75, 11.0)])
def test_jitter_spreads_the_delay_both_ways(chance: float, seconds: float) -> None:
    assert delay(Retry(9, 10.0, jitter=0.2), 0, chance) == pytest.approx(seconds)


@pytest.mark.parametrize("longest", [None, 1e300])
def test_a_delay_never_grows_beyond_what_a_calendar_holds(longest: float | None) -> None:
    assert delay(Retry(9999, 5.0, 10.0, longest), 9000, 0.5) == 365 * 86400


def test_a_delay_is_spread_by_the_chance_that_came_in() -> None:
    world = World(workflow(step("a", retry=retry(2, delay=10.0, jitter=0.5))))
    world.chance = 0.0
    world.start().fails("a")
    assert world.state.steps["a"].retry_at == START + timedelta(seconds=5)


def test_a_retry_that_waits_survives_the_death_of_its_runner() -> None:
    world = retried(2, delay=60.0)
    world.fails("a")
    due = world.state.steps["a"].retry_at
    assert starts(world.crashes()) == []
    assert world.state.steps["a"].retry_at == due
    assert starts(world.passes(60)) == ["a"]


def test_an_interrupted_attempt_costs_no_retry() -> None:
    world = retried(2, delay=1.0)
    for _ in range(5):
        world.crashes()
    assert world.state.steps["a"].attempt == 6
    world.fails("a")
    assert world.statuses["a"] == "retrying"
    world.passes(1)
    world.fails("a")
    assert world.status == "failed"


def test_a_failed_step_resumed_by_hand_has_all_its_attempts_again_and_numbers_go_on() -> None:
    world = retried(2, delay=1.0)
    world.fails("a")
    world.passes(1)
    world.fails("a")
    world.resumes()
    assert world.state.steps["a"].attempt == 3
    world.fails("a")
    assert world.statuses["a"] == "retrying"


def test_a_step_that_has_not_failed_for_good_keeps_its_count_when_resumed_by_hand() -> None:
    world = retried(2, delay=1.0)
    world.fails("a")
    world.passes(1)
    world.stops(SIGNAL)
    world.is_interrupted("a")
    world.resumes()
    world.fails("a")
    assert world.status == "failed"


def test_a_due_retry_waits_until_an_attempt_may_run() -> None:
    world = World(workflow(step("a", retry=retry(2, delay=1.0)), step("b"), max_parallel=1)).start()
    assert starts(world.fails("a")) == ["b"]
    assert world.passes(10) == []
    assert starts(world.completes("b")) == ["a"]


def test_a_due_retry_goes_before_steps_that_have_not_begun() -> None:
    world = World(workflow(step("a", retry=retry(2, delay=1.0)), step("b"), step("c"), max_parallel=1)).start()
    world.fails("a")
    world.passes(10)
    assert starts(world.completes("b")) == ["a"]


# -- a final failure --------------------------------------------------------------------------------------------------


def test_a_final_failure_starts_nothing_new_while_what_runs_finishes() -> None:
    world = World(workflow(step("a"), step("b"), step("c", "b"), step("d"), max_parallel=2)).start()
    assert starts(world.fails("a")) == []
    assert world.status == "running"
    assert starts(world.completes("b")) == []
    assert world.statuses == {"a": "failed", "b": "completed", "c": "pending", "d": "pending"}
    assert world.status == "failed"


def test_retries_of_what_was_running_finish_after_a_final_failure() -> None:
    world = World(workflow(step("a"), step("b", retry=retry(3, delay=5.0)))).start()
    world.fails("b")
    world.fails("a")
    assert world.status == "sleeping"
    world.passes(5)
    world.fails("b")
    assert world.state.ended is None
    world.passes(5)
    world.completes("b")
    assert world.status == "failed"
    assert world.statuses["b"] == "completed"


def test_sleeps_and_approvals_are_not_awaited_after_a_final_failure() -> None:
    world = parallel("a", "b", "c")
    world.ends("a", Sleep(60.0))
    world.ends("b", Approval("go?"))
    world.fails("c")
    assert world.status == "failed"
    assert world.statuses == {"a": "sleeping", "b": "waiting_for_approval", "c": "failed"}


def test_a_sleep_left_pending_goes_on_when_the_execution_is_resumed() -> None:
    world = parallel("a", "b")
    world.ends("a", Sleep(60.0))
    world.fails("b")
    world.resumes()
    assert world.statuses == {"a": "sleeping", "b": "running"}
    world.completes("b")
    world.passes(60)
    world.completes("a")
    assert world.status == "completed"


def test_a_sleep_that_ends_while_failures_wind_down_is_not_woken() -> None:
    world = World(workflow(step("a"), step("b"), step("c"))).start()
    world.ends("a", Sleep(5.0))
    world.fails("b")
    assert world.passes(10) == []
    assert world.statuses["a"] == "sleeping"


def test_deaths_in_a_row_are_counted_until_a_step_completes_or_somebody_resumes() -> None:
    world = parallel("a", "b", "c")
    world.crashes()
    world.crashes()
    assert world.state.resurrections == 2
    world.completes("a")
    assert world.state.resurrections == 0
    world.crashes()
    world.fails("b")
    assert world.state.resurrections == 1
    world.completes("c")
    world.resumes()
    assert world.state.resurrections == 0


def test_what_was_cut_off_while_a_failure_wound_down_is_still_finished() -> None:
    world = parallel("a", "b")
    world.fails("a")
    assert starts(world.crashes()) == ["b"]
    world.completes("b")
    assert world.status == "failed"
    assert world.statuses == {"a": "failed", "b": "completed"}


def test_a_tolerated_failure_lets_the_execution_go_on_and_complete() -> None:
    world = World(workflow(step("a", continue_on_error=True), explicit("b", "a"))).start()
    assert starts(world.fails("a")) == ["b"]
    world.completes("b")
    assert world.status == "completed"
    assert world.statuses["a"] == "failed"


def test_the_error_of_the_execution_names_the_step_that_failed_first() -> None:
    world = parallel("a", "b")
    world.fails("b", error(message="disk full"))
    world.fails("a")
    end = world.log[-1]
    assert isinstance(end, ExecutionFailed)
    assert end.failed_steps == ("b", "a")
    assert end.error == error("step_failed", "step b failed: disk full", None)


# -- interruptions ----------------------------------------------------------------------------------------------------


def test_attempts_cut_off_by_the_runner_s_death_run_again() -> None:
    world = parallel("a", "b")
    events = world.crashes()
    cut = [event for event in events if isinstance(event, StepInterrupted)]
    assert [(event.step, event.attempt, event.why) for event in cut] == [
        ("a", 1, "runner_died"),
        ("b", 1, "runner_died"),
    ]
    assert starts(events) == ["a", "b"]
    assert world.state.steps["a"].attempt == 2


def test_what_was_cut_off_goes_before_what_had_not_begun() -> None:
    world = World(workflow(explicit("a", "b"), step("b"), step("c"), step("d"), max_parallel=2)).start()
    world.completes("b")
    assert world.running == ["c", "a"]
    world = World(workflow(explicit("a", "b"), explicit("c", "b"), step("b"), step("d"), max_parallel=2)).start()
    assert world.running == ["b", "d"]
    world.completes("b")
    assert world.running == ["d", "a"]
    assert starts(world.crashes()) == ["a", "d"]


def test_an_interruption_fails_a_step_that_says_so() -> None:
    world = World(workflow(step("a", on_interrupt="fail", retry=retry(5)))).start()
    world.crashes()
    assert world.status == "failed"
    assert world.state.steps["a"].attempt == 1
    assert world.state.steps["a"].error is not None
    assert world.state.steps["a"].error.kind == "interrupted"


def test_an_operator_s_interruption_reruns_even_a_step_that_says_fail() -> None:
    world = World(workflow(step("a", on_interrupt="fail"))).start()
    world.stops(Stopping("signal", "SIGINT"))
    world.is_interrupted("a", "operator")
    assert starts(world.resumes()) == ["a"]


def test_a_step_failed_by_an_interruption_runs_when_it_is_resumed() -> None:
    world = World(workflow(step("a", on_interrupt="fail"))).start()
    world.crashes()
    assert starts(world.resumes()) == ["a"]


@pytest.mark.parametrize("policy", ["rerun", "verify"])
def test_the_attempt_after_an_interruption_knows_of_it(policy: str) -> None:
    world = World(workflow(step("a", on_interrupt=policy, verify="./is-live.sh"))).start()
    world.crashes()
    before = world.state.steps["a"]
    assert before.interrupted == "runner_died"
    world.ends("a", Completed(1), verified=True)
    after = world.state.steps["a"]
    assert (after.status, after.interrupted, after.verified) == ("completed", None, True)


def test_a_step_that_went_on_to_wait_was_not_interrupted_any_more() -> None:
    world = World(chain("a")).start()
    world.crashes()
    world.ends("a", Sleep(1.0))
    world.passes(1)
    assert world.running == ["a"]
    assert world.state.steps["a"].interrupted is None


def test_the_end_of_an_attempt_that_is_no_longer_running_means_nothing() -> None:
    world = parallel("a", "b")
    world.completes("a")
    assert world.completes("a", "nowhere") == []


# -- the pure function itself -----------------------------------------------------------------------------------------


def test_decide_needs_nothing_but_its_arguments() -> None:
    first, second = World(chain("a", "b")).start(), World(chain("a", "b")).start()
    assert first.log == second.log


def test_a_nudge_with_nothing_to_do_decides_nothing() -> None:
    world = World(chain("a")).start()
    turn = decide(world.state, Nudge(), world.circumstances())
    assert turn.events == []
    assert turn.state is world.state


def test_opening_without_a_death_leaves_running_attempts_alone() -> None:
    world = parallel("a")
    world.turn(Opened(ExecutionResumed(reason="woken", continues=True, **world.stamp), died=False))
    assert world.running == ["a"]


def test_the_last_event_of_a_completed_execution_is_that_it_completed() -> None:
    world = World(chain("a")).start()
    assert isinstance(world.completes("a")[-1], ExecutionCompleted)
    assert [type(event).__name__ for event in world.log] == [
        "ExecutionStarted",
        "StepStarted",
        "StepCompleted",
        "ExecutionCompleted",
    ]
