"""A step waits for a person: whatever happened to the runner, exactly one decision counts, and it is remembered."""

from datetime import UTC, datetime

import pytest

from cerebelum.core.events import ApprovalGranted, ApprovalRejected, ApprovalTimedOut, StepFailed
from tests.lifecycle.world import World, crash, finish, wait_until

ASK = """
    name: ask
    inputs: {limit: {type: string, default: 1h}}
    steps:
      - {id: a, run: echo a >> done}
      - id: go
        approval: {message: 'Ship it?', data: {n: 1}, timeout: '${{ inputs.limit }}'}
      - id: b
        env: {W: '${{ steps.go.output.window }}'}
        run: echo "b $W" >> done
    on_failure: [{id: f, run: echo failure >> done}]
    finally: [{id: z, run: echo finally >> done}]
    """
SIMPLE = """
    steps:
      - {id: go, approval: {message: 'Ship it?', timeout: TIMEOUT, on_timeout: WHAT}}
      - {id: b, run: echo b >> done}
    """


def test_a_waiting_runner_goes_on_at_once_and_the_response_is_the_output(world: World) -> None:
    runner = world.begin(ASK)
    world.wait_for_event("ApprovalRequested go")
    assert world.status() == "waiting_for_approval"
    said = world("approve", "x", "go", "--by", "ann", "--comment", "fine", "--response", "window=night")
    assert (said.code, said.err) == (0, "")
    assert finish(runner).code == 0
    assert world.lines("done") == ["a", "b night", "finally"]
    granted = world.last(ApprovalGranted)
    assert (granted.by, granted.comment, granted.response) == ("ann", "fine", {"window": "night"})
    assert world.state().steps["go"].output == {"window": "night"}
    history = world("history", "x").out
    assert "ann" in history
    assert "fine" in history
    step = next(s for s in world("status", "x", "--json").json()["steps"] if s["id"] == "go")
    assert step["waits"][0]["message"] == "Ship it?"
    assert step["waits"][0]["data"] == {"n": 1}
    assert (step["waits"][0]["by"], step["waits"][0]["result"]) == ("ann", "granted")


@pytest.mark.parametrize("how", ["parked", "crashed"])
@pytest.mark.parametrize("again", [("resume", "x"), ("supervise", "--once")])
def test_a_decision_counts_when_nobody_drives_the_execution(world: World, how: str, again: tuple[str, ...]) -> None:
    if how == "parked":
        assert world.run(ASK, "--park").code == 75
        assert world.row().ownership.owner is None
    else:
        runner = world.begin(ASK)
        world.wait_for_event("ApprovalRequested go")
        crash(runner)
    assert world("list", "--status", "waiting_for_approval", "--json").json()["executions"][0]["execution_id"] == "x"
    said = world("approve", "x", "--json", "--response", "window=day")
    assert said.code == 0
    assert said.json()["status"] == "paused", "nobody drives it"
    assert world("list", "--status", "running", "--json").json()["executions"] == []
    assert world(*again).code == 0
    assert world.status() == "completed"
    assert world.lines("done") == ["a", "b day", "finally"]


def test_who_approved_is_told_how_to_go_on_if_nobody_drives_it(world: World) -> None:
    world.run(ASK, "--park")
    said = world("approve", "x")
    assert "approved" in said.out
    assert "resume x" in said.out


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_deciding_twice_names_the_first_decision_also_after_the_end(world: World, verb: str) -> None:
    world.run(ASK, "--park")
    assert world("approve", "x", "--by", "ann", "--response", "window=w").code == 0
    for _ in range(2):
        again = world(verb, "x", "go", "--by", "bob")
        assert again.code == 2
        assert "granted by ann" in again.err
        world("resume", "x")
    assert world.status() == "completed"
    assert world.said().count("ApprovalGranted go") == 1


def test_a_rejection_fails_the_runner_with_6_and_a_resume_asks_again(world: World) -> None:
    runner = world.begin(ASK)
    world.wait_for_event("ApprovalRequested go")
    assert world("reject", "x", "--by", "bob", "--comment", "not on a Friday").code == 0
    done = finish(runner)
    assert done.code == 6
    assert "bob" in done.err
    assert "not on a Friday" in done.err
    state = world.state()
    assert state.ended == "failed"
    assert state.error is not None
    assert state.error.kind == "rejected"
    assert world.lines("done") == ["a", "failure", "finally"]
    assert "rejected by bob" in world("approve", "x").err
    assert world("resume", "x", "--park").code == 75
    assert world.said().count("ApprovalRequested go") == 2
    assert world("approve", "x", "--response", "window=w").code == 0
    assert world("resume", "x").code == 0
    assert world.lines("done") == ["a", "failure", "finally", "b w", "finally"]


@pytest.mark.parametrize("again", [("resume", "x"), ("supervise", "--once")])
def test_a_rejection_of_a_parked_execution_fails_it_when_somebody_drives_it(world: World, again: tuple[str]) -> None:
    world.run(ASK, "--park")
    assert world("reject", "x", "--by", "bob").code == 0
    assert world(*again).code == (6 if again[0] == "resume" else 0)
    assert world.status() == "failed"
    assert world.last(StepFailed).error.kind == "rejected"
    assert world.lines("done") == ["a", "failure", "finally"]


