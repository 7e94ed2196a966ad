"""A runner that hangs, or was stopped and is never continued: what the refusal says, and what --take-over does."""

import fcntl
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from typing import cast

import msgspec
import pytest

from cerebelum.host.process_tree import boot_id, pid_namespace, start_ticks
from cerebelum.store import EventStore, Ownership, Page, Query, Row, Runner, lookup
from cerebelum.store.liveness import judge
from tests.executions import execution
from tests.lifecycle.world import World

FLOW = """
    name: held
    steps:
      - {id: a, run: echo a >> done}
      - {id: b, run: 'echo $$ >> pids; test -e mended || exec sleep 600; echo b >> done'}
    """


def held(world: World) -> subprocess.Popen[bytes]:
    runner = world.begin(FLOW)
    world.wait_for_line("pids")
    (world.folder / "mended").touch()
    return runner


def stop(runner: subprocess.Popen[bytes]) -> None:
    runner.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, runner.pid, os.WSTOPPED | os.WNOWAIT)


def test_the_refusal_says_that_the_process_is_stopped_and_take_over_ends_it_with_its_steps(world: World) -> None:
    runner = held(world)
    stop(runner)
    refused = world("resume", "x")
    assert refused.code == 4
    assert f"process {runner.pid}" in refused.err
    assert "that process is stopped" in refused.err
    assert f"kill -CONT {runner.pid}" in refused.err
    assert "resume x --take-over" in refused.err
    done = world("resume", "x", "--take-over")
    assert done.code == 0, done
    assert f"process {runner.pid}, which was stopped, was killed" in done.err
    assert runner.wait(10) == -signal.SIGKILL
    assert world.lines("done") == ["a", "b"]
    assert "StepInterrupted b" in world.said()
    assert world.left() == []
    assert world.sound()


def test_a_living_runner_is_ended_too(world: World) -> None:
    runner = held(world)
    refused = world("resume", "x")
    assert refused.code == 4
    assert "if it hangs, end it: cerebelum resume x --take-over" in refused.err
    done = world("resume", "x", "--take-over")
    assert done.code == 0, done
    assert runner.wait(10) == -signal.SIGKILL
    assert world.lines("done") == ["a", "b"]


@pytest.mark.parametrize("wrong", [["--from", "typo"], ["--file", "nowhere.yaml"]])
def test_what_could_not_be_resumed_anyway_is_not_taken_over(world: World, wrong: list[str]) -> None:
    runner = held(world)
    done = world("resume", "x", "--take-over", *wrong)
    assert done.code == 2, done
    assert runner.poll() is None
    assert world.status() == "running"


def test_what_nobody_drives_is_simply_resumed(world: World) -> None:
    assert world.run("steps: [{id: a, run: test -e mended}]").code == 1
    (world.folder / "mended").touch()
    done = world("resume", "x", "--take-over")
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    ("foreign", "why"),
    [
        ({"boot_id": "elsewhere", "host": "other", "lock": "/nowhere"}, "run this on other"),
        ({"pid_namespace": "pid:[1]"}, "in another container"),
    ],
)
def test_a_process_that_is_not_here_is_not_taken_over(world: World, foreign: dict[str, str], why: str) -> None:
    assert world.run("steps: [{id: a, run: 'exit 1'}]").code == 1
    lock = world.folder / "lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        runner = msgspec.structs.replace(myself(str(lock)), **foreign)
        world.client.store.beat(runner)
        world.client.store.own("x", runner.id, world.row().ownership)
        done = world("resume", "x", "--take-over")
    assert done.code == 4, done
    assert why in done.err
    assert world.row().ownership.owner == runner.id


def test_a_supervisor_that_is_ended_names_what_else_it_drove(world: World) -> None:
    for name in ("x", "y"):
        runner = world.begin(FLOW, name=name)
        world.wait_for_line("pids", 1 if name == "x" else 2)
        runner.kill()
        runner.wait()
    supervisor = world.start("supervise")
    world.wait_for_line("pids", 4)
    (world.folder / "mended").touch()
    done = world("resume", "x", "--take-over")
    assert done.code == 0, done
    assert "it also drove y;" in done.err
    assert supervisor.wait(10) == -signal.SIGKILL
    assert (world.status("x"), world.status("y")) == ("completed", "paused")


def test_a_lock_that_a_child_of_a_dead_runner_still_holds_keeps_nobody_alive(world: World) -> None:
    """A process that is being spawned has its parent's descriptors until it executes its program."""
    lock = world.folder / "lock"
    with subprocess.Popen([sys.executable, "-c", "pass"]) as dead, lock.open("w") as file:
        dead.wait()
        fcntl.flock(file, fcntl.LOCK_EX)
        runner = msgspec.structs.replace(myself(str(lock)), pid=dead.pid, start_ticks=1)
        assert judge(runner) == "dead"
        assert judge(myself(str(lock))) == "alive"


class Read:
    """A store whose only execution is found as these rows, one after the other."""

    def __init__(self, *rows: Row) -> None:
        self.rows = [*rows]

    def find(self, query: Query) -> Page:
        return Page([self.rows.pop(0)], False, None)


def test_a_runner_that_ended_after_its_execution_was_read_is_not_taken_for_dead() -> None:
    summary = execution(0, 4).summary
    running = msgspec.structs.replace(summary, status="running", version=3, ended_at=None)
    me = myself("")
    gone = msgspec.structs.replace(me, pid=(1 << 22) + 1)
    before, after = Row(running, Ownership("r", 1), gone), Row(summary, Ownership(None, 2), None)
    assert lookup.present(cast(EventStore, Read(before, after)), "x") == after
    # Nothing came of it between the two looks, of which only the second counts for how long it has been silent.
    again = msgspec.structs.replace(before, runner=msgspec.structs.replace(gone, silent=3.0))
    dead = lookup.present(cast(EventStore, Read(before, again)), "x")
    assert lookup.shown(dead) == ("paused", lookup.INTERRUPTED)
    # Somebody else went on with it.
    taken = Row(running, Ownership("s", 2), me)
    assert lookup.present(cast(EventStore, Read(before, taken)), "x") == msgspec.structs.replace(taken, dead=False)
    # One that was alive then is shown as running, whatever has become of it.
    alive = msgspec.structs.replace(lookup.present(cast(EventStore, Read(taken)), "x"), runner=gone)
    assert lookup.shown(alive)[0] == "running"
    assert lookup.shown(lookup.as_known(before, ("",)))[0] == "running"
    assert lookup.shown(lookup.as_known(before, ("", "r")))[0] == "paused"


def myself(lock: str) -> Runner:
    return Runner(
        id="someone",
        host=os.uname().nodename,
        boot_id=boot_id(),
        pid=os.getpid(),
        pid_namespace=pid_namespace(),
        start_ticks=start_ticks(os.getpid()) or 0,
        started_at=datetime.now(UTC),
        lock=lock,
    )
