"""A process is streamed to its end; nothing survives a stop or a failure, everything survives a success."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cerebelum.core.errors import StoreError
from cerebelum.core.outcome import Failed
from cerebelum.host.process_tree import disown, own
from cerebelum.steps.executor import Stop
from cerebelum.steps.process import (
    Capture,
    Exit,
    ProcessId,
    boot_id,
    kill_leftovers,
    pid_namespace,
    process_id,
    run_process,
    start_ticks,
)
from cerebelum.store import Stream
from tests.attempts import MemorySink, MemoryTracker, environment, wait_until

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

ESCAPES = {
    "background": "sleep 1000 & echo $! >> pids",
    "setsid": "setsid sleep 1000 & echo $! >> pids",
    "nohup": "nohup sleep 1000 >/dev/null 2>&1 & echo $! >> pids",
    "holding stdout": "(exec sleep 1000) 3>&1 & echo $! >> pids",
    "ignoring TERM": '(trap "" TERM; exec sleep 1000) & echo $! >> pids',
    "stopped": "sleep 1000 & echo $! >> pids; kill -STOP $!",
    "without environment": "env -i sleep 1000 & echo $! >> pids",
    "double fork": "(setsid bash -c 'sleep 1000 & echo $! >> pids' >/dev/null 2>&1 &)",
    "daemon": f"""{sys.executable} -c '
import os, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
os.closerange(0, 100)
open("pids", "a").write(str(os.getpid()) + chr(10))
time.sleep(1000)'""",
    "daemon ignoring TERM": "(trap '' TERM; setsid bash -c 'sleep 1000 & echo $! >> pids' &)",
}
SLOW_TO_END = "trap 'echo heard' TERM; (trap '' TERM; exec sleep 1000) & echo ready; while :; do wait; done"
ESCAPED = "\nuntil [ -s pids ]; do :; done\n"


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    """The file in which a script leaves the pids it started; what is left of them is killed afterwards."""
    yield tmp_path / "pids"
    for pid in left_in(tmp_path / "pids"):
        os.kill(pid, signal.SIGKILL)


def left_in(pids: Path) -> list[int]:
    return [int(pid) for pid in pids.read_text().split() if start_ticks(int(pid))] if pids.exists() else []


def run(script: str, cwd: Path, **more: Any) -> Exit:
    ended = start(["bash", "-c", script], cwd, **more)
    assert isinstance(ended, Exit), ended
    return ended


def start(argv: list[str], cwd: Path, **more: Any) -> Exit | Failed:
    given: dict[str, Any] = {
        "env": environment(),
        "stop": Stop(),
        "sink": MemorySink(),
        "tracker": MemoryTracker(),
        **more,
    }
    return run_process(argv, cwd=cwd, **given)


def test_streams_exit_code_and_tracker_tell_what_happened(tmp_path: Path) -> None:
    sink, tracker = MemorySink(), MemoryTracker()
    ended = run("echo out; echo err >&2; exit 3", tmp_path, sink=sink, tracker=tracker)
    assert (ended.code, ended.signal, ended.stopped, ended.ok) == (3, None, False, False)
    assert (sink.out, sink.err) == (b"out\n", b"err\n")
    assert tracker.started == tracker.ended != []


