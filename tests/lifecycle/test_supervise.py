"""`supervise` goes on with what nobody drives, never with what somebody stopped, and never twice."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from cerebelum.core.events import GENESIS, ExecutionResumed, encode
from cerebelum.core.evolve import evolve
from cerebelum.core.summary import summarise
from cerebelum.store import Query, Whole
from tests.lifecycle.world import World, crash, finish, wait_until

CUT = """
    steps:
      - {id: a, run: 'echo "a $CEREBELUM_EXECUTION_ID" >> done'}
      - {id: work, run: 'test -e mended || { echo up >> up; sleep 600; }; echo "w $CEREBELUM_EXECUTION_ID" >> done'}
    """


def interrupted(world: World, *names: str) -> None:
    """Executions whose runners were killed."""
    for n, name in enumerate(names, 1):
        runner = world.begin(CUT, name=name)
        world.wait_for_line("up", n)
        crash(runner)
    world.write("mended", "")


def test_once_resurrects_what_died_and_exits_0(world: World) -> None:
    interrupted(world, "x")
    done = world("supervise", "--once")
    assert (done.code, done.out) == (0, "")
    assert "x: resurrected" in done.err
    assert "x: completed" in done.err
    assert world.lines("done") == ["a x", "w x"]
    resumed = world.last(ExecutionResumed)
    assert resumed.reason == "resurrected"
    assert "resurrected" in world("history", "x").out
    assert world("supervise", "--once").err == ""
    assert world("supervise", "--once", "--quiet").code == 0


def test_a_failing_execution_does_not_make_once_fail(world: World) -> None:
    world.park("steps: [{id: nap, sleep: 300ms}, {id: a, run: exit 3}]")
    assert world("supervise", "--once").code == 0
    assert world.status() == "failed"


def test_two_supervisors_drive_each_execution_exactly_once(world: World) -> None:
    names = [f"x{n}" for n in range(5)]
    interrupted(world, *names)
    supervisors = [world.start("supervise", "--once", "--max", "2") for _ in range(3)]
    assert [finish(s).code for s in supervisors] == [0, 0, 0]
    wait_until(lambda: all(world.status(name) == "completed" for name in names), "all completed")
    assert sorted(world.lines("done")) == sorted([f"a {n}" for n in names] + [f"w {n}" for n in names])
    assert all(world.said(name).count("ExecutionResumed") == 1 for name in names)
    assert world.sound()


def test_no_more_than_max_are_driven_at_once(world: World) -> None:
    for n in range(4):
        world.park("steps: [{id: nap, sleep: 300ms}, {id: a, run: 'mkdir busy && rmdir busy'}]", name=f"x{n}")
    assert world("supervise", "--once", "--max", "1").code == 0
    assert [world.status(f"x{n}") for n in range(4)] == ["completed"] * 4


def test_a_step_that_kills_its_runner_is_tried_three_more_times_and_then_by_hand_only(world: World) -> None:
    text = """
        steps:
          - {id: a, run: 'true'}
          - id: murder
            run: |
              echo try >> tries
              test -e mended || { kill -9 "$PPID"; sleep 600; }
        on_failure: [{id: f, run: echo failure >> done}]
        """
    first = world.begin(text)
    first.communicate()
    assert world.status() == "paused"
    for _ in range(6):
        world("supervise", "--once")
    assert world.lines("tries") == ["try"] * 4
    shown = world("status", "x", "--json").json()
    assert shown["status"] == "failed"
    assert shown["error"]["kind"] == "resurrection_exhausted"
    assert {s["id"]: s["status"] for s in shown["steps"]}["murder"] == "interrupted"
    assert world.left() == []
    world.write("mended", "")
    assert world("resume", "x").code == 0
    assert world.lines("tries") == ["try"] * 5
    assert world.sound()


def test_what_lacks_its_secret_here_is_left_alone_with_a_message(world: World) -> None:
    text = "secrets: [TOKEN]\nsteps: [{id: nap, sleep: 300ms}, {id: a, run: echo a >> done}]"
    world.park(text, env={"TOKEN": "abcdefgh"})
    version = world.state().version
    done = world("supervise", "--once")
    assert done.code == 0
    assert "TOKEN" in done.err
    assert world.state().version == version
    assert world("supervise", "--once", env={"TOKEN": "abcdefgh"}).code == 0
    assert world.status() == "completed"


def test_what_needs_a_plugin_that_is_not_here_is_left_alone_with_a_message(world: World) -> None:
    plugin = world.write(
        "greeting.py",
        """
from cerebelum import hookimpl
from cerebelum.core.outcome import Completed


class Greeting:
    key, summary, body, options, literal = "greet", "says hello", str, None, ()

    def run(self, call):
        return Completed("hello " + call.body)

    def fingerprint(self, step, folder):
        return None


