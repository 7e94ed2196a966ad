"""What performs a step, seen from both sides: what an executor is given, and what it may answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from cerebelum.core.events import StepError
from cerebelum.core.model import Step
from cerebelum.core.outcome import Outcome
from cerebelum.core.step_kind import StepKind
from cerebelum.store import Stream

StopReason = Literal["timeout", "cancelled", "stopped", "fenced"]


class Stop:
    """Tells a running attempt to end: set once, by the runner, from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: threading.Event | None = None
        """Made by the first who waits: most attempts end without anybody waiting for this."""
        self._callbacks: list[Any] = []
        self.reason: StopReason | None = None
        self.grace: float = 5.0
        """Seconds an attempt may take to end by itself before it is killed."""

    def __call__(self, reason: StopReason, grace: float = 5.0) -> None:
        """Ask the attempt to end; the first reason counts, a later call can only shorten the grace."""
        with self._lock:
            if self.reason is None:
                self.reason = reason
                self.grace = grace
            else:
                self.grace = min(self.grace, grace)
            if self._waiting is not None:
                self._waiting.set()
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()

    @property
    def requested(self) -> bool:
        return self.reason is not None

    def wait(self, seconds: float | None = None) -> bool:
        """Block until the attempt is asked to end or `seconds` have passed; True if it is asked to end."""
        with self._lock:
            if self.requested:
                return True
            waiting = self._waiting = self._waiting or threading.Event()
        return waiting.wait(seconds)

    def on_request(self, callback: Any) -> None:
        """Call `callback()` (quick, thread-safe) on every request, at once if there has been one already."""
        with self._lock:
            self._callbacks.append(callback)
            due = self.requested
        if due:
            callback()


class Sink(Protocol):
    """Where an attempt's output goes: masked, bounded, stored and shown by whoever is behind it."""

    def write(self, stream: Stream, data: bytes) -> None: ...

    def tail(self) -> str:
        """The last lines written so far, masked (at most 20 lines, 4 KiB)."""
        ...


class Tracker(Protocol):
    """Told of each process that an executor spawns, so that nothing is left behind when the runner dies."""

    def spawned(self, pid: int) -> None: ...

    def gone(self, pid: int) -> None: ...


class Answer(msgspec.Struct, frozen=True):
    """What an earlier `Sleep` or `Approval` of this step came to."""

    kind: Literal["sleep", "granted"]
    response: Mapping[str, Any] = msgspec.field(default_factory=dict)
    by: str | None = None


class Ending(msgspec.Struct, frozen=True):
    """How an execution ends whose handlers run, as far as the log says."""

    status: Literal["completed", "failed", "cancelled"]
    failed_steps: tuple[str, ...] = ()
    """Steps of the main graph whose failure is final, in the order in which they failed."""
    error: StepError | None = None
    """Why the first of them failed, or that it took too long as a whole."""


class Invocation(msgspec.Struct, frozen=True, dict=True):
    """One attempt at one step, with everything already evaluated."""

    execution_id: str
    workflow: str
    step: Step
    attempt: int
    idempotency_key: str
    """The same on every attempt of one generation of this step."""
    body: Any
    """The step's body with its expressions evaluated."""
    options: Mapping[str, Any]
    """The executor's own keys, evaluated."""
    cwd: Path
    """Folder the step runs in; checked to be there."""
    folder: Path
    """Folder of the workflow file."""
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    """Outputs by step id; None for a step that has none."""
    secrets: Mapping[str, str]
    stop: Stop
    sink: Sink
    tracker: Tracker
    make_env: Callable[[], Mapping[str, str]]
    make_scratch: Callable[[], Path]
    """Gives the same folder each time."""
    answers: tuple[Answer, ...] = ()
    """Answers to this step's earlier calls (`Sleep`, `Approval`), in order."""
    ending: Ending | None = None
    """For the steps of handlers."""

    # A function in this process asks for neither of these, and then nobody pays for them.

    @cached_property
    def env(self) -> Mapping[str, str]:
        """The whole environment for a process of this step: the user's, INPUT_*, `env:`, secrets, CEREBELUM_*."""
        return self.make_env()

    @cached_property
    def scratch(self) -> Path:
        """A private folder that exists during this attempt. Raises CerebelumError if none can be made."""
        return self.make_scratch()


def leaving_nothing(executors: Mapping[str, Executor]) -> frozenset[str]:
    """The keys of those whose steps leave no files behind."""
    return frozenset(key for key, executor in executors.items() if getattr(executor, "leaves_nothing", False))


class ByHand(msgspec.Struct, frozen=True):
    """How to run a step's script by hand: the file it was written to, and the arguments that run it from there."""

    script: Path
    words: Sequence[str]


class Executor(StepKind, Protocol):
    """Performs one kind of step. One instance serves many threads.

    What is written to the process's standard streams while `run` runs becomes the step's output, unless the executor
    has a true attribute `captures_output`: then it sees to that itself, or writes nothing there. A true attribute
    `leaves_nothing` says that its steps leave no files behind, so that nobody is warned of theirs on another machine.

    A method `by_hand(body, options, env, scratch) -> ByHand` writes the step's script to a file in the empty folder
    `scratch`, for `cerebelum shell`; without one, that has no script to offer.
    """

    def run(self, call: Invocation) -> Outcome:
        """Perform the step and say how it went. Ends soon after `call.stop` is requested.

        Raises CerebelumError for what the user can mend; any other exception counts as a failure of kind `exception`.
        """
        ...