@pytest.mark.parametrize(
    "path",
    [
        "{0}/plain:{0}/folder:{0}/nowhere:{0}/right:{0}/late",
        "right",
        ":{0}/right",
        "{0}/lineless:{0}/right",
        "{0}/orphaned:{0}/foreign:{0}/right",
    ],
)
def test_the_command_is_the_first_of_its_name_on_the_path_of_the_step_that_can_be_executed(
    tmp_path: Path, path: str
) -> None:
    no_programs = {"lineless": b"echo no", "orphaned": b"#!/nowhere/sh\n", "foreign": b"\x7fELF of another machine"}
    for folder, content in no_programs.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tool").write_bytes(content)
        (tmp_path / folder / "tool").chmod(0o755)
    (tmp_path / "folder" / "tool").mkdir(parents=True)
    for folder, mode in (("plain", 0o644), ("right", 0o755), ("late", 0o755)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tool").write_text(f'#!/bin/sh\necho {folder} "$1"\n')
        (tmp_path / folder / "tool").chmod(mode)
    sink = MemorySink()
    ended = start(["tool", "a"], tmp_path, env={**environment(), "PATH": path.format(tmp_path)}, sink=sink)
    assert isinstance(ended, Exit), ended
    assert (ended.code, sink.out) == (0, b"right a\n")


def test_a_process_killed_by_a_signal_says_so(tmp_path: Path) -> None:
    assert run("kill -SEGV $$", tmp_path).signal == signal.SIGSEGV


def test_every_byte_reaches_the_sink_unchanged(tmp_path: Path) -> None:
    data = bytes(range(256)) * 2000 + b"\xff\xfe\0\x1b[31m"
    (tmp_path / "data").write_bytes(data)
    sink = MemorySink()
    assert run("cat data; cat data >&2", tmp_path, sink=sink).ok
    assert sink.out == sink.err == data


def test_200_mb_of_output_take_seconds_and_no_memory(tmp_path: Path) -> None:
    class Count:
        total = 0

        def write(self, stream: Stream, data: bytes) -> None:
            self.total += len(data)
            assert len(data) <= 1 << 20

        def tail(self) -> str:
            return ""

    sink, capture, begun = Count(), Capture(10), time.monotonic()
    assert run("head -c 200000000 /dev/zero", tmp_path, sink=sink, capture=capture).ok
    assert sink.total == capture.total == 200_000_000
    assert bytes(capture.data) == b"\0" * 10
    assert time.monotonic() - begun < 20


def test_the_child_gets_exactly_the_given_environment_and_folder(tmp_path: Path) -> None:
    sink = MemorySink()
    start(["/usr/bin/env"], tmp_path, env={"ONLY": "this"}, sink=sink)
    assert sink.out == b"ONLY=this\n"
    run("pwd -P", tmp_path, sink=(sink := MemorySink()))
    assert sink.out.decode().strip() == str(tmp_path.resolve())


def test_stdin_is_empty_unless_given(tmp_path: Path) -> None:
    sink = MemorySink()
    assert run("cat; echo end", tmp_path, sink=sink).ok
    assert sink.out == b"end\n"


@pytest.mark.parametrize("script", ["cat", "true", "exec 0<&-; cat < /dev/null"])
def test_a_large_stdin_neither_blocks_nor_fails(tmp_path: Path, script: str) -> None:
    sink, data = MemorySink(), b"0123456789" * 300_000
    assert run(script, tmp_path, stdin=data, sink=sink).ok
    assert sink.out == (data if script == "cat" else b"")


def test_no_other_descriptor_is_inherited_and_none_is_left_open(tmp_path: Path) -> None:
    inherited = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(inherited, True)
    before = len(os.listdir("/dev/fd"))
    assert run(f"[ ! -e /dev/fd/{inherited} ]", tmp_path).ok
    assert isinstance(start(["nonesuch"], tmp_path), Failed)
    assert len(os.listdir("/dev/fd")) == before
    os.close(inherited)


def test_sigpipe_kills_writers_as_in_any_shell(tmp_path: Path) -> None:
    assert run("set -o pipefail; yes | head -1", tmp_path).code == 128 + signal.SIGPIPE


@pytest.mark.parametrize("escape", ESCAPES)
def test_nothing_survives_a_stop(tmp_path: Path, pids: Path, escape: str) -> None:
    stop = Stop()
    sink = MemorySink({b"ready": lambda: stop("cancelled", 0.3)})
    begun = time.monotonic()
    ended = run(ESCAPES[escape] + ESCAPED + "echo ready; sleep 1000", tmp_path, stop=stop, sink=sink)
    assert ended.stopped
    assert ended.survivors == ()
    assert pids.read_text().split()
    assert left_in(pids) == []
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("escape", ESCAPES)
def test_nothing_survives_a_failure(tmp_path: Path, pids: Path, escape: str) -> None:
    ended = run(ESCAPES[escape] + ESCAPED + "exit 3", tmp_path)
    assert ended.code == 3
    assert pids.read_text().split()
    assert left_in(pids) == []


@pytest.mark.parametrize("escape", ["background", "setsid", "nohup", "holding stdout", "daemon"])
def test_what_a_successful_process_left_running_stays(tmp_path: Path, pids: Path, escape: str) -> None:
    assert run(ESCAPES[escape] + ESCAPED, tmp_path).ok
    assert left_in(pids)


def test_the_end_does_not_wait_for_whoever_still_holds_stdout(tmp_path: Path, pids: Path) -> None:
    sink, begun = MemorySink(), time.monotonic()
    assert run("sleep 1000 & echo $! >> pids; echo done", tmp_path, sink=sink).ok
    assert sink.out == b"done\n"
    assert time.monotonic() - begun < 5


def test_the_end_does_not_wait_for_whoever_floods_stdout(tmp_path: Path, pids: Path) -> None:
    class Slow(MemorySink):
        def write(self, stream: Stream, data: bytes) -> None:
            sum(range(100_000))  # long enough for the pipe to be full again

    begun = time.monotonic()
    assert run("yes & echo $! >> pids", tmp_path, sink=Slow()).ok
    assert time.monotonic() - begun < 10


def test_what_was_printed_just_before_the_end_arrives(tmp_path: Path) -> None:
    sink = MemorySink()
    assert run("head -c 60000 /dev/zero; sleep 0.02 && echo late &", tmp_path, sink=sink).ok
    assert sink.out == b"\0" * 60000 + b"late\n"


def test_a_process_may_end_by_itself_when_it_is_asked_to(tmp_path: Path) -> None:
    stop = Stop()
    sink = MemorySink({b"ready": lambda: stop("cancelled", 60)})
    ended = run("trap 'echo bye; exit 0' TERM; sleep 1000 & echo ready; wait", tmp_path, stop=stop, sink=sink)
    assert (ended.code, ended.stopped) == (0, True)
    assert b"bye" in sink.out


def test_a_later_request_shortens_the_grace(tmp_path: Path) -> None:
    stop = Stop()
    sink = MemorySink({b"ready": lambda: stop("stopped", 1000), b"heard": lambda: stop("fenced", 0)})
    ended = run(SLOW_TO_END, tmp_path, stop=stop, sink=sink)
    assert (ended.signal, ended.stopped, stop.reason) == (signal.SIGKILL, True, "stopped")


def test_a_stop_that_came_before_the_start_counts(tmp_path: Path) -> None:
    stop = Stop()
    stop("timeout", 0)
    assert run("sleep 1000", tmp_path, stop=stop).stopped


def test_a_stop_is_heard_while_output_pours_in(tmp_path: Path) -> None:
    stop = Stop()
    assert run("yes", tmp_path, stop=stop, sink=MemorySink({b"y": lambda: stop("timeout", 0)})).stopped


def test_a_request_after_the_end_does_nothing(tmp_path: Path) -> None:
    stop = Stop()
    assert run("true", tmp_path, stop=stop).ok
    stop("cancelled")


@pytest.mark.parametrize("method", ["write", "spawned"])
def test_if_the_store_fails_the_processes_are_killed_and_the_error_is_raised(
    tmp_path: Path, pids: Path, method: str
) -> None:
    class BrokenSink(MemorySink):
        def write(self, stream: Stream, data: bytes) -> None:
            if method == "write":
                raise StoreError("disk full")

    class BrokenTracker(MemoryTracker):
        def spawned(self, pid: int) -> None:
            (tmp_path / "pids").write_text(f"{pid}\n")
            if method == "spawned":
                raise StoreError("disk full")

    with pytest.raises(StoreError, match="disk full"):
        run("echo; sleep 1000", tmp_path, sink=BrokenSink(), tracker=BrokenTracker())
    assert left_in(pids) == []


def script_file(folder: Path, text: bytes, mode: int) -> str:
    (folder / "script").write_bytes(text)
    (folder / "script").chmod(mode)
    return "./script"


@pytest.mark.parametrize(
    ("argv", "kind", "said"),
    [
        (["nonesuch"], "not_found", "nonesuch was not found on PATH (/nowhere)"),
        (["./nonesuch"], "not_found", "./nonesuch was not found (seen from"),
        (b"#!/nonesuch/sh\n", "not_found", "the interpreter that the first line of ./script names"),
        (b"\0\0\0\0", "not_executable", "./script cannot be executed"),
        (["bash", "-c", "a\0b"], "environment", "NUL"),
        (["/bin/echo", "a" * 200_000], "environment", "too large"),
    ],
)
def test_what_cannot_be_started_is_named(tmp_path: Path, argv: Any, kind: str, said: str) -> None:
    words = [script_file(tmp_path, argv, 0o755)] if isinstance(argv, bytes) else argv
    ended = start(words, tmp_path, env={"PATH": "/nowhere"})
    assert isinstance(ended, Failed)
    assert ended.error.kind == kind
    assert said in ended.error.message


def test_a_file_without_permission_to_execute_is_named(tmp_path: Path) -> None:
    ended = start([script_file(tmp_path, b"#!/bin/sh\n", 0o644)], tmp_path)
    assert isinstance(ended, Failed)
    assert (ended.error.kind, "chmod +x" in ended.error.message) == ("not_executable", True)


@pytest.mark.parametrize("name", ["nonesuch", "file"])
def test_a_working_directory_that_is_none_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    ended = start(["true"], tmp_path / name)
    assert isinstance(ended, Failed)
    assert ended.error.message == f"the working directory {tmp_path / name} is not there"


def test_too_large_an_environment_names_the_largest_variable_and_no_value(tmp_path: Path) -> None:
    ended = start(["true"], tmp_path, env=environment(BIG="x" * 300_000))
    assert isinstance(ended, Failed)
    assert "BIG with 300003" in ended.error.message
    assert "xxx" not in ended.error.message


def test_a_variable_that_cannot_be_passed_on_is_named_without_its_value(tmp_path: Path) -> None:
    ended = start(["true"], tmp_path, env=environment(ODD="secret\0value"))
    assert isinstance(ended, Failed)
    assert "'ODD'" in ended.error.message
    assert "secret" not in ended.error.message


def test_a_process_is_known_by_its_start_and_a_zombie_is_dead(tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "1000"])
    known = process_id(child.pid)
    assert known is not None
    assert known == process_id(child.pid)
    child.kill()
    wait_until(lambda: start_ticks(child.pid) is None)
    assert child.wait() == -signal.SIGKILL
    assert process_id(child.pid) is None
    assert boot_id()
    assert isinstance(pid_namespace(), str)


