"""`pause` stops an execution from any other process, and only `resume` goes on with it."""

import pytest

from cerebelum.core.events import ExecutionPaused, StepInterrupted
from tests.lifecycle.world import World, crash, finish

WORK = """
    steps:
      - {id: a, run: echo a >> done}
      - {id: work, run: 'test -e mended || { echo up >> up; sleep 600; }; echo work >> done'}
    on_failure: [{id: f, run: echo failure >> done}]
    on_cancel: [{id: c, run: echo cancel >> done}]
    finally: [{id: z, run: echo finally >> done}]
    """
STILL = "secrets: [TOKEN]\nsteps: [{id: a, run: echo a >> done}, {id: go, approval: {message: m}}]"


def test_a_running_execution_is_paused_and_resume_goes_on(world: World) -> None:
    runner = world.begin(WORK)
    world.wait_for_line("up")
    assert world("pause", "x", "--by", "ann", "--why", "lunch").code == 0
    done = finish(runner)
    assert done.code == 75
    assert "resume" in done.err
    assert world.status() == "paused"
    assert world.left() == []
    paused = world.last(ExecutionPaused)
    assert (paused.why, paused.by) == ("operator", "ann")
    assert world.last(StepInterrupted).why == "operator"
    assert world.lines("done") == ["a"], "a pause runs no handlers"
    history = world("history", "x").out
    assert "ann" in history
    assert "lunch" in history
    world.write("mended", "")
    assert world("resume", "x").code == 0
    assert world.lines("done") == ["a", "work", "finally"]


@pytest.mark.parametrize("how", ["parked", "interrupted", "waiting in the foreground"])
def test_an_execution_that_waits_or_was_cut_off_is_paused(world: World, how: str) -> None:
    if how == "parked":
        assert world.run(STILL, "--park", env={"TOKEN": "abcdefgh"}).code == 75
    elif how == "interrupted":
        runner = world.begin(WORK)
        world.wait_for_line("up")
        crash(runner)
    else:
        world.begin(STILL, env={"TOKEN": "abcdefgh"})
        world.wait_for_event("ApprovalRequested go")
    said = world("pause", "x")
    assert (said.code, said.err) == (0, "")
    if how.startswith("waiting"):
        assert finish(world.started[0]).code == 75
    assert world.status() == "paused"
    version = world.state().version
    again = world("pause", "x")
    assert (again.code, "paused already" in again.err) == (2, True)
    assert world("supervise", "--once").code == 0
    assert world.state().version == version, "pausing twice, or supervising, changes nothing"
    assert world.left() == []
