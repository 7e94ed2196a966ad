"""A runner dies, or two want the same execution: nothing is lost, nothing runs twice, one of them wins."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cerebelum.backends.conformance.kit import until
from cerebelum.core.errors import OwnedElsewhere, StoreError
from cerebelum.engine import ownership, preflight
from cerebelum.sdk.verbs import Verbs
from cerebelum.store import Ownership, Process, Query, Runner, lookup
from tests.engine.harness import PATIENCE, ROOT, Lab, await_words, executors, finished, in_thread, kill, left_of, said

FLOW = """
    name: die
    steps:
      - {id: a, run: echo a >> done}
      - parallel:
          - {id: b, run: echo b >> done; echo b > reached}
          - {id: c, run: 'echo c >> started; test -e mended || { echo c > reached; read x < never; }; echo c >> done'}
      - {id: d, run: echo d >> done}
    """


def crashed(lab: Lab) -> str:
    """The id of an execution whose runner was killed in the middle of step c."""
    reached = lab.fifo("reached")
    lab.fifo("never")
    runner = lab.start("run", lab.write(FLOW))
    await_words(reached, 2)
    client = lab.client()
    while "StepCompleted b" not in said(client.history("last")):
        pass
    kill(runner)
    return client.resolve("last")


def test_after_a_kill_status_says_paused_at_once_and_a_resume_completes(lab: Lab) -> None:
    name = crashed(lab)
    view = lab.client().status(name)
    assert (view.status, view.reason) == ("paused", "interrupted")
    page = lab.client().list(Query(status=("paused",)))
    assert [(r.summary.execution_id, r.summary.status) for r in page.rows] == [(name, "paused")]
    assert lab.client().list(Query(status=("running",))).rows == []
    (lab.folder / "mended").touch()
    assert lab.resume(name).exit_code == 0
    assert sorted(lab.lines("done")) == ["a", "b", "c", "d"]
    assert lab.lines("started") == ["c", "c"]
    assert "StepInterrupted c" in said(lab.events(name))
    assert left_of(f"CEREBELUM_EXECUTION_ID={name}") == []


def test_a_live_runners_execution_is_not_taken_and_the_refusal_names_the_process(lab: Lab) -> None:
    ready, go = lab.fifo("ready"), lab.fifo("go")
    runner = lab.start("run", lab.write("steps: [{id: a, run: 'echo x > ready; read x < go; echo a >> done'}]"))
    await_words(ready)
    with pytest.raises(OwnedElsewhere, match=str(runner.pid)):
        lab.resume()
    second = lab.start("resume", "last")
    code, _, said_there = finished(second)
    assert code == 4
    assert str(runner.pid) in said_there
    go.write_text("go\n")
    assert finished(runner)[0] == 0
    assert lab.lines("done") == ["a"]


def test_of_two_simultaneous_resumes_exactly_one_wins(lab: Lab) -> None:
    name = crashed(lab)
    (lab.folder / "mended").touch()
    runners = [lab.start("resume", name) for _ in range(3)]
    ends = [finished(runner) for runner in runners]
    codes = sorted(code for code, _, _ in ends)
    assert codes[0] == 0, ends
    assert all(code in (2, 4) for code in codes[1:]), ends
    assert sorted(lab.lines("done")) == ["a", "b", "c", "d"]
    assert said(lab.events(name)).count("ExecutionResumed") == 1


def test_what_somebody_else_resumed_in_the_same_moment_is_not_resumed_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both wanted one resume: that it failed is no reason to do everything a third time."""
    name = lab.run("steps: [{id: a, run: echo a >> done; exit 1}]").execution_id
    client = lab.client()
    own, others = client.store.own, [lab.resume]

    def overtaken(execution_id: str, owner: str | None, expected: Ownership) -> Ownership | None:
        """Another process resumes, and fails again, before this one can take the execution."""
        while others:
            others.pop()(name)
        return own(execution_id, owner, expected)

    monkeypatch.setattr(client.store, "own", overtaken)
    with pytest.raises(OwnedElsewhere, match="same moment"):
        client.resume(name)
    assert lab.lines("done") == ["a", "a"]
    view = lab.client().status(name)
    assert (view.status, view.row.ownership.owner) == ("failed", None)