def test_another_process_with_the_same_pid_is_not_touched() -> None:
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    ticks = own(child.pid).start_ticks
    assert kill_leftovers(ProcessId(child.pid, ticks - 1), child.pid, "nobody", grace=0) == []
    assert child.poll() is None
    assert kill_leftovers(ProcessId(child.pid, ticks), child.pid, "nobody", grace=0) == []
    assert child.wait() == -signal.SIGKILL
    disown(child.pid)


def in_another_python(script: str, **env: str) -> str:
    imports = ["import os, subprocess, sys, signal", "from pathlib import Path"]
    imports += ["from cerebelum.steps.process import *", "from cerebelum.host.process_tree import own"]
    code = "\n".join([*imports, script])
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": root, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@linux
def test_who_kills_never_kills_itself_or_its_parents() -> None:
    said = in_another_python(
        """
child = subprocess.Popen(["sleep", "1000"])
own(child.pid)
left = kill_leftovers(process_id(os.getpid()), os.getsid(0), os.environ[TOKEN], grace=0)
print(left, child.wait())
""",
        CEREBELUM_TOKEN="nested",
    )
    assert said == "[] -9"


@linux
def test_a_successor_finds_what_a_dead_runner_left(tmp_path: Path, pids: Path) -> None:
    (tmp_path / "script").write_text("; ".join(ESCAPES[name] for name in ("setsid", "nohup", "ignoring TERM")))
    root = int(
        in_another_python(
            f"""
child = subprocess.Popen(["bash", "script"], cwd={str(tmp_path)!r}, start_new_session=True,
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
pid = process_id(child.pid)
child.wait()
print(child.pid)
""",
            CEREBELUM_TOKEN="of-a-dead-runner",
        )
    )
    wait_until(lambda: len(left_in(pids)) == 3)
    assert kill_leftovers(ProcessId(root, 0), root, "of-a-dead-runner", grace=0.2) == []
    assert left_in(pids) == []


