"""Running one process to its end: its output streamed, and nothing of it left behind when it fails or is stopped.

One selector loop in the calling thread watches the pipes, the process itself and the wish to stop; so a step ends when
its process does, even if a grandchild still holds the pipes open.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from cerebelum.core.events import StepError
from cerebelum.core.outcome import Failed
from cerebelum.host import faults
from cerebelum.host.environment import program_on
from cerebelum.host.process_tree import (
    TOKEN,
    ProcessId,
    become_subreaper,
    boot_id,
    disown,
    kill_leftovers,
    own,
    pid_namespace,
    process_id,
    reap_adopted,
    spawning,
    start_ticks,
    terminate_tree,
)
from cerebelum.steps.executor import Sink, Stop, Tracker
from cerebelum.store import Stream

__all__ = [
    "TOKEN",
    "Capture",
    "Exit",
    "ProcessId",
    "become_subreaper",
    "boot_id",
    "exit_error",
    "kill_leftovers",
    "pid_namespace",
    "process_id",
    "reap_adopted",
    "run_process",
    "start_ticks",
]

BLOCK = 1 << 18
PIPE_SIZE = 1 << 20
LINGER = 0.1
"""Seconds that output is still waited for after the process has ended and something else holds its pipes."""
_NO_PIDFD_TICK = 0.02


class Capture:
    """Collects the first `limit` bytes of a stream and counts the rest."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self.data = bytearray()

    def add(self, block: bytes) -> None:
        self.total += len(block)
        room = self.limit - len(self.data)
        if room > 0:
            self.data += block[:room]


class Exit(msgspec.Struct, frozen=True):
    """How a process ended: with an exit code, or by a signal."""

    code: int | None
    signal: int | None
    stopped: bool
    """True if it was asked to end before it ended."""
    survivors: tuple[int, ...] = ()
    """Pids that could not be killed."""

    @property
    def ok(self) -> bool:
        return self.code == 0 and not self.stopped