def test_what_somebody_else_took_up_and_ended_in_the_same_moment_is_not_resumed_again(lab: Lab) -> None:
    name = lab.run("steps: [{id: a, run: 'true'}]").execution_id
    store = lab.client().store
    running, ended = lookup.read(store, name, at=2).state, lookup.read(store, name).state
    assert (running.resumes, running.ended, ended.ended) == (ended.resumes, None, "completed")
    preflight.check_untouched(running, running)
    with pytest.raises(OwnedElsewhere, match="same moment"):
        preflight.check_untouched(running, ended)


@pytest.mark.parametrize("told", [False, True], ids=["by itself", "told to stop"])
def test_a_runner_that_lost_its_execution_writes_no_more_and_kills_its_steps(lab: Lab, told: bool) -> None:
    ready = lab.fifo("ready")
    runner = lab.start("run", lab.write("steps: [{id: a, run: echo x > ready; sleep 600}, {id: b, run: 'true'}]"))
    await_words(ready)
    client = lab.client()
    name = client.resolve("last")
    row = client.store.find(Query(id=name)).rows[0]
    assert client.store.own(name, "thief", row.ownership) is not None
    before = client.history(name)
    if told:
        runner.terminate()
    # It may have come to its end before it was told, and then nobody heeds signals any more.
    assert finished(runner)[0] in ({4, -signal.SIGTERM} if told else {4})
    assert client.history(name) == before
    assert left_of(f"CEREBELUM_EXECUTION_ID={name}") == []