@linux
def test_a_subreaper_takes_adopted_zombies_and_leaves_exit_statuses_alone() -> None:
    said = in_another_python(
        """
import time
assert become_subreaper()
mine = [subprocess.Popen(["false"]), subprocess.Popen(["bash", "-c", "exit 4"], start_new_session=True)]
leader = subprocess.Popen(["setsid", "bash", "-c", "sleep 0 & exit 0"], start_new_session=False)
leader = subprocess.Popen(["bash", "-c", "true & exit 0"], start_new_session=True)
leader.wait()
reaped, end = 0, time.monotonic() + 20
while not reaped and time.monotonic() < end:
    reaped += reap_adopted()
print(reaped >= 1, [child.wait() for child in mine])
"""
    )
    assert said == "True [1, 4]"


@linux
def test_a_child_that_has_not_executed_anything_yet_is_left_to_who_starts_it() -> None:
    said = in_another_python(
        """
from cerebelum.host.process_tree import spawning
assert become_subreaper()
def failed():
    pid = os.fork()
    if not pid:
        os.setsid()
        os._exit(3)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid
with spawning():
    child = failed()
    print(reap_adopted(), os.waitpid(child, 0)[1] >> 8, end=" ")
failed()
print(reap_adopted())
"""
    )
    assert said == "0 3 1"


@linux
def test_killed_daemons_leave_no_zombies_with_their_subreaper(tmp_path: Path, pids: Path) -> None:
    said = in_another_python(
        f"""
from tests.attempts import *
assert become_subreaper()
script = {ESCAPES["daemon"] + ESCAPED + "exit 1"!r}
ended = run_process(["bash", "-c", script], env=environment(), cwd=Path({str(tmp_path)!r}), stop=Stop(),
    sink=MemorySink(), tracker=MemoryTracker())
try:
    print(ended.code, os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print(ended.code, "no child")
"""
    )
    assert said == "1 no child"
    assert left_in(pids) == []