@pytest.mark.parametrize(
    ("what", "code", "kind"), [("fail", 1, "timeout"), ("reject", 6, "rejected"), ("approve", 0, None)]
)
@pytest.mark.parametrize("park", [False, True])
def test_when_the_time_is_over_what_the_file_says_happens(
    world: World, what: str, code: int, kind: str | None, park: bool
) -> None:
    text = SIMPLE.replace("TIMEOUT", "300ms").replace("WHAT", what)
    done = world.run(text, *(["--park"] if park else []))
    if park and done.code == 75:
        wait_until(lambda: datetime.now(UTC) >= (world.state().steps["go"].calls[-1].due_at or datetime.now(UTC)))
        assert world("supervise", "--once").code == 0
    else:
        assert done.code == code
    assert world.said().count("ApprovalTimedOut go") == 1
    assert world.lines("done") == (["b"] if code == 0 else [])
    error = world.state().steps["go"].error
    assert (error.kind if error else None) == kind


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_too_late_is_refused_and_the_end_of_the_time_is_recorded(world: World, verb: str) -> None:
    assert world.run(SIMPLE.replace("TIMEOUT", "300ms").replace("WHAT", "fail"), "--park").code == 75
    wait_until(lambda: datetime.now(UTC) >= (world.state().steps["go"].calls[-1].due_at or datetime.now(UTC)))
    for _ in range(2):
        late = world(verb, "x")
        assert late.code == 2
        assert "over" in late.err
    assert world.said().count("ApprovalTimedOut go") == 1
    assert isinstance(world.events()[-1], ApprovalTimedOut)
    assert world("resume", "x").code == 1


def test_of_six_processes_that_decide_at_once_exactly_one_wins(world: World) -> None:
    world.run(ASK, "--park")
    verbs = ["approve", "reject"] * 3
    racers = [world.start(verb, "x", "--by", f"{verb}{n}") for n, verb in enumerate(verbs)]
    done = [finish(racer) for racer in racers]
    winners = [verbs[n] for n, d in enumerate(done) if d.code == 0]
    assert len(winners) == 1, done
    decisions = [e for e in world.events() if isinstance(e, ApprovalGranted | ApprovalRejected)]
    assert len(decisions) == 1
    assert all(decisions[0].by in d.err for d in done if d.code)


def test_a_cancellation_beats_every_decision_that_comes_after_it(world: World) -> None:
    world.run(ASK, "--park")
    verbs = ["approve", "cancel", "reject"] * 2
    racers = [world.start(verb, "x", "--by", f"{verb}{n}") for n, verb in enumerate(verbs)]
    done = [finish(racer) for racer in racers]
    assert all(d.code in (0, 2) for d in done), done
    decided = [d.code for n, d in enumerate(done) if verbs[n] != "cancel"].count(0)
    decisions = [s for s in world.said() if s in ("ApprovalGranted go", "ApprovalRejected go")]
    assert decided == len(decisions) <= 1
    assert world("cancel", "x").code == 2
    assert world.status() == "cancelled"
    said = world.said()
    assert said.count("CancelRequested") == said.count("ExecutionCancelled") == 1
    assert all(said.index(d) < said.index("CancelRequested") for d in decisions)
    assert world.lines("done") == ["a", "finally"]
    assert world.sound()


def test_with_several_steps_waiting_one_has_to_be_named(world: World) -> None:
    text = """
        steps:
          - parallel:
              - {id: one, approval: {message: One?}}
              - {id: two, approval: {message: Two?}}
          - {id: b, run: echo b >> done}
        """
    assert world.run(text, "--park").code == 75
    vague = world("approve", "x")
    assert vague.code == 2
    assert "one, two" in vague.err
    assert world("approve", "x", "one").code == 0
    assert world("resume", "x", "--park").code == 75
    assert world("approve", "x").code == 0
    assert world("resume", "x").code == 0
    assert world.lines("done") == ["b"]


def test_what_is_not_there_is_said_so(world: World) -> None:
    world.run(ASK, "--park")
    assert world("approve", "x", "nope").code == 3
    assert world("approve", "y").code == 3
    other = world("approve", "x", "a")
    assert other.code == 2
    assert "does not wait" in other.err
    assert world("approve", "x", "--response", "novalue").code == 2
    assert world.said()[-1] == "ApprovalRequested go"


def test_an_execution_that_was_cancelled_has_nothing_left_to_decide(world: World) -> None:
    world.run(ASK, "--park")
    assert world("cancel", "x", "--by", "eve").code == 0
    late = world("approve", "x")
    assert late.code == 2
    assert "eve" in late.err


@pytest.mark.parametrize(
    "body", ["yes", "{}", "{message: m, timeout: soon}", "{message: m, on_timeout: maybe}", "{mesage: m}"]
)
def test_a_malformed_question_is_an_error_of_the_file_with_its_position(world: World, body: str) -> None:
    done = world.run(f"steps:\n  - id: go\n    approval: {body}\n")
    assert done.code == 2
    assert "flow.yaml:" in done.err
    assert "approval" in done.err
