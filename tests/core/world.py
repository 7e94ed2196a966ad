"""An execution driven by hand: `decide` and `evolve` with a clock that tests move, and no store, process or thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from cerebelum.core.decide import Circumstances, Ended, Happening, Nudge, Opened, Stopping, decide
from cerebelum.core.errors import CerebelumError
from cerebelum.core.events import (
    AnyEvent,
    ApprovalGranted,
    ApprovalRejected,
    CancelRequested,
    Environment,
    ExecutionResumed,
    ExecutionStarted,
    StepError,
    StepInterrupted,
    StepReported,
    StepStarted,
    StepTaken,
    Why,
)
from cerebelum.core.evolve import evolve, reconstruct
from cerebelum.core.handover import said
from cerebelum.core.model import Retry, Source, Step, Workflow, step_digest
from cerebelum.core.outcome import Completed, Failed, Interrupted, Outcome
from cerebelum.core.state import State, status

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SOURCE = Source("yaml", "/work/release.yaml", "0" * 64)
ENVIRONMENT = Environment("host", "/work", "linux", "0.1.0")
ID = "release-0123456789"


def step(step_id: str, *needs: str, body: Any = "true", **fields: Any) -> Step:
    """A step of the model with its digest; `needs` is where it stands in the timeline unless `explicit_needs`."""
    made = Step(id=step_id, executor=fields.pop("executor", "run"), body=body, needs=needs, **fields)
    return msgspec.structs.replace(made, digest=step_digest(made))


def explicit(step_id: str, *needs: str, **fields: Any) -> Step:
    """A step with `needs:` written out."""
    return step(step_id, *needs, explicit_needs=True, **fields)


def workflow(*steps: Step, **fields: Any) -> Workflow:
    """A workflow of these steps; groups of handlers are named, with `finally_` for `finally`."""
    return Workflow(name="release", steps=steps, **fields)


def chain(*names: str, **fields: Any) -> Workflow:
    """A workflow of steps that follow one another."""
    return workflow(*(step(name, *names[i - 1 : i]) for i, name in enumerate(names)), **fields)


def error(kind: str = "exit", message: str = "it broke", exit_code: int | None = 1) -> StepError:
    return StepError(kind, message, exit_code)


FAILED = Failed(error())
FATAL = Failed(error(), retryable=False)


class World:
    """One execution: its log, its state, and the time."""

    def __init__(self, definition: Workflow, **conditions: bool | None) -> None:
        self.definition = definition
        self.conditions: Mapping[str, bool | None] = conditions
        """What each step's `when` comes to (True if it is not named); None: it cannot be evaluated."""
        self.result: Callable[[State], Any] = lambda state: None
        self.now = START
        self.chance = 0.5
        self.stopping: Stopping | None = None
        self.here = False
        self.log: list[AnyEvent] = []
        self._state: State | None = None

    @property
    def state(self) -> State:
        assert self._state is not None
        return self._state

    # -- what may happen ----------------------------------------------------------------------------------------------

    def start(self, **fields: Any) -> World:
        """Begin the execution; returns the world, so that a test can say `World(…).start()`."""
        event = ExecutionStarted(
            version=1,
            at=self.now,
            workflow=self.definition.name,
            definition=self.definition,
            source=SOURCE,
            environment=ENVIRONMENT,
            inputs=fields.pop("inputs", {}),
            **fields,
        )
        self.turn(Opened(event))
        return self

    def completes(self, *steps: str, output: Any = None) -> list[AnyEvent]:
        """These running attempts complete, in this order; returns all that was decided."""
        return [event for s in steps for event in self.ends(s, Completed(output))]

    def fails(self, step_id: str, error: StepError | None = None, *, retryable: bool = True) -> list[AnyEvent]:
        return self.ends(step_id, Failed(error, retryable) if error else Failed(FAILED.error, retryable))

    def is_interrupted(self, step_id: str, why: Why = "stopped") -> list[AnyEvent]:
        return self.ends(step_id, Interrupted(), why=why)

    def ends(self, step_id: str, outcome: Outcome, **fields: Any) -> list[AnyEvent]:
        return self.turn(Ended(step_id, outcome, 1.0, **fields))

    def passes(self, seconds: float) -> list[AnyEvent]:
        """Time passes, and the runner looks again."""
        self.now += timedelta(seconds=seconds)
        return self.turn(Nudge())

    def stops(self, why: Stopping | None) -> list[AnyEvent]:
        """The runner is told to stop (None: no longer)."""
        self.stopping = why
        return self.turn(Nudge())

    def cancelled_by(self, who: str = "ann", why: str | None = None) -> list[AnyEvent]:
        return self.appended(CancelRequested(by=who, why=why, **self.stamp))

    def granted(self, step_id: str, **response: Any) -> list[AnyEvent]:
        return self.appended(
            ApprovalGranted(step=step_id, call=self.call(step_id), by="ann", response=response, **self.stamp)
        )

    def rejected(self, step_id: str, comment: str | None = None) -> list[AnyEvent]:
        return self.appended(
            ApprovalRejected(step=step_id, call=self.call(step_id), by="ann", comment=comment, **self.stamp)
        )

    def taken(self, step_id: str, worker: str = "w1") -> StepTaken:
        """A worker takes a step that is handed over; nothing follows from that."""
        at = self.state.steps[step_id]
        assert at.handed is not None
        version, host = at.handed.version, f"on-{worker}"
        event = StepTaken(step=step_id, attempt=at.attempt, handover=version, worker=worker, host=host, **self.stamp)
        assert self.appended(event) == []
        return event

    def reported(self, taken: StepTaken, outcome: Outcome, **fields: Any) -> list[AnyEvent]:
        """The worker that has taken it reports; returns what follows from that."""
        same: dict[str, Any] = {"step": taken.step, "attempt": taken.attempt, "handover": taken.handover}
        same |= {"worker": taken.worker, "host": taken.host}
        return self.appended(StepReported(**same, **said(outcome), **fields, **self.stamp))

    def appended(self, *events: AnyEvent) -> list[AnyEvent]:
        """Somebody else appends, then the owner folds that and looks again; returns what the owner decided."""
        self.folds(*events)
        return self.turn(Nudge())

    def folds(self, *events: AnyEvent) -> None:
        for event in events:
            self.log.append(event)
            self._state = evolve(self._state, event)

    def resumes(self, definition: Workflow | None = None, **fields: Any) -> list[AnyEvent]:
        """A resume by hand, unless `reason` says otherwise; a runner that stopped is replaced by one that does not."""
        self.stopping = None
        if definition is not None:
            self.definition = definition
        fields = {"reason": "manual", "definition": definition, **self.stamp, **fields}
        return self.turn(Opened(ExecutionResumed(**fields)))

    def crashes(self, version: int | None = None) -> list[AnyEvent]:
        """The runner dies, all after `version` was never written, and another one takes over."""
        self.log = self.log[:version]
        self._state = reconstruct(ID, self.log)
        self.now = self.log[-1].at
        return self.resumes(reason="resurrected", continues=True)

    # -- what there is to see -----------------------------------------------------------------------------------------

    @property
    def stamp(self) -> dict[str, Any]:
        return {"version": self.state.version + 1, "at": self.now}

    @property
    def status(self) -> str:
        return status(self.state)

    @property
    def running(self) -> list[str]:
        return [s for s, kind in self.state.active.items() if kind == "running"]

    @property
    def on_workers(self) -> list[str]:
        """Steps that workers have, or may take."""
        return [s for s, kind in self.state.active.items() if kind in ("waiting_for_worker", "on_worker")]

    @property
    def statuses(self) -> dict[str, str]:
        return {s: at.status for s, at in self.state.steps.items()}

    def started(self) -> list[str]:
        """Steps in the order in which attempts at them were started."""
        return starts(self.log)

    def types(self) -> list[str]:
        return [type(event).__name__ for event in self.log]

    def call(self, step_id: str) -> int:
        return len(self.state.steps[step_id].calls) - 1

    # -- how it works -------------------------------------------------------------------------------------------------

    def turn(self, happening: Happening) -> list[AnyEvent]:
        new_segment = isinstance(happening, Opened) and not getattr(happening.event, "continues", False)
        circumstances = self.circumstances()
        turn = decide(
            self._state, happening, replace(circumstances, overtime=circumstances.overtime and not new_segment), ID
        )
        self.log += turn.events
        self._state = turn.state
        return turn.events

    def circumstances(self) -> Circumstances:
        state = self._state
        limit = state.workflow.timeout if state else None
        return Circumstances(
            now=self.now,
            chance=self.chance,
            due=frozenset(s for s, moment in self.moments().items() if moment <= self.now),
            stopping=self.stopping,
            here=self.here,
            overtime=bool(
                limit and state and state.segment_at and self.now >= state.segment_at + timedelta(seconds=limit)
            ),
            condition=self._condition,
            result=self.result,
        )

    def moments(self) -> dict[str, datetime]:
        """When each waiting step is due, for those that are ever due by themselves."""
        if self._state is None:
            return {}
        found: dict[str, datetime | None] = {}
        for step_id, kind in self._state.active.items():
            at = self._state.steps[step_id]
            if kind == "retrying":
                found[step_id] = at.retry_at
            elif kind in ("sleeping", "waiting_for_approval"):
                found[step_id] = at.calls[-1].due_at
        return {s: moment for s, moment in found.items() if moment is not None}

    def _condition(self, state: State, step: Step) -> bool:
        if isinstance(step.when, bool):
            return step.when
        wanted = self.conditions.get(step.id, True)
        if wanted is None:
            raise CerebelumError(f"there is no such thing as {step.when}")
        return wanted


def starts(events: Iterable[AnyEvent]) -> list[str]:
    return [event.step for event in events if isinstance(event, StepStarted)]


def interruptions(events: Iterable[AnyEvent]) -> list[str]:
    """Steps whose attempts were cut off, which what no worker had taken was not."""
    return [event.step for event in events if isinstance(event, StepInterrupted) and event.why != "withdrawn"]


def retry(attempts: int, **fields: Any) -> Retry:
    return Retry(attempts=attempts, **fields)
