"""The pytest plugin that comes with the package: workflows are tested in milliseconds, waits and crashes included.

It is there as soon as cerebelum is installed beside pytest, and costs nothing where its fixtures are not asked for.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from cerebelum.core.events import AnyEvent, ApprovalRequested, Entry, ExecutionStarted
    from cerebelum.sdk.results import ExecutionResult
    from cerebelum.sdk.verbs import Verbs
    from cerebelum.sdk.workflow import PythonWorkflow
    from cerebelum.store import Change, EventStore

    Answer = Mapping[str, Any] | bool | None

__all__ = ["Crashed", "RunWorkflow", "cerebelum_store", "crash_after", "run_workflow"]


class Crashed(Exception):
    """The process would be dead now; `run_workflow.resume(error.execution_id)` is what its successor does."""

    def __init__(self, execution_id: str, event: str) -> None:
        super().__init__(f"{execution_id} crashed after {event}, as it was asked to")
        self.execution_id = execution_id


class VirtualClock:
    """Clocks that jump to the next moment that something is due at, as soon as nothing else can happen."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._ahead)

    def elapsed(self) -> float:
        import time

        return time.monotonic() + self._ahead

    def idle(self, seconds: float) -> None:
        self._ahead += max(0.0, seconds)


class RunWorkflow:
    """The fixture `run_workflow`: call it with a workflow and its inputs."""

    def __init__(self, store: str) -> None:
        self.store = store
        self.clock = VirtualClock()
        self._crash: tuple[str, str | None, int] | None = None
        self._workflows: dict[str, PythonWorkflow | Path] = {}
        self._answers: dict[str, Mapping[str, Answer]] = {}

    def __call__(
        self,
        workflow: PythonWorkflow | Path | str,
        inputs: Any = None,
        *,
        approvals: Mapping[str, Answer] | None = None,
        **options: Any,
    ) -> ExecutionResult:
        """Run a workflow, or the one in a file, to its end; sleeps and retries pass at once.

        `approvals` says by step what is answered: True or a response grants it, False rejects it. What is answered by
        nobody ends with its time limit, or the execution is left waiting. `options` are those of `PythonWorkflow.run`.
        Raises what that raises, and Crashed.
        """
        origin = Path(workflow) if isinstance(workflow, str) else workflow
        return self._driven(origin, approvals or {}, lambda run: run.start(inputs, options))

    def resume(
        self, execution_id: str, *, approvals: Mapping[str, Answer] | None = None, **options: Any
    ) -> ExecutionResult:
        """Go on with an execution that was run here: after a failure, or after a crash."""
        answers = self._answers[execution_id] if approvals is None else approvals
        workflow = self._workflows[execution_id]
        self._answer_waiting(execution_id, answers)
        return self._driven(workflow, answers, lambda run: run.resume(execution_id, **options))

    def crash_after(self, event: str, *, step: str | None = None, nth: int = 1) -> None:
        """See the fixture of that name."""
        from cerebelum.core.events import AnyEvent

        known = [kind.__name__ for kind in AnyEvent.__args__]
        if event not in known:
            raise ValueError(f"there is no event {event!r}; there are {', '.join(known)}")
        self._crash = (event, step, nth)

    def _driven(
        self,
        workflow: PythonWorkflow | Path,
        answers: Mapping[str, Answer],
        work: Callable[[Any], ExecutionResult],
    ) -> ExecutionResult:
        from cerebelum.app import App
        from cerebelum.core.durations import LONGEST
        from cerebelum.engine.settings import Settings
        from cerebelum.sdk.running import Run
        from cerebelum.sdk.verbs import Verbs

        app = App(os.environ)
        crash, self._crash = self._crash, None
        verbs: list[Verbs] = []
        unknown: list[str] = []

        def connect() -> Verbs:
            # Once more by each `WorkflowError.resume()`, which crashes no more.
            store = _Store(app.open_store(self.store), None if verbs else crash)
            verbs.append(Verbs(lambda: cast("EventStore", store), app.executors, clock=self.clock))
            return verbs[-1]

        def hear(execution_id: str, event: AnyEvent) -> None:
            self._workflows[execution_id], self._answers[execution_id] = workflow, answers
            if type(event).__name__ == "ExecutionStarted":
                steps = {step.id for step in cast("ExecutionStarted", event).definition.every_step()}
                unknown.extend(sorted(answers.keys() - steps))
            if type(event).__name__ == "ApprovalRequested":
                _answer(verbs[-1], execution_id, cast("ApprovalRequested", event).step, answers)

        # What is waited for without end, and answered by nobody, is left waiting.
        settings = Settings(park_after=LONGEST, listeners=(hear,))
        try:
            result = work(Run(workflow, connect, settings=settings))
            if unknown:
                raise ValueError(f"approvals= answers {', '.join(unknown)}, which is no step of this workflow")
            return result
        except _Crash as crashed:
            self._workflows[crashed.execution_id], self._answers[crashed.execution_id] = workflow, answers
            with closing(app.open_store(self.store)) as store:
                _abandon(store, crashed.execution_id)
            raise Crashed(crashed.execution_id, crashed.event) from None

    def _answer_waiting(self, execution_id: str, answers: Mapping[str, Answer]) -> None:
        """Answer what an execution, which nobody drives now, had asked for before it crashed or was left waiting."""
        from cerebelum.app import App
        from cerebelum.sdk.verbs import Verbs

        app = App(os.environ)
        with closing(Verbs(lambda: app.open_store(self.store), app.executors, clock=self.clock)) as verbs:
            for name, at in verbs.status(execution_id).state.steps.items():
                if at.status == "waiting_for_approval":
                    _answer(verbs, execution_id, name, answers)


