"""A runner that is told to stop, or loses its audience or its terminal, does the orderly thing and soon."""

import os
import shlex
import signal
import subprocess
import time

import pytest

from cerebelum.core.events import ExecutionPaused
from tests.binary.program import program
from tests.lifecycle.world import World, finish, wait_until

WORK = """
    steps:
      - {id: a, run: echo a >> done}
      - {id: work, run: 'test -e mended || { echo up >> up; sleep 600; }; echo work >> done'}
    """
STUBBORN = """
    steps:
      - id: a
        run: |
          trap "" TERM INT HUP
          (trap "" TERM; setsid sleep 600) &
          echo up >> up
          while :; do sleep 1; done
    """


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_first_signal_pauses_and_says_how_to_go_on(world: World, number: signal.Signals, code: int) -> None:
    runner = world.begin(WORK)
    world.wait_for_line("up")
    runner.send_signal(number)
    done = finish(runner)
    assert done.code == code
    assert done.err.startswith("ending work, for at most 6 s; once more (Ctrl-C) kills at once\n")
    assert "cerebelum resume x" in done.err
    assert world.last(ExecutionPaused).signal == number.name
    assert world("status", "x", "--json").json()["status"] == "paused"
    assert world.left() == []
    version = world.state().version
    assert world("supervise", "--once").code == 0
    assert world.state().version == version, "what a person stopped is not resurrected"
    world.write("mended", "")
    assert world("resume", "x").code == 0
    assert world.lines("done") == ["a", "work"]


def test_a_step_that_ignores_the_request_is_killed_in_time(world: World) -> None:
    runner = world.begin(STUBBORN)
    world.wait_for_line("up")
    began = time.monotonic()
    runner.terminate()
    assert finish(runner).code == 143
    assert time.monotonic() - began < 15
    assert world.left() == []


def test_a_second_interrupt_kills_at_once(world: World) -> None:
    runner = world.begin(STUBBORN)
    world.wait_for_line("up")
    began = time.monotonic()
    runner.send_signal(signal.SIGINT)

    def again() -> bool:
        runner.send_signal(signal.SIGINT)
        return runner.poll() is not None

    wait_until(again, "the end")
    assert finish(runner).code == 130
    assert time.monotonic() - began < 3
    assert world.left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_the_parent_had_ignored_stays_ignored(world: World, number: signal.Signals) -> None:
    os.mkfifo(world.folder / "go")
    path = world.flow("steps: [{id: a, run: 'echo up >> up; read x < go; echo a >> done'}]")
    runner = subprocess.Popen(
        ["sh", "-c", f"trap '' {number.name[3:]}; exec \"$@\"", "sh", *program(), "run", path],
        cwd=world.folder,
        env=world.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    world.started.append(runner)
    world.wait_for_line("up")
    runner.send_signal(number)
    (world.folder / "go").write_text("x\n")
    assert finish(runner).code == 0
    assert world.lines("done") == ["a"]


def test_a_reader_that_goes_away_does_not_stop_the_execution(world: World) -> None:
    path = world.flow("steps: [{id: a, run: 'seq 20000; echo a >> done'}, {id: b, run: 'seq 20000; echo b >> done'}]")
    done = subprocess.run(
        ["bash", "-c", f"{shlex.join(program())} run {path} --id x | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=world.folder,
        env=world.environ,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == b""
    assert done.returncode == 0
    assert world.status() == "completed"
    assert world.lines("done") == ["a", "b"]


def test_a_detached_execution_survives_its_terminal_and_only_its_id_is_printed(world: World) -> None:
    os.mkfifo(world.folder / "go")
    path = world.flow("steps: [{id: a, run: 'echo up >> up; read x < go; echo noise; echo a >> done'}]")
    master, slave = os.openpty()
    shell = subprocess.Popen(
        ["sh", "-c", f"{shlex.join(program())} run {path} --detach > id 2> err; echo $? > code; read x"],
        cwd=world.folder,
        env=world.environ,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    world.started.append(shell)
    os.close(slave)
    assert wait_until(lambda: world.lines("code"), "the return of run") == ["0"]
    (name,) = world.lines("id")
    assert world.lines("err") == []
    world.wait_for_line("up")
    runner = world.row(name).runner
    assert runner is not None
    assert os.getsid(runner.pid) == runner.pid
    os.close(master)
    shell.wait(timeout=30)
    (world.folder / "go").write_text("x\n")
    wait_until(lambda: world.status(name) == "completed", "the end")
    assert world.lines("done") == ["a"]
    assert "noise" in world("logs", name).out


def test_errors_of_a_detached_start_are_seen(world: World) -> None:
    path = world.flow("steps: [{id: a, rum: x}]")
    done = world("run", str(path), "--detach")
    assert (done.code, done.out) == (2, "")
    assert "flow.yaml:1:" in done.err
    again = world("resume", "nope", "--detach")
    assert (again.code, again.out) == (3, "")


def test_a_detached_run_of_what_has_completed_prints_the_id_too(world: World) -> None:
    world.run("steps: [{id: a, run: echo a >> done}]")
    done = world("run", str(world.folder / "flow.yaml"), "--id", "x", "--or-resume", "--detach")
    assert (done.code, done.out) == (0, "x\n")
    assert world.lines("done") == ["a"]
