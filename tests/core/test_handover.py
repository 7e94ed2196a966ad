"""Steps that workers perform, as the log tells of them: handed over, taken, reported, refused, withdrawn."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cerebelum.core.decide import Ended, Stopping
from cerebelum.core.events import (
    AnyEvent,
    ExecutionPaused,
    PauseRequested,
    StepCompleted,
    StepFailed,
    StepHandedOver,
    StepInterrupted,
    StepReported,
    StepSkipped,
    StepStarted,
    StepTaken,
)
from cerebelum.core.model import RunsOn, Step
from cerebelum.core.outcome import Approval, Completed, Failed, Interrupted, Sleep
from cerebelum.core.summary import summarise
from tests.core.world import FAILED, World, retry, step, workflow

GPU = RunsOn("gpu", ("a100",))


def placed(step_id: str, *needs: str, **fields: Any) -> Step:
    """A step that a worker performs."""
    return step(step_id, *needs, runs_on=GPU, **fields)


def kinds(events: list[AnyEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


def dies(world: World, step_id: str) -> list[AnyEvent]:
    return world.turn(Ended(step_id, Interrupted(), why="runner_died"))


def test_a_step_is_handed_over_where_it_would_be_started_and_others_go_on() -> None:
    world = World(workflow(placed("fit"), step("beside"), step("after", "fit"))).start()
    [handed] = [e for e in world.log if isinstance(e, StepHandedOver)]
    assert (handed.step, handed.attempt, handed.queue, handed.labels) == ("fit", 1, "gpu", ("a100",))
    assert world.running == ["beside"]
    world.completes("beside")
    assert world.status == "waiting_for_worker"
    assert summarise(world.state, "").reason == "fit in the queue gpu"
    taken = world.taken("fit")
    assert world.status == "waiting_for_worker"
    assert summarise(world.state, "").reason == "fit on on-w1"
    events = world.reported(taken, Completed({"loss": 3}), duration=2.5)
    assert kinds(events) == ["StepCompleted", "StepStarted"]
    assert isinstance(events[0], StepCompleted)
    assert (events[0].output, events[0].duration) == ({"loss": 3}, 2.5)
    assert world.state.steps["fit"].host == "on-w1"


def test_what_was_reported_and_not_yet_decided_counts_as_running() -> None:
    world = World(workflow(placed("fit"))).start()
    taken = world.taken("fit")
    same: dict[str, Any] = {"step": "fit", "attempt": 1, "handover": taken.handover, "worker": "w1", "host": "h"}
    world.folds(StepReported(outcome="completed", **same, **world.stamp))
    assert world.statuses == {"fit": "reported"}
    assert world.status == "running", "whoever looks for what can go on finds it"


def test_only_one_worker_takes_it_and_only_its_own_report_counts() -> None:
    world = World(workflow(placed("fit"))).start()
    taken = world.taken("fit", "w1")
    late = StepTaken(step="fit", attempt=1, handover=taken.handover, worker="w2", host="h", **world.stamp)
    world.appended(late)
    assert world.state.steps["fit"].taken == taken
    other = StepTaken(version=99, at=world.now, step="fit", attempt=1, handover=taken.handover, worker="w2", host="h")
    assert world.reported(other, Completed()) == []
    assert world.reported(taken, Completed(), refused="it was given up") == []
    assert world.statuses == {"fit": "on_worker"}
    assert kinds(world.reported(taken, Completed())) == ["StepCompleted", "ExecutionCompleted"]


def test_the_report_on_an_attempt_that_was_given_up_counts_for_nothing() -> None:
    world = World(workflow(placed("fit"))).start()
    first = world.taken("fit")
    assert kinds(dies(world, "fit")) == ["StepInterrupted", "StepHandedOver"]
    assert world.reported(first, Completed("late")) == []
    second = world.taken("fit")
    assert second.handover != first.handover
    assert world.reported(first, Completed("late")) == []
    assert kinds(world.reported(second, Completed("mine"))) == ["StepCompleted", "ExecutionCompleted"]
    assert world.state.steps["fit"].output == "mine"


def test_a_failure_is_tried_again_on_a_worker() -> None:
    world = World(workflow(placed("fit", retry=retry(2, delay=0.0)))).start()
    assert kinds(world.reported(world.taken("fit"), FAILED)) == ["StepFailed", "StepHandedOver"]
    events = world.reported(world.taken("fit"), FAILED)
    assert kinds(events) == ["StepFailed", "ExecutionFailed"]
    assert isinstance(events[0], StepFailed)
    assert events[0].attempt == 2
    assert world.state.steps["fit"].host == "on-w1"


def test_one_that_makes_no_sense_to_try_again_is_final() -> None:
    world = World(workflow(placed("fit", retry=retry(5, delay=0.0)))).start()
    assert kinds(world.reported(world.taken("fit"), Failed(FAILED.error, retryable=False))) == [
        "StepFailed",
        "ExecutionFailed",
    ]


def test_a_sleep_and_an_approval_are_waited_for_by_the_log_and_the_same_attempt_goes_on() -> None:
    world = World(workflow(placed("fit"))).start()
    assert kinds(world.reported(world.taken("fit"), Sleep(60.0))) == ["SleepStarted"]
    assert world.status == "sleeping"
    assert kinds(world.passes(60)) == ["SleepCompleted", "StepHandedOver"]
    assert world.statuses == {"fit": "waiting_for_worker"}
    assert kinds(world.reported(world.taken("fit"), Approval("go?"))) == ["ApprovalRequested"]
    [handed] = world.granted("fit")
    assert isinstance(handed, StepHandedOver)
    assert handed.attempt == 1
    assert world.reported(world.taken("fit"), Completed())


def test_attempts_on_workers_count_for_max_parallel() -> None:
    world = World(workflow(placed("a"), step("b"), step("c"), max_parallel=2)).start()
    assert world.running == ["b"]
    world.reported(world.taken("a"), Completed())
    assert world.running == ["b", "c"]


def test_a_cancellation_withdraws_what_no_worker_has_and_waits_for_what_one_has() -> None:
    world = World(workflow(placed("a"), placed("b"))).start()
    taken = world.taken("a")
    [withdrawn] = world.cancelled_by("ann")
    assert isinstance(withdrawn, StepInterrupted)
    assert (withdrawn.step, withdrawn.why) == ("b", "withdrawn")
    assert world.statuses == {"a": "on_worker", "b": "pending"}
    events = world.reported(taken, Interrupted(), why="cancelled")
    assert kinds(events) == ["StepInterrupted", "ExecutionCancelled"]


def test_a_final_failure_withdraws_what_had_not_begun_and_lets_the_rest_finish() -> None:
    world = World(workflow(placed("fresh"), placed("again", retry=retry(2, delay=0.0)), step("c"))).start()
    world.reported(world.taken("again"), FAILED)
    events = world.fails("c", retryable=False)
    assert [(e.step, e.why) for e in events if isinstance(e, StepInterrupted)] == [("fresh", "withdrawn")]
    assert world.statuses == {"fresh": "pending", "again": "waiting_for_worker", "c": "failed"}
    assert kinds(world.reported(world.taken("again"), Completed())) == ["StepCompleted", "ExecutionFailed"]


def test_a_signal_asks_workers_by_the_log_and_pauses_when_they_have_answered() -> None:
    world = World(workflow(placed("a"), placed("b"))).start()
    taken = world.taken("a")
    events = world.stops(Stopping("signal", "SIGTERM"))
    assert kinds(events) == ["StepInterrupted", "PauseRequested"]
    assert isinstance(events[1], PauseRequested)
    assert events[1].signal == "SIGTERM"
    assert world.passes(1) == [], "it is asked once"
    events = world.reported(taken, Interrupted(), why="stopped")
    assert kinds(events) == ["StepInterrupted", "ExecutionPaused"]
    assert isinstance(events[1], ExecutionPaused)
    assert events[1].signal == "SIGTERM"
    assert kinds(world.resumes()) == ["ExecutionResumed", "StepHandedOver", "StepHandedOver"]


def test_whoever_only_hands_over_leaves_workers_alone() -> None:
    world = World(workflow(placed("a"), placed("b"))).start()
    world.taken("a")
    assert world.stops(Stopping("signal", "SIGTERM", hand_over=True)) == []
    assert world.statuses == {"a": "on_worker", "b": "waiting_for_worker"}


def test_when_the_driver_dies_attempts_on_workers_go_on() -> None:
    world = World(workflow(placed("a"), step("b"))).start()
    taken = world.taken("a")
    events = world.crashes()
    assert [e.step for e in events if isinstance(e, StepInterrupted)] == ["b"]
    assert world.statuses["a"] == "on_worker"
    assert "StepCompleted" in kinds(world.reported(taken, Completed()))


def test_what_on_interrupt_says_holds_when_a_worker_dies() -> None:
    world = World(workflow(placed("fit", on_interrupt="fail"))).start()
    world.taken("fit")
    world.now += timedelta(seconds=5)
    events = dies(world, "fit")
    assert kinds(events) == ["StepInterrupted", "StepFailed", "ExecutionFailed"]
    assert isinstance(events[1], StepFailed)
    assert (events[1].error.kind, events[1].duration) == ("interrupted", 5.0)


def test_a_step_of_which_too_many_workers_died_in_a_row_is_given_up_until_somebody_resumes() -> None:
    world = World(workflow(placed("fit"))).start()
    for _ in range(5):
        world.taken("fit")
        assert kinds(dies(world, "fit")) == ["StepInterrupted", "StepHandedOver"]
    world.taken("fit")
    failed = dies(world, "fit")[1]
    assert isinstance(failed, StepFailed)
    assert failed.error.kind == "resurrection_exhausted"
    assert "6 workers in a row" in failed.error.message
    assert kinds(world.resumes()) == ["ExecutionResumed", "StepHandedOver"]


def test_deaths_in_a_row_are_forgotten_when_an_attempt_comes_to_an_end() -> None:
    world = World(workflow(placed("fit", retry=retry(3, delay=0.0)))).start()
    world.taken("fit")
    dies(world, "fit")
    world.reported(world.taken("fit"), FAILED)
    assert world.state.steps["fit"].deaths == 0


def test_a_step_whose_definition_was_changed_is_handed_over_anew() -> None:
    world = World(workflow(placed("fit"))).start()
    first = world.taken("fit")
    world.resumes(workflow(placed("fit", body="other")), continues=True)
    assert world.log[-1].version != first.handover
    assert world.statuses == {"fit": "waiting_for_worker"}
    assert world.reported(first, Completed()) == []


def test_the_workflows_time_limit_withdraws_what_no_worker_has() -> None:
    world = World(workflow(placed("fit"), timeout=60.0)).start()
    due = summarise(world.state, "").due_at
    assert due is not None, "whoever looks after parked executions looks then"
    world.passes(61)
    assert world.status == "failed"
    assert world.statuses == {"fit": "pending"}


def test_where_everything_is_to_run_here_what_waits_for_a_worker_is_taken_back_and_started() -> None:
    world = World(workflow(placed("a"), placed("b"))).start()
    taken = world.taken("a")
    world.here = True
    assert kinds(world.resumes(continues=True)) == ["ExecutionResumed", "StepInterrupted", "StepStarted"]
    assert world.statuses == {"a": "on_worker", "b": "running"}
    assert "StepCompleted" in kinds(world.reported(taken, Completed()))


def test_a_step_whose_condition_does_not_hold_is_not_handed_over() -> None:
    world = World(workflow(placed("fit", when="${{ inputs.train }}")), fit=False).start()
    assert [e for e in world.log if isinstance(e, StepSkipped)]
    assert not [e for e in world.log if isinstance(e, StepHandedOver | StepStarted)]
