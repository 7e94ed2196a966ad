"""`watch` and `active`: what one sees of an execution that another process drives, kills included."""

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Done
from tests.cli.screens import Opens, windows
from tests.lifecycle.world import World, wait_until

pytestmark = pytest.mark.usefixtures("store_url")

FLOW = """
    name: seen
    steps:
      - {id: first, run: echo before}
      - {id: long, run: 'echo at work; until test -e go; do sleep 0.01; done; echo goes on'}
      - {id: bye, run: 'echo bye; test ! -e broken'}
    """


@pytest.fixture
def window(world: World) -> Iterator[Opens]:
    with windows(world) as opens:
        yield opens


def ended(process: subprocess.Popen[bytes]) -> Done:
    out, err = process.communicate(timeout=30)
    return Done(process.returncode, out.decode(), err.decode())


@pytest.mark.parametrize("broken", [False, True])
def test_piped_it_prints_what_was_and_what_happens_and_ends_with_the_executions_code(
    world: World, broken: bool
) -> None:
    runner = world.begin(FLOW)
    world.wait_for_event("StepStarted long")
    if broken:
        world.write("broken", "")
    wait_until(lambda: "at work" in world("logs", "x").out)
    watcher = world.start("watch", "x")
    assert watcher.stdout is not None
    lines: list[str] = []
    while "▶ long" not in lines:
        lines.append(watcher.stdout.readline().decode().rstrip())
        assert lines[-1]
    world.write("go", "")
    seen = ended(watcher)
    assert runner.wait(30) == (1 if broken else 0)
    assert seen.code == (1 if broken else 0)
    rest = seen.out.splitlines()
    assert lines[0] == "x: started, 3 steps"
    assert any(line.startswith("✓ first") for line in lines)
    assert {"long  │ goes on", "bye   │ bye"} <= set(rest)
    assert "long  │ at work" not in rest, "what was printed before is in the logs"
    assert ("resume with: cerebelum resume x" in seen.err) is broken


def test_json_lines_are_the_events(world: World) -> None:
    world.begin(FLOW)
    world.wait_for_event("StepStarted long")
    watcher = world.start("watch", "x", "--json")
    world.write("go", "")
    seen = ended(watcher)
    assert [event["version"] for event in seen.lines()] == [event.version for event in world.events()]


def test_the_death_of_the_runner_ends_it_and_a_resume_can_be_watched_too(world: World, window: Opens) -> None:
    runner = world.begin(FLOW)
    world.wait_for_event("StepStarted long")
    shown = window("watch", "x")
    shown.until(lambda lines: any(re.match(r"\S long ", line) for line in lines))
    runner.kill()
    code, lines = shown.finish()
    assert code == 75
    assert "x: paused (interrupted)" in lines
    assert "resume with: cerebelum resume x" in lines
    resumed = world.start("resume", "x")
    world.wait_for_event("ExecutionResumed")
    shown = window("watch")
    shown.until(lambda lines: any("x: resumed" in line for line in lines))
    world.write("go", "")
    code, lines = shown.finish()
    assert (code, resumed.wait(30)) == (0, 0)
    assert any("completed in" in line for line in lines)


def test_an_approval_is_asked_for_and_seen_to_be_decided(world: World, window: Opens) -> None:
    world.begin("steps: [{id: go, approval: {message: 'Ship it?', timeout: 1h}}]")
    world.wait_for_event("ApprovalRequested go")
    shown = window("watch", "x")
    lines = shown.until(lambda lines: any("1 h left" in line or "min" in line for line in lines))
    assert "  cerebelum approve x go" in lines
    assert world("approve", "x", "--by", "ann").code == 0
    code, lines = shown.finish()
    assert code == 0
    assert any("approved by ann" in line for line in lines)


def test_a_finished_execution_is_shown_and_left(world: World) -> None:
    assert world.run("steps: [{id: a, run: 'exit 3'}]").code == 1
    seen = world("watch", "x")
    assert (seen.code, "✗ a  exit code 3" in seen.out) == (1, True)
    nothing = world("watch")
    assert (nothing.code, "nothing is going on" in nothing.err) == (3, True)
    assert world("watch", "nope").code == 3


def test_active_lists_what_is_not_over_and_fits_the_terminal(world: World, window: Opens) -> None:
    assert world("active").out == "nothing is going on\n"
    assert world.run("steps: [{id: a, run: 'true'}]", name="done").code == 0
    assert world.run("steps: [{id: nap, sleep: 1h}, {id: b, run: x}]", "--park", name="parked").code == 75
    runner = world.begin(FLOW)
    world.wait_for_event("StepStarted long")
    lines = world("active").out.splitlines()
    assert lines[0].split() == ["ID", "STATUS", "PROGRESS", "NOW", "STARTED", "DRIVEN", "BY"]
    assert [line.split()[0] for line in lines[1:]] == ["x", "parked"]
    assert re.search(rf"running +1/3 +long +.* ago +process {runner.pid} on ", lines[1])
    assert re.search(r"sleeping +0/2 +nap +.* ago +nobody", lines[2])
    shape = world("active", "--json").json()
    assert [one["execution_id"] for one in shape["executions"]] == ["x", "parked"]
    code, narrow = window("active", columns=40).finish()
    assert code == 0
    assert len(narrow) == 3
    assert all(len(line) <= 40 for line in narrow)
    world.write("go", "")
    assert runner.wait(30) == 0


def test_one_of_eight_runners_that_write_at_once_is_watched_without_a_gap(world: World) -> None:
    steps = "".join(f"  - {{id: s{n}, run: 'true'}}\n" for n in range(20))
    world.write(
        "many.yaml", f"name: many\nsteps:\n{steps}  - {{id: end, run: 'until test -e go; do sleep 0.01; done'}}\n"
    )
    runners = [world.start("run", "many.yaml", "--id", f"r{n}", "-q") for n in range(8)]
    wait_until(lambda: world("status", "r3").code == 0)
    watchers = [world.start("watch", "r3", "--json"), world.start("watch", "r3")]
    world.write("go", "")
    lines, text = (ended(watcher) for watcher in watchers)
    assert [runner.wait(60) for runner in runners] == [0] * 8
    assert (lines.code, text.code) == (0, 0)
    events = lines.lines()
    assert [event["version"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "ExecutionCompleted"
    assert [line.split()[1] for line in text.out.splitlines() if line.startswith("▶")] == [
        *(f"s{n}" for n in range(20)),
        "end",
    ]
