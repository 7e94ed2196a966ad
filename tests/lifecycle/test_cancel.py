"""A cancellation stops everything of an execution within moments, wherever it is, and runs what has to run, once."""

import time

import pytest

from cerebelum.core.events import CancelRequested, ExecutionCancelled
from tests.lifecycle.world import World, crash, finish, wait_until

HANDLERS = """
    on_cancel: [{id: h, run: 'echo "cancel $CEREBELUM_STATUS" >> done'}]
    finally: [{id: z, run: echo finally >> done}]
    """
BUSY = """
    name: busy
    steps:
      - {id: a, run: echo a >> done}
      - id: work
        run: |
          setsid sleep 600 &
          nohup sleep 600 > /dev/null 2>&1 &
          (setsid sh -c 'sleep 600 & sleep 600' > /dev/null 2>&1 &) &
          python3 -c 'import os; os.fork() and os._exit(0); os.setsid(); os.fork() or os.execlp("sleep", "s", "600")'
          (trap "" TERM HUP INT; sleep 600) &
          echo up >> up
          sleep 600
      - {id: b, run: echo b >> done}
    """
STILL = """
    name: still
    steps:
      - {id: a, run: echo a >> done}
      - {id: go, approval: {message: 'Go?'}}
    """
OVER = ["a", "cancel cancelled", "finally"]


def test_a_running_execution_and_every_process_of_it_end_within_moments(world: World) -> None:
    runner = world.begin(BUSY + HANDLERS)
    world.wait_for_line("up")
    wait_until(lambda: len(world.left("CEREBELUM_STEP=work")) >= 6, "the processes of the step")
    began = time.monotonic()
    said = world("cancel", "x", "--by", "eve", "--why", "wrong version")
    assert (said.code, said.err) == (0, "")
    done = finish(runner)
    assert done.code == 6
    assert time.monotonic() - began < 15
    assert world.left() == []
    assert world.lines("done") == OVER
    assert world.status() == "cancelled"
    ended = world.last(ExecutionCancelled)
    assert (ended.by, ended.why) == ("eve", "wrong version")
    asked = world.last(CancelRequested)
    stopped = next(e for e in world.events() if type(e).__name__ == "StepInterrupted")
    assert (stopped.at - asked.at).total_seconds() < 10
    history = world("history", "x").out
    assert "eve" in history
    assert "wrong version" in history


def test_a_polite_step_hears_of_it_within_a_second(world: World) -> None:
    command = 'trap "echo bye >> done; exit 1" TERM; echo up >> up; while :; do sleep 0.01; done'
    text = f"steps: [{{id: a, run: '{command}'}}]"
    runner = world.begin(text)
    world.wait_for_line("up")
    world("cancel", "x")
    assert finish(runner).code == 6
    asked, cancelled = world.last(CancelRequested).at, world.last(ExecutionCancelled).at
    assert world.lines("done") == ["bye"]
    assert (cancelled - asked).total_seconds() < 2.5


@pytest.mark.parametrize("how", ["parked", "paused", "interrupted", "interrupted while it waits"])
def test_an_execution_that_nobody_drives_is_cancelled_by_the_verb_itself(world: World, how: str) -> None:
    if how == "parked":
        assert world.run(STILL + HANDLERS, "--park").code == 75
    elif how == "paused":
        world.run(STILL + HANDLERS, "--park")
        assert world("pause", "x").code == 0
        assert world.status() == "paused"
    elif how == "interrupted":
        runner = world.begin(BUSY + HANDLERS)
        world.wait_for_line("up")
        crash(runner)
    else:
        runner = world.begin(STILL + HANDLERS)
        world.wait_for_event("ApprovalRequested go")
        crash(runner)
    said = world("cancel", "x", "--json")
    assert said.code == 0, said.err
    assert said.json()["status"] == "cancelled"
    assert world.lines("done") == OVER
    assert world.left() == []
    assert world.row().ownership.owner is None


