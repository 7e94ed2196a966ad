"""What follows from the lock of a group: nothing of an execution starts without it, nothing is lost by waiting."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cerebelum.core.admission import Admission
from cerebelum.core.decide import Stopping
from cerebelum.core.events import CancelRequested
from cerebelum.core.model import Concurrency, Workflow
from cerebelum.core.outcome import Sleep
from cerebelum.core.summary import due_at
from tests.core.world import START, World, chain, step, workflow

GROUP = Concurrency("production")


def queued(definition: Workflow, **conditions: Any) -> World:
    """An execution that has begun, and has not looked at the line yet."""
    return World(definition, **conditions).start(concurrency=GROUP)


def admitted(definition: Workflow) -> World:
    world = queued(definition)
    world.turn(Admission(()))
    return world


def test_nothing_starts_before_it_has_the_lock() -> None:
    world = queued(chain("a", "b"))
    assert (world.types(), world.status) == (["ExecutionStarted"], "waiting_for_lock")
    world.passes(60)
    world.turn(Admission(("first", "second")))
    world.passes(60)
    assert world.types() == ["ExecutionStarted", "LockAwaited"]
    awaited: Any = world.log[-1]
    assert (awaited.group, awaited.holder, awaited.ahead) == ("production", "first", 2)
    world.turn(Admission(()))
    assert (world.running, world.status, world.state.locked_at) == (["a"], "running", world.now)
    assert world.types()[-2:] == ["LockAcquired", "StepStarted"]


def test_one_that_has_the_lock_takes_no_notice_of_another_look() -> None:
    world = admitted(chain("a"))
    for ahead in ((), ("first",)):
        assert world.turn(Admission(ahead)) == []


def test_whatever_it_goes_on_with_it_needs_the_lock_first() -> None:
    world = admitted(chain("a", "b"))
    world.crashes()
    assert (world.running, world.status) == ([], "waiting_for_lock")
    assert world.statuses == {"a": "interrupted", "b": "pending"}
    world.turn(Admission(()))
    assert world.started() == ["a", "a"]


def test_what_is_due_waits_for_the_lock() -> None:
    world = admitted(chain("nap", "b"))
    world.ends("nap", Sleep(10))
    world.resumes(reason="woken", continues=True)
    assert world.passes(60) == []
    assert due_at(world.state) is None
    world.turn(Admission(()))
    assert "SleepCompleted" in world.types()


def test_time_in_line_is_no_part_of_the_time_limit() -> None:
    world = queued(chain("a", timeout=30.0))
    world.now += timedelta(seconds=100)
    world.turn(Admission(()))
    assert world.state.segment_at == START + timedelta(seconds=100)
    # Of a segment that goes on, what had passed before it was cut off counts; here that is nothing.
    world.passes(20)
    world.crashes()
    world.now += timedelta(seconds=100)
    world.turn(Admission(()))
    assert world.state.segment_at == world.now


def test_a_pause_in_line_takes_effect_at_once() -> None:
    world = queued(chain("a"))
    world.stops(Stopping("signal", "SIGINT"))
    assert (world.types()[-1], world.status) == ("ExecutionPaused", "paused")
    assert world.turn(Admission(())) == []
    world.resumes()
    assert world.status == "waiting_for_lock"


def test_cancelled_before_it_began_it_ends_at_once_and_without_handlers() -> None:
    world = queued(workflow(step("a"), on_cancel=(step("c"),), finally_=(step("f"),)))
    world.cancelled_by()
    assert (world.types(), world.started()) == (["ExecutionStarted", "CancelRequested", "ExecutionCancelled"], [])


def test_a_request_to_cancel_comes_before_the_turn_that_comes_with_it() -> None:
    world = queued(workflow(step("a"), on_cancel=(step("c"),)))
    world.folds(CancelRequested(by="ann", **world.stamp))
    assert [type(event).__name__ for event in world.turn(Admission(()))] == ["ExecutionCancelled"]


def test_cancelled_after_it_had_begun_its_handlers_wait_for_the_lock() -> None:
    world = admitted(workflow(step("a"), on_cancel=(step("c"),), finally_=(step("f"),)))
    world.crashes()
    assert world.cancelled_by() == []
    assert world.status == "waiting_for_lock"
    world.turn(Admission(()))
    assert world.running == ["c"]
    world.completes("c", "f")
    assert world.types()[-1] == "ExecutionCancelled"