def test_a_step_whose_thread_waits_for_the_store_is_ended_when_the_store_stays_away(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = lab.client().store
    waiting, released = threading.Event(), threading.Event()
    beat, note = store.beat, store.note_process

    def away(runner: Runner) -> None:
        if waiting.is_set():
            raise StoreError("away")
        beat(runner)

    def stuck(execution_id: str, process: Process, *, gone: bool = False) -> None:
        waiting.set()
        released.wait(PATIENCE)
        note(execution_id, process, gone=gone)

    monkeypatch.setattr(store, "beat", away)
    monkeypatch.setattr(store, "note_process", stuck)
    for name, seconds in (("BEAT_SECONDS", 0.02), ("_ANEW_SECONDS", 0.02), ("FENCE_SECONDS", 0.3)):
        monkeypatch.setattr(ownership, name, seconds)
    client = Verbs(lambda: store, executors, environ=lab.environ)
    path = lab.write("steps: [{id: a, run: 'setsid sleep 600 & sleep 600'}]")
    run = in_thread(lambda: client.run(path, {}))
    try:
        assert waiting.wait(PATIENCE)
        mark = f"CEREBELUM_EXECUTION_ID={client.resolve('last')}"
        # It may not have got as far as its own environment.
        until(lambda: left_of(mark))
        end = time.monotonic() + PATIENCE / 2
        while left_of(mark):
            assert time.monotonic() < end, "the step went on"
            time.sleep(0.02)
    finally:
        released.set()
    with pytest.raises(StoreError, match="could not be reached"):
        run()


def test_a_fork_of_the_runner_does_not_hold_its_lock(lab: Lab) -> None:
    """A step function may fork; the child that outlives the runner must not look like it."""
    script = """
import json, os, sys
from pathlib import Path
from cerebelum.store import liveness
from cerebelum.engine import ownership
from tests.stores import open_store
from cerebelum.host.clock import SystemClock
store = open_store(sys.argv[1])
registration = ownership.Registration(store, SystemClock(), os.environ)
lock = registration.runner.lock
r, w = os.pipe()
r2, w2 = os.pipe()
if os.fork() == 0:
    os.close(w)
    os.write(w2, b"x")
    os.read(r, 1)
    os._exit(0)
os.read(r2, 1)
import fcntl
held = liveness._lock_held(lock)
os.close(registration._lock_fd)
registration._lock_fd = -1
print(json.dumps([held, liveness._lock_held(lock)]), flush=True)
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, lab.url],
        env={**lab.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert json.loads(done.stdout) == [True, False]


_SLOW = """
import sys
from cerebelum.engine import ownership
ownership.BEAT_SECONDS, ownership.FENCE_SECONDS = 0.02, 0.3
from cerebelum.app import main
sys.exit(main(sys.argv[1:]))
"""


@contextmanager
def stopped(process: subprocess.Popen[str]) -> Iterator[None]:
    """As by Ctrl-Z, and then by `fg`."""
    process.send_signal(signal.SIGTSTP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    yield
    process.send_signal(signal.SIGCONT)


def test_a_runner_that_was_stopped_for_long_goes_on_if_nobody_has_taken_over(lab: Lab) -> None:
    """Ctrl-Z and fg, a suspended laptop, a paused machine: time that passed is no loss of ownership."""
    ready, go = lab.fifo("ready"), lab.fifo("go")
    file = lab.write("steps: [{id: a, run: 'echo x > ready; read x < go; echo a >> done'}]")
    command = [sys.executable, "-c", _SLOW, "--store", lab.url, "run", str(file)]
    with subprocess.Popen(command, cwd=lab.folder, env=lab.environ, stderr=subprocess.PIPE, text=True) as runner:
        try:
            await_words(ready)
            with stopped(runner):
                threading.Event().wait(1.0)  # What is tested is the passing of time.
            go.write_text("go\n")
            _, said_there = runner.communicate(timeout=30)
        finally:
            runner.kill()
    assert (runner.returncode, said_there) == (0, "")
    assert lab.lines("done") == ["a"]
    assert "StepInterrupted" not in " ".join(said(lab.events(lab.client().resolve("last"))))


def test_a_runner_that_was_stopped_for_long_stops_if_it_was_taken_over(lab: Lab) -> None:
    ready = lab.fifo("ready")
    file = lab.write("steps: [{id: a, run: 'echo x > ready; sleep 600'}]")
    command = [sys.executable, "-c", _SLOW, "--store", lab.url, "run", str(file)]
    with subprocess.Popen(command, cwd=lab.folder, env=lab.environ, stderr=subprocess.PIPE, text=True) as runner:
        try:
            await_words(ready)
            with stopped(runner):
                client = lab.client()
                name = client.resolve("last")
                assert client.store.own(name, "thief", client.store.find(Query(id=name)).rows[0].ownership) is not None
                threading.Event().wait(1.0)
            _, said_there = runner.communicate(timeout=30)
        finally:
            runner.kill()
    assert runner.returncode == 4
    assert "another runner has taken over" in said_there
    assert left_of(f"CEREBELUM_EXECUTION_ID={name}") == []


def test_of_simultaneous_starts_with_or_resume_the_later_one_ends_as_if_it_had_come_second(lab: Lab) -> None:
    file = lab.write("steps: [{id: a, run: 'echo a >> done'}]")
    for number in range(8):
        command = [sys.executable, "-m", "cerebelum", "--store", lab.url, "run", str(file), "--or-resume"]
        runners = [
            subprocess.Popen(
                [*command, "--id", f"x{number}"],
                cwd=lab.folder,
                env=lab.environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for _ in range(3)
        ]
        ends = [finished(runner) for runner in runners]
        assert all(code in (0, 4) for code, _, _ in ends), ends
        assert 0 in [code for code, _, _ in ends]
        assert lab.lines("done") == ["a"] * (number + 1)


HELD = """
    steps:
      - id: a
        run: |
          test -e resumed || { echo a > first; read x < never; }
          echo a > ready; read x < go; echo a >> done
    """


def test_a_supervisor_that_was_stopped_for_long_goes_on_with_what_it_drives(lab: Lab) -> None:
    first, ready, go = lab.fifo("first"), lab.fifo("ready"), lab.fifo("go")
    lab.fifo("never")
    runner = lab.start("run", lab.write(HELD))
    await_words(first)
    kill(runner)
    (lab.folder / "resumed").touch()
    command = [sys.executable, "-c", _SLOW, "--store", lab.url, "supervise", "--once"]
    with subprocess.Popen(command, cwd=lab.folder, env=lab.environ, stderr=subprocess.PIPE, text=True) as supervisor:
        try:
            await_words(ready)
            with stopped(supervisor):
                threading.Event().wait(1.0)
            go.write_text("go\n")
            _, said_there = supervisor.communicate(timeout=30)
        finally:
            supervisor.kill()
    assert supervisor.returncode == 0, said_there
    assert "could not be reached" not in said_there
    assert lab.lines("done") == ["a"]
    assert lab.client().status("last").status == "completed"