def test_a_second_cancellation_is_harmless(world: World) -> None:
    world.run(STILL + HANDLERS, "--park")
    assert world("cancel", "x", "--by", "one").code == 0
    version = world.state().version
    again = world("cancel", "x", "--by", "two")
    assert (again.code, "x was cancelled already by one" in again.err) == (2, True)
    assert world.state().version == version
    assert world.lines("done") == OVER


@pytest.mark.parametrize(("command", "how"), [("true", "completed"), ("false", "failed")])
def test_what_has_ended_cannot_be_cancelled_or_paused(world: World, command: str, how: str) -> None:
    world.run(f"steps: [{{id: a, run: '{command}'}}]")
    version = world.state().version
    for verb in ("cancel", "pause"):
        refused = world(verb, "x")
        assert refused.code == 2
        assert how in refused.err
    assert world.state().version == version


def test_a_cancelled_execution_goes_on_only_from_a_named_step(world: World) -> None:
    world.run(STILL + HANDLERS, "--park")
    world("cancel", "x")
    refused = world("resume", "x")
    assert refused.code == 2
    assert "--from" in refused.err
    assert world("resume", "x", "--from", "a", "--park").code == 75
    assert world.lines("done") == [*OVER, "a"]
    assert world.status() == "waiting_for_approval"


def test_a_cancellation_during_failure_handlers_ends_them(world: World) -> None:
    text = """
        steps: [{id: a, run: exit 1}]
        on_failure: [{id: f, run: 'echo up >> up; sleep 600'}, {id: g, run: echo g >> done}]
        """
    runner = world.begin(text + HANDLERS.replace("    on", "        on").replace("    finally", "        finally"))
    world.wait_for_line("up")
    assert world("cancel", "x").code == 0
    assert finish(runner).code == 6
    assert world.lines("done") == ["cancel cancelled", "finally"]
    assert world.left() == []


def test_handlers_that_were_cut_off_go_on_after_a_crash_and_each_completes_once(world: World) -> None:
    text = """
        steps: [{id: go, approval: {message: m}}]
        on_cancel:
          - {id: h, run: echo h >> done}
          - {id: i, run: 'test -e mended || { echo up >> up; sleep 600; }; echo i >> done'}
        finally: [{id: z, run: echo finally >> done}]
        """
    world.run(text, "--park")
    canceller = world.start("cancel", "x")
    world.wait_for_line("up")
    crash(canceller)
    assert world.status() == "paused"
    world.write("mended", "")
    assert world("supervise", "--once").code == 0
    assert world.status() == "cancelled"
    assert world.lines("done") == ["h", "i", "finally"]


def test_a_canceller_that_is_told_to_stop_leaves_no_process_behind(world: World) -> None:
    text = """
        steps: [{id: go, approval: {message: m}}]
        on_cancel: [{id: h, run: 'test -e mended || { echo up >> up; sleep 600; }; echo h >> done'}]
        """
    world.run(text, "--park")
    canceller = world.start("cancel", "x")
    world.wait_for_line("up")
    canceller.terminate()
    finish(canceller)
    assert world.left() == []
    world.write("mended", "")
    assert world("cancel", "x").code == 0
    assert world.status() == "cancelled"
    assert world.lines("done") == ["h"]


def test_a_service_that_a_completed_step_left_running_survives_the_cancellation_of_later_steps(world: World) -> None:
    text = """
        steps:
          - {id: serve, run: setsid sleep 600 > /dev/null 2>&1 &}
          - {id: work, run: 'echo up >> up; sleep 600'}
        """
    runner = world.begin(text)
    world.wait_for_line("up")
    world("cancel", "x")
    assert finish(runner).code == 6
    assert world.left("CEREBELUM_STEP=work") == []
    assert len(world.left("CEREBELUM_STEP=serve")) == 1


@pytest.mark.parametrize("verb", ["cancel", "pause", "approve", "reject", "resume", "fork"])
def test_what_changes_something_has_to_be_told_which_execution(world: World, verb: str) -> None:
    """In a shared store the newest one may be somebody else's."""
    said = world(verb, *(["--from", "a"] if verb == "fork" else []))
    assert said.code == 2
    assert "has to be told which one" in said.err
    assert "`last`" in said.err