class _Wake:
    """A descriptor that becomes readable when the stop is requested; safe to call after it was closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.fd, self._write = os.pipe()
        self._open = True
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write, False)

    def __call__(self) -> None:
        with self._lock:
            if self._open:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._write, b"!")

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 4096)

    def close(self) -> None:
        with self._lock:
            self._open = False
            os.close(self.fd)
            os.close(self._write)


def run_process(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    stop: Stop,
    sink: Sink,
    tracker: Tracker,
    program: str | None = None,
    stdin: bytes | None = None,
    capture: Capture | None = None,
    pass_fds: Sequence[int] = (),
) -> Exit | Failed:
    """Run `argv` in a session of its own with exactly `env`, and stream its output to `sink` until it has ended.

    `program` is the file of `argv[0]` where that is known. `stdin` is written to the process (None: it reads end of
    file); `capture` gets a copy of its stdout. When `stop` is requested, everything the process started gets SIGTERM
    and after `stop.grace` seconds SIGKILL, daemons that carry `env`'s CEREBELUM_TOKEN included. What a failed process
    left behind is killed as well, what a successful one left is not. Returns Failed (kind `not_found`,
    `not_executable`, `environment`, `spawn`) if it cannot be started. Whatever `sink` or `tracker` raise is raised
    after the processes were killed.
    """
    wake: _Wake | None = None
    try:
        wake = _Wake()
        faults.point("before-spawn")
        with spawning():
            popen = _spawn(list(argv), program, dict(env), cwd, stdin, tuple(pass_fds))
    except (OSError, ValueError) as error:
        if wake is not None:
            wake.close()
        return Failed(_cannot_start(error, list(argv), env, cwd))
    run = _Run(popen, own(popen.pid), env.get(TOKEN, ""), stop, sink, wake, stdin, capture)
    try:
        faults.point("after-spawn")
        tracker.spawned(popen.pid)
        faults.point("after-record")
        stop.on_request(wake)
        ended = run.to_the_end()
        faults.point("after-exit")
        return ended
    except BaseException:
        run.abandon()
        raise
    finally:
        run.close()
        disown(popen.pid)
        tracker.gone(popen.pid)


def _spawn(
    argv: list[str], program: str | None, env: dict[str, str], cwd: Path, stdin: bytes | None, pass_fds: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    """The process, just started. Raises OSError or ValueError."""

    def spawn(file: str | None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            executable=file,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            pass_fds=pass_fds,
        )

    if program is None and "/" not in argv[0]:
        program = program_on(env.get("PATH", os.defpath), argv[0])
    if program is not None:
        # There may be a later one on the PATH that can run.
        with contextlib.suppress(OSError):
            return spawn(program)
    # Without a file, the child tries each of the PATH while this thread waits.
    return spawn(None)


def exit_error(ended: Exit, tail: str) -> StepError:
    """Why a process that ended this way failed; `tail` is what it printed last."""
    if ended.signal is not None:
        name = _signal_name(ended.signal)
        hint = " (out of memory?)" if ended.signal == signal.SIGKILL else ""
        return StepError(kind="signal", message=f"killed by {name}{hint}", tail=tail or None)
    code = ended.code or 0
    hint = ""
    if code == 126:
        hint = ": a command was found but cannot be executed (chmod +x?)"
    elif code == 127:
        hint = ": a command was not found (is it installed, and on the step's PATH?)"
    elif 128 < code < 128 + signal.NSIG:
        hint = f": a command was killed by {_signal_name(code - 128)}"
    return StepError(kind="exit", message=f"exit code {code}{hint}", exit_code=code, tail=tail or None)


class _Run:
    """The state of one running process, kept together for the steps of the loop."""

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        root: ProcessId,
        token: str,
        stop: Stop,
        sink: Sink,
        wake: _Wake,
        stdin: bytes | None,
        capture: Capture | None,
    ) -> None:
        self.popen, self.root, self.token, self.stop = popen, root, token, stop
        self.sink, self.wake, self.capture = sink, wake, capture
        self.known: frozenset[ProcessId] = frozenset()
        self.survivors: list[int] = []
        self.stopping = False
        self.deadline: float | None = None
        self.stdin = memoryview(stdin) if stdin is not None else None
        assert popen.stdout is not None
        assert popen.stderr is not None
        self.pipes: dict[int, Stream] = {popen.stdout.fileno(): "stdout", popen.stderr.fileno(): "stderr"}
        self.enlarged: set[int] = set()
        self.poll = select.poll()
        for fd in (*self.pipes, wake.fd):
            self.poll.register(fd, select.POLLIN)
        if popen.stdin is not None:
            os.set_blocking(popen.stdin.fileno(), False)
            self.poll.register(popen.stdin.fileno(), select.POLLOUT)
        self.pidfd = -1
        with contextlib.suppress(OSError, AttributeError):
            self.pidfd = os.pidfd_open(popen.pid)
            self.poll.register(self.pidfd, select.POLLIN)

    def to_the_end(self) -> Exit:
        while not self._turn():
            if self.stop.requested:
                self._ask_to_end()
            if self.deadline is not None and time.monotonic() >= self.deadline:
                self._kill(grace=0)
                if self.survivors:
                    return Exit(None, signal.SIGKILL, True, tuple(self.survivors))
        status = self._status()
        if self.stopping or status != 0:
            self._drain(LINGER)
            remaining = 1.0 if self.deadline is None else max(0.0, min(1.0, self.deadline - time.monotonic()))
            self._kill(grace=remaining)
            self._drain(0)
        else:
            self._drain(LINGER)
        self.popen.wait()
        code, number = (None, -status) if status < 0 else (status, None)
        return Exit(code, number, self.stopping, tuple(self.survivors))

    def abandon(self) -> None:
        """Kill at once, because whoever wanted the output cannot take it any more."""
        self._kill(grace=0)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(timeout=1)

    def close(self) -> None:
        for file in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
        self.wake.close()

    def _turn(self) -> bool:
        """Wait for something to happen and handle it; True if the process has ended."""
        wait = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        if self.pidfd < 0:
            wait = _NO_PIDFD_TICK if wait is None else min(wait, _NO_PIDFD_TICK)
        ended = False
        for fd, _ in self.poll.poll(None if wait is None else wait * 1000 + 0.5):
            if fd == self.pidfd:
                ended = True
            elif fd == self.wake.fd:
                self.wake.clear()
            elif fd in self.pipes:
                self._read(fd)
            else:
                self._feed()
        return ended or (self.pidfd < 0 and self.popen.poll() is not None)

    def _read(self, fd: int) -> int:
        """Pass on one block; returns its length, 0 at the end of the stream."""
        block = os.read(fd, BLOCK)
        stream = self.pipes[fd]
        if not block:
            self.poll.unregister(fd)
            del self.pipes[fd]
            return 0
        if len(block) >= 1 << 16 and fd not in self.enlarged:
            self.enlarged.add(fd)
            with contextlib.suppress(OSError, AttributeError):
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        if self.capture is not None and stream == "stdout":
            self.capture.add(block)
        self.sink.write(stream, block)
        return len(block)

    def _feed(self) -> None:
        file = self.popen.stdin
        assert file is not None
        assert self.stdin is not None
        try:
            self.stdin = self.stdin[os.write(file.fileno(), self.stdin[:BLOCK]) :] if self.stdin else self.stdin
        except BlockingIOError:
            return
        except BrokenPipeError:
            self.stdin = self.stdin[:0]
        if not self.stdin:
            self.poll.unregister(file.fileno())
            file.close()

    def _drain(self, seconds: float) -> None:
        """Read on to the end of the streams, for `seconds` at most, and at least what the ended process had written."""
        until, owed = time.monotonic() + seconds, PIPE_SIZE * len(self.pipes)
        poll = select.poll()
        for fd in self.pipes:
            poll.register(fd, select.POLLIN)
        while self.pipes:
            left = until - time.monotonic()
            ready = poll.poll(max(0.0, left) * 1000)
            if not ready or (left <= 0 and owed <= 0):
                return
            for fd, _ in ready:
                length = self._read(fd)
                owed -= length
                if not length:
                    poll.unregister(fd)

    def _ask_to_end(self) -> None:
        within = time.monotonic() + max(0.0, self.stop.grace)
        if not self.stopping:
            self.stopping, self.deadline = True, within
            self.known = terminate_tree(self.root, self.popen.pid, self.token)
        elif self.deadline is not None:
            self.deadline = min(self.deadline, within)

    def _kill(self, grace: float) -> None:
        if grace <= 0:
            # The group at once, so that nothing can fork faster than it is found. Its number cannot have been
            # given to another group: the process has not been waited for yet.
            with contextlib.suppress(OSError):
                if self.popen.returncode is None:
                    os.killpg(self.popen.pid, signal.SIGKILL)
        self.survivors = kill_leftovers(self.root, self.popen.pid, self.token, known=self.known, grace=grace)

    def _status(self) -> int:
        """The exit code, or minus the signal; the process stays a zombie, so that its pid keeps its meaning."""
        if self.popen.returncode is not None or not hasattr(os, "waitid"):
            return self.popen.wait()
        result = os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOWAIT)
        assert result is not None
        return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def _cannot_start(error: OSError | ValueError, argv: list[str], env: Mapping[str, str], cwd: Path) -> StepError:
    program = argv[0] if argv else ""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, ValueError):
        return StepError(kind="environment", message=_bad_text(error, argv, env))
    if number in (errno.ENOENT, errno.ENOTDIR, errno.EACCES) and not os.access(cwd, os.X_OK):
        state = "cannot be entered" if cwd.is_dir() else "is not there"
        return StepError(kind="not_found", message=f"the working directory {cwd} {state}")
    if number in (errno.ENOENT, errno.ENOTDIR):
        return StepError(kind="not_found", message=_not_found(program, env, cwd))
    if number in (errno.EACCES, errno.ENOEXEC):
        return StepError(
            kind="not_executable",
            message=f"{program} cannot be executed ({error.strerror}); is it executable (chmod +x), with a first line "
            "such as #!/bin/sh, and for this machine?",
        )
    if number == errno.E2BIG:
        sizes = {name: len(name) + len(value.encode("utf-8", "surrogateescape")) for name, value in env.items()}
        largest = max(sizes, key=lambda name: sizes[name], default="")
        return StepError(
            kind="environment",
            message=f"arguments and environment are too large for the system: {sum(map(len, argv))} bytes of arguments,"
            f" {sum(sizes.values())} of variables, the largest is {largest} with {sizes.get(largest, 0)} "
            "(one may have about 128 KiB); hand large values on in files",
        )
    return StepError(kind="spawn", message=f"cannot start {program}: {error.strerror or error}")


def _bad_text(error: ValueError, argv: list[str], env: Mapping[str, str]) -> str:
    for name, value in env.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            return f"the environment variable {name!r} cannot be passed on: NUL in it, or '=' in its name"
    if any("\0" in word for word in argv):
        return "the command holds a NUL character, which no command may have"
    return f"the command or its environment cannot be passed on: {error}"


def _not_found(program: str, env: Mapping[str, str], cwd: Path) -> str:
    if "/" in program and (cwd / program).is_file():
        return f"the interpreter that the first line of {program} names was not found"
    if "/" in program:
        return f"{program} was not found (seen from {cwd})"
    return (
        f"{program} was not found on PATH ({env.get('PATH', 'which is not set')}); install it, or mend PATH in `env:`"
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
