"""A runner is told to stop: steps are ended, the log is closed, nothing is left behind, and it can be resumed."""

import signal
import subprocess

import pytest

from cerebelum.core.events import ExecutionPaused, StepInterrupted
from tests.engine.harness import Lab, await_words, finished, left_of, said

FLOW = """
    name: stop
    steps:
      - {id: a, run: echo a >> done}
      - id: b
        run: |
          trap 'echo goodbye >> done; exit 1' TERM
          (exec sleep 600) & setsid sleep 600 &
          test -e mended || { echo ready > ready; while :; do wait; done; }
          echo b >> done
    on_failure: [{id: h, run: echo handler >> done}]
    """


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_steps_gracefully_closes_the_log_and_a_resume_goes_on(
    lab: Lab, number: signal.Signals, code: int
) -> None:
    ready = lab.fifo("ready")
    runner = lab.start("run", lab.write(FLOW))
    await_words(ready)
    name = lab.client().resolve("last")
    assert lab.client().status(name).status == "running"
    runner.send_signal(number)
    assert finished(runner)[0] == code
    assert left_of(f"CEREBELUM_EXECUTION_ID={name}") == []
    assert lab.lines("done") == ["a", "goodbye"]
    interrupted, paused = lab.events(name)[-2:]
    assert isinstance(interrupted, StepInterrupted)
    assert isinstance(paused, ExecutionPaused)
    assert (paused.why, paused.signal) == ("signal", number.name)
    view = lab.client().status(name)
    assert (view.status, view.reason, view.row.ownership.owner) == ("paused", number.name, None)
    (lab.folder / "mended").touch()
    assert lab.resume(name).exit_code == 0
    assert lab.lines("done") == ["a", "goodbye", "b"]


def test_a_second_signal_kills_what_does_not_end(lab: Lab) -> None:
    ready = lab.fifo("ready")
    heard = lab.fifo("heard")
    runner = lab.start(
        "run",
        lab.write("""
            steps:
              - id: a
                run: |
                  trap 'echo heard > heard' TERM
                  echo ready > ready
                  while :; do sleep 600 & wait || true; done
            """),
    )
    await_words(ready)
    runner.send_signal(signal.SIGINT)
    await_words(heard)
    runner.send_signal(signal.SIGINT)
    assert finished(runner)[0] == 130
    name = lab.client().resolve("last")
    assert left_of(f"CEREBELUM_EXECUTION_ID={name}") == []
    assert said(lab.events(name))[-2:] == ["StepInterrupted a", "ExecutionPaused"]
    began, ended = (e.at for e in lab.events(name)[-3:-1])
    assert (ended - began).total_seconds() < 4


def test_a_signal_that_was_ignored_from_the_start_stays_ignored(lab: Lab) -> None:
    """Started in the background of a script, or under nohup."""
    ready, go = lab.fifo("ready"), lab.fifo("go")
    path = lab.write("steps: [{id: a, run: 'echo ready > ready; read x < go; echo a >> done'}]")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        runner = lab.start("run", path)
    finally:
        signal.signal(signal.SIGINT, before)
    await_words(ready)
    runner.send_signal(signal.SIGINT)
    go.write_text("go\n")
    assert finished(runner)[0] == 0
    assert lab.lines("done") == ["a"]


def test_a_stop_while_waiting_for_a_retry_is_heeded_at_once_and_the_wait_goes_on_later(lab: Lab) -> None:
    failing = lab.fifo("failing")
    text = "steps: [{id: a, retry: {attempts: 2, delay: 1h}, run: 'test -e mended || { echo x > failing; exit 1; }'}]"
    runner = lab.start("run", lab.write(text))
    await_words(failing)
    runner.terminate()
    assert finished(runner)[0] == 143
    assert lab.client().status("last").status == "paused"
    names = said(lab.events())
    assert names[-1] == "ExecutionPaused"


def test_functions_are_told_to_end(lab: Lab) -> None:
    ready = lab.fifo("ready")
    lab.write(
        """
        import threading
        def polite(context):
            with open("ready", "w") as file:
                file.write("ready\\n")
            context.wait(60)
            with open("done", "a") as file:
                file.write("polite\\n")
        """,
        "tasks.py",
    )
    runner = lab.start("run", lab.write("steps: [{id: a, python: 'tasks.py:polite'}]"))
    await_words(ready)
    runner.terminate()
    assert finished(runner)[0] == 143
    assert lab.lines("done") == ["polite"]
    assert said(lab.events())[-2:] == ["StepInterrupted a", "ExecutionPaused"]


def test_daemons_that_a_completed_step_started_go_on(lab: Lab) -> None:
    ready = lab.fifo("ready")
    path = lab.write("""
        steps:
          - {id: serve, run: 'sleep 600 > /dev/null 2>&1 & echo $! > pid'}
          - {id: b, run: echo ready > ready; sleep 600}
        """)
    runner = lab.start("run", path)
    await_words(ready)
    runner.terminate()
    finished(runner)
    pid = (lab.folder / "pid").read_text().strip()
    assert subprocess.run(["kill", pid], check=False).returncode == 0