@hookimpl
def cerebelum_executors():
    return [Greeting()]
""",
    )
    text = "steps: [{id: nap, sleep: 300ms}, {id: a, greet: you}]"
    world.park(text, "--plugin", str(plugin))
    done = world("supervise", "--once")
    assert done.code == 0
    assert "greet" in done.err
    assert world.status() == "sleeping"
    assert world("supervise", "--once", "--plugin", str(plugin)).code == 0
    assert world.state().steps["a"].output == "hello you"


def test_a_stopped_supervisor_leaves_what_it_drove_to_the_next_one(world: World) -> None:
    """A service is restarted: what it drove was not paused by anybody, so it has to go on by itself."""
    world.park(CUT.replace("steps:", "steps:\n      - {id: nap, sleep: 300ms}"))
    supervisor = world.start("supervise")
    world.wait_for_line("up")
    supervisor.terminate()
    assert finish(supervisor).code == 143
    assert world.left() == []
    assert world.row().ownership.owner is None
    assert world.status() == "paused"
    assert world("list", "--status", "running", "--json").json()["executions"] == []
    world.write("mended", "")
    assert world("supervise", "--once").code == 0
    assert world.status() == "completed"
    assert world.lines("done") == ["a x", "w x"]


def test_a_running_supervisor_wakes_sleeps_and_decisions_and_resurrects_soon(world: World) -> None:
    world.run("steps: [{id: nap, sleep: 1s}, {id: b, run: echo slept >> done}]", "--park", name="nap")
    world.run("steps: [{id: go, approval: {message: m}}, {id: b, run: echo went >> done}]", "--park", name="ask")
    late = "steps: [{id: go, approval: {message: m, timeout: 1s}}, {id: b, run: echo never >> done}]"
    world.run(late, "--park", name="late")
    supervisor = world.start("supervise")
    interrupted(world, "x")
    assert world("approve", "ask").code == 0
    ends = {"nap": "completed", "ask": "completed", "late": "failed", "x": "completed"}
    wait_until(lambda: {name: world.status(name) for name in ends} == ends, str(ends))
    supervisor.terminate()
    assert finish(supervisor).code == 143
    assert {"slept", "went"} <= set(world.lines("done"))
    assert "never" not in world.lines("done")


def _copies(world: World, template: str, count: int) -> None:
    """Executions with the same log as `template`."""
    events = world.events(template)
    copies = []
    for n in range(count):
        name = f"copy-{n}"
        state = None
        for event in events:
            state = evolve(state, event, name)
        assert state is not None
        entries = encode(name, list(events), GENESIS)
        copies.append(Whole(summarise(state, entries[-1].digest), 0, entries))
    world.client.store.restore(copies)


def test_thousands_of_sleeping_executions_cost_no_thread_and_no_time(world: World) -> None:
    assert world.run("steps: [{id: nap, sleep: 1h}]", "--park").code == 75
    _copies(world, "x", 2000)
    began = time.monotonic()
    assert world("supervise", "--once").code == 0
    assert time.monotonic() - began < 10
    supervisor = world.start("supervise")
    wait_until(lambda: len(_threads(supervisor.pid)) >= 2, "its beat")
    world.run("steps: [{id: nap, sleep: 300ms}, {id: a, run: 'true'}]", "--park", name="due")
    wait_until(lambda: world.status("due") == "completed", "what is due")
    assert len(_threads(supervisor.pid)) <= 6
    assert len(world.client.store.find(Query(status=("sleeping",), limit=5000)).rows) == 2001


def _threads(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def test_all_of_many_that_are_due_are_driven_by_one_call(world: World) -> None:
    assert world.run("steps: [{id: nap, sleep: 1h}]", "--park").code == 75
    started, slept = world.events()[0], world.events()[-1]
    past = datetime.now(UTC) - timedelta(hours=2)
    for n in range(230):
        name = f"copy-{n}"
        events = [
            msgspec.structs.replace(started, at=past),
            *world.events()[1:-1],
            msgspec.structs.replace(slept, at=past, until=past + timedelta(hours=1)),
        ]
        state = None
        for event in events:
            state = evolve(state, event, name)
        assert state is not None
        entries = encode(name, events, GENESIS)
        world.client.store.append(name, 0, entries, summarise(state, entries[-1].digest))
    assert world("supervise", "--once", "--quiet").code == 0
    statuses = [r.summary.status for r in world.client.store.find(Query(limit=500)).rows]
    assert statuses.count("completed") == 230
    assert statuses.count("sleeping") == 1


@pytest.mark.parametrize("most", ["0", "many"])
def test_a_max_that_is_none_is_refused(world: World, most: str) -> None:
    assert world("supervise", "--once", "--max", most).code == 2
