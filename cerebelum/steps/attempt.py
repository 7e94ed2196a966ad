"""What the engine keeps of an attempt that is going on, and how it was told to drive."""

from __future__ import annotations

import os
import threading
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import msgspec

from cerebelum.core.errors import CerebelumError
from cerebelum.core.events import StepError
from cerebelum.core.model import Step
from cerebelum.core.outcome import Failed, Interrupted, Outcome
from cerebelum.core.state import State
from cerebelum.host.process_tree import ProcessId, boot_id, kill_leftovers, pid_namespace, started
from cerebelum.steps.executor import Stop
from cerebelum.steps.log import AttemptOutput
from cerebelum.store import EventStore, Process


class Attempt(msgspec.Struct):
    """An attempt that is going on in this process. Times are seconds of the clock that only goes forward."""

    step: Step
    number: int
    stop: Stop
    token: str
    output: AttemptOutput
    scratch: Lease
    started: float
    deadline: float | None
    stopped: float | None = None
    """When it was asked to end."""
    overrun: str = "timed out"
    """Which time limit it passed, if that is why."""
    abandoned: bool = False
    processes: dict[int, Process] = msgspec.field(default_factory=dict)
    """What it has spawned, by pid, until that has ended."""

    def kill(self) -> None:
        """End what it has spawned at once, even if its thread is waiting for the store and hears of no stop."""
        for process in list(self.processes.values()):
            kill_leftovers(ProcessId(process.pid, process.start_ticks), process.session, process.token, grace=0.0)

    def outcome_of_leaving(self) -> Outcome:
        """What it comes to if it is left behind because it does not end."""
        if self.stop.reason != "timeout":
            return Interrupted()
        left = "was told to end and did not; its thread is left behind until the process ends"
        return Failed(StepError("timeout", f"{self.overrun}, {left}"), retryable=False)


def attempt_token(state: State, step_id: str, number: int) -> str:
    """What marks the processes of an attempt, in `CEREBELUM_TOKEN`.

    It follows from the log alone, so that a successor finds even a process that was spawned an instant before its
    runner died; the moment of the start tells executions of the same id in different stores apart.
    """
    return f"{state.execution_id}.{step_id}.{number}.{_stamped(state.started_at)}"


@lru_cache(maxsize=16)
def _stamped(moment: datetime) -> str:
    return f"{int(moment.timestamp() * 1e6):x}"


class ProcessRecord(msgspec.Struct, frozen=True):
    """The `Tracker` of one attempt: what it spawns is in the store, so that a successor finds it."""

    store: EventStore
    execution_id: str
    attempt: Attempt

    def spawned(self, pid: int) -> None:
        """Record a process (the leader of its own session) that was just spawned."""
        process = Process(
            step=self.attempt.step.id,
            attempt=self.attempt.number,
            pid=pid,
            pid_namespace=pid_namespace(),
            start_ticks=started(pid),
            boot_id=boot_id(),
            session=pid,
            token=self.attempt.token,
        )
        self.attempt.processes[pid] = process
        self.store.note_process(self.execution_id, process)

    def gone(self, pid: int) -> None:
        """Forget a process that has ended."""
        process = self.attempt.processes.pop(pid, None)
        if process is not None:
            self.store.note_process(self.execution_id, process, gone=True)


class Scratch:
    """Private folders for attempts, inside one of the execution's.

    Making and removing a folder costs more than a short step does, on a disk that is synced for every event. So one
    is made only for an attempt that asks for it, and one that nobody has touched serves the next attempt.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._untouched: list[tuple[Path, int]] = []
        self._count = 0
        self._lock = threading.Lock()

    def lease(self) -> Lease:
        """A folder for one attempt, if it asks for one."""
        return Lease(self)

    def take(self) -> tuple[Path, int]:
        """An empty folder, for its caller alone until `give_back`, and its stamp. Raises CerebelumError if none can
        be made.
        """
        with self._lock:
            if self._untouched:
                return self._untouched.pop()
            self._count += 1
            folder = self._folder / str(self._count)
        try:
            folder.mkdir(mode=0o700)
            return folder, _stamp(folder)
        except OSError as error:
            raise CerebelumError(
                f"no temporary folder can be made for the step: {error.strerror}",
                where=str(folder),
                hint="free some space there, or name another place with TMPDIR",
            ) from None

    def give_back(self, folder: Path, stamp: int) -> None:
        """The attempt is over: what it left in its folder goes."""
        try:
            if _stamp(folder) == stamp and not os.listdir(folder):
                self._untouched.append((folder, stamp))
                return
        except OSError:
            pass
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


class Lease:
    """The private folder of one attempt, made when it is first asked for."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._taken: tuple[Path, int] | None = None

    def folder(self) -> Path:
        """The folder. Raises CerebelumError if none can be made."""
        if self._taken is None:
            self._taken = self._scratch.take()
        return self._taken[0]

    def end(self) -> None:
        """The attempt is over."""
        if self._taken is not None:
            self._scratch.give_back(*self._taken)


def _stamp(folder: Path) -> int:
    return os.stat(folder).st_mtime_ns