def _abandon(store: EventStore, execution_id: str) -> None:
    """Leave the execution to others: this process lives, and would be taken for the one that still drives it."""
    from cerebelum.store import Query

    [row] = store.find(Query(id=execution_id)).rows
    store.own(execution_id, None, row.ownership)


class _Crash(BaseException):
    def __init__(self, execution_id: str, event: str) -> None:
        super().__init__(event)
        self.execution_id = execution_id
        self.event = event


class _Store:
    """A store that tells at once of what is asked in this process, and from a certain event on takes nothing more."""

    def __init__(self, inner: EventStore, crash: tuple[str, str | None, int] | None) -> None:
        self.inner = inner
        self._crash = crash
        self._left = crash[2] if crash else 0
        self._dead = False
        self._hearing: list[Callable[[Change], None]] = []

    def append(self, execution_id: str, expected: int, entries: list[Entry], summary: Any, **how: Any) -> None:
        from cerebelum.store import Change

        self._check()
        self.inner.append(execution_id, expected, entries, summary, **how)
        if self._crash is not None and any(map(self._is_it, entries)):
            self._dead = True
            raise _Crash(execution_id, self._crash[0])
        for hear in list(self._hearing):
            hear(Change("events" if how.get("fence") else "request", execution_id))

    def subscribe(self, hear: Callable[[Change], None], execution_id: str = "") -> Callable[[], None]:
        from cerebelum.store import Change

        self._hearing.append(hear)
        hear(Change("unknown"))
        return lambda: self._hearing.remove(hear)

    def __getattr__(self, name: str) -> Any:
        if name in ("own", "beat", "note_process", "write_log"):
            self._check()
        return getattr(self.inner, name)

    def _is_it(self, entry: Entry) -> bool:
        from cerebelum.core.events import decode

        assert self._crash is not None
        event, step, _ = self._crash
        if entry.type == event and step in (None, getattr(decode(entry.text), "step", None)):
            self._left -= 1
        return self._left == 0

    def _check(self) -> None:
        from cerebelum.core.errors import StoreError

        if self._dead:
            raise StoreError("the process is dead, as it was asked to be")


def _answer(verbs: Verbs, execution_id: str, step: str, answers: Mapping[str, Answer]) -> None:
    answer = answers.get(step)
    if answer is False:
        verbs.reject(execution_id, step, by="test")
    elif answer is not None:
        verbs.approve(execution_id, step, by="test", response=None if answer is True else answer)


@pytest.fixture
def cerebelum_store(monkeypatch: pytest.MonkeyPatch) -> str:
    """A temporary store, which is the default one during the test."""
    url = f"memory:test-{uuid.uuid4().hex}"
    monkeypatch.setenv("CEREBELUM_STORE", url)
    return url


@pytest.fixture
def run_workflow(cerebelum_store: str) -> RunWorkflow:
    """Runs workflows in virtual time: `result = run_workflow(deploy, {"version": "1"}, approvals={"go": True})`."""
    return RunWorkflow(cerebelum_store)


@pytest.fixture
def crash_after(run_workflow: RunWorkflow) -> Callable[..., None]:
    """Has the next run crash as soon as an event is recorded: `crash_after("StepCompleted", step="build")`.

    `run_workflow` then raises Crashed, nothing that happens after that is recorded, and
    `run_workflow.resume(error.execution_id)` goes on like another process would.
    """
    return run_workflow.crash_after
