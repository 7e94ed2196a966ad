"""An execution's past can be looked at, gone back to, and branched off from."""

import pytest

from cerebelum.core.events import ExecutionStarted, StepCompleted
from tests.lifecycle.world import World

FLOW = """
    name: travel
    inputs: {n: {type: integer, default: 1}}
    steps:
      - {id: a, run: 'echo a >> done; echo v=$INPUT_N >> "$CEREBELUM_OUTPUT"'}
      - {id: b, run: 'echo b >> done; echo secret of b'}
      - {id: c, env: {V: '${{ steps.a.output.v }}'}, run: 'echo "c $V $INPUT_N" >> done; test "$INPUT_N" != 1'}
    """


def test_the_state_is_shown_as_it_was_at_a_version_and_at_a_time(world: World) -> None:
    assert world.run(FLOW).code == 1
    events = world.events()
    done = next(e for e in events if isinstance(e, StepCompleted) and e.step == "a")
    for at in (str(done.version), done.at.isoformat(), done.at.astimezone().replace(tzinfo=None).isoformat()):
        shown = world("status", "x", "--at", at, "--json").json()
        b = "pending" if at.isdigit() else "running"  # what was decided in one turn happened at one time
        assert shown["version"] == done.version + (b == "running")
        assert {s["id"]: s["status"] for s in shown["steps"]} == {"a": "completed", "b": b, "c": "pending"}
        assert (shown["status"], shown["steps_done"], shown["steps_total"]) == ("running", 1, 3)
        assert (shown["ended_at"], shown["error"], shown["reason"]) == (None, None, None)
        assert shown["owner"] is None
    assert world("status", "x", "--at", "1").code == 0
    assert world("status", "x", "--at", "0").code == 3
    assert world("status", "x", "--at", "2001-01-01").code == 3
    assert world("status", "x", "--at", "yesterday").code == 2
    end = world("status", "x", "--at", "999999", "--json").json()
    assert end["status"] == "failed"


def test_resume_from_runs_a_step_and_everything_after_it_again(world: World) -> None:
    world.run(FLOW)
    assert world("resume", "x", "--from", "b").code == 1
    assert world.lines("done") == ["a", "b", "c 1 1", "b", "c 1 1"]
    assert world("resume", "x", "--from", "nope").code == 2


def test_a_fork_reuses_what_was_recorded_and_takes_new_inputs(world: World) -> None:
    world.run(FLOW)
    before = world.state().version
    done = world("fork", "x", "--from", "b", "--input", "n=2", "--id", "y")
    assert done.code == 0, done.err
    assert world.lines("done") == ["a", "b", "c 1 1", "b", "c 1 2"]
    started = world.events("y")[0]
    assert isinstance(started, ExecutionStarted)
    assert (started.parent, started.inputs, started.reused) == ("x", {"n": 2}, {"a": {"v": "1"}})
    assert world("status", "y", "--json").json()["parent"] == "x"
    assert "x" in world("history", "y").out
    assert world.state().version == before, "the old one stays as it is"
    completed = world("fork", "y", "--from", "c", "--input", "n=3")
    assert completed.code == 0, "also one that has completed"
    assert world.lines("done")[-1] == "c 1 3"
    assert world.sound()


def test_a_fork_that_cannot_be_is_refused_before_anything_is_recorded(world: World) -> None:
    world.run(FLOW)
    unknown = world("fork", "x", "--from", "bb")
    assert unknown.code == 2
    assert "'bb'" in unknown.err
    assert world("fork", "nope", "--from", "b").code == 3
    assert world("fork", "x", "--from", "b", "--id", "x").code == 2
    assert world("fork", "x", "--from", "b", "--input", "n=many").code == 2
    assert world("fork", "x", "--from", "b", "--input", "m=1").code == 2
    assert len(world("list", "--json").json()["executions"]) == 1


def test_a_changed_completed_step_needs_a_decision_for_a_fork_too(world: World) -> None:
    world.run(FLOW)
    world.flow(FLOW.replace("echo secret of b", "echo changed"))
    refused = world("fork", "x", "--from", "c", "--input", "n=2")
    assert refused.code == 5
    assert "CHANGED" in refused.out
    assert "--accept-changes" in refused.err
    assert world("fork", "x", "--from", "c", "--input", "n=2", "--accept-changes").code == 0
    assert world("fork", "x", "--from", "c", "--input", "n=2", "--recorded").code == 0
    assert world("fork", "x", "--from", "b", "--input", "n=2").code == 0


def test_a_fork_of_a_definition_that_has_an_input_less_leaves_that_out(world: World) -> None:
    world.run(FLOW.replace("inputs: {", "inputs: {old: {type: string, default: o}, "))
    world.flow(FLOW)
    assert world("fork", "x", "--from", "c", "--input", "n=2", "--id", "y").code == 0
    assert world.state("y").inputs == {"n": 2}


@pytest.mark.parametrize("verb", ["history", "status"])
def test_who_did_what_and_when_is_in_the_history(world: World, verb: str) -> None:
    world.run("steps: [{id: go, approval: {message: m}}]", "--park")
    world("reject", "x", "--by", "bob", "--comment", "no")
    if verb == "status":
        world("resume", "x")
    text = world(verb, "x").out
    assert "bob" in text
    assert "no" in text
    lines = world("history", "x", "--json").lines()
    assert [line["version"] for line in lines] == list(range(1, len(lines) + 1))
    rejected = next(line for line in lines if line["type"] == "ApprovalRejected")
    assert (rejected["by"], rejected["comment"]) == ("bob", "no")
    assert rejected["at"]
