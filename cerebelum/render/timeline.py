"""What the steps of an execution did when, worked out from its events: attempts, waits, and when nobody drove it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from cerebelum.core.events import (
    AnyEvent,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalTimedOut,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionPaused,
    ExecutionResumed,
    SleepCompleted,
    SleepStarted,
    StepCompleted,
    StepFailed,
    StepHandedOver,
    StepInterrupted,
    StepSkipped,
    StepStarted,
    StepTaken,
)
from cerebelum.core.status import GOING_ON
from cerebelum.render.display import moment, one_line
from cerebelum.render.text import interruption
from cerebelum.render.workers import waits_for
from cerebelum.store.lookup import View

Kind = Literal[
    "completed",
    "failed",
    "interrupted",
    "running",
    "retrying",
    "sleeping",
    "waiting_for_worker",
    "waiting_for_approval",
]
WORK: tuple[Kind, ...] = ("completed", "failed", "interrupted", "running")
"""Of what an attempt ran in; the others are waits."""

replace = msgspec.structs.replace


class Span(msgspec.Struct, frozen=True):
    """A stretch of time in which a step did one thing."""

    kind: Kind
    attempt: int
    begin: datetime
    end: datetime
    said: str = ""


class Track(msgspec.Struct, frozen=True):
    """All that one step did."""

    step: str
    spans: tuple[Span, ...] = ()
    skips: tuple[tuple[datetime, str], ...] = ()

    def attempt(self, number: int) -> Span | None:
        """An attempt as one stretch, from its beginning to its end."""
        spans = [span for span in self.spans if span.attempt == number and span.kind in WORK]
        return replace(spans[-1], begin=spans[0].begin) if spans else None


class Rest(msgspec.Struct, frozen=True):
    """A stretch in which nothing was started, because it was paused, over, or driven by nobody."""

    kind: Literal["paused", "over", "undriven"]
    begin: datetime
    end: datetime
    said: str


class Timeline(msgspec.Struct, frozen=True):
    """An execution over time; `tracks` in the order of the workflow, then what a later definition removed."""

    begin: datetime
    end: datetime
    tracks: tuple[Track, ...]
    rests: tuple[Rest, ...]
    resumes: tuple[tuple[datetime, str], ...]


def timeline(view: View, events: Sequence[AnyEvent], now: datetime) -> Timeline:
    """The execution over time, to its end, or to `now` while it goes on."""
    state = view.state
    going_on = view.status in GOING_ON
    end = max(now, state.updated_at) if going_on else state.ended_at or state.updated_at
    fold = _Fold()
    for event in events:
        fold.take(event)
    fold.finish(end, going_on=going_on)
    order = dict.fromkeys([*(step.id for step in state.workflow.every_step()), *fold.spans, *fold.skips])
    tracks = (Track(step, tuple(fold.spans.get(step, ())), tuple(fold.skips.get(step, ()))) for step in order)
    return Timeline(
        begin=state.started_at,
        end=end,
        tracks=tuple(track for track in tracks if track.spans or track.skips),
        rests=tuple(fold.rests),
        resumes=tuple(fold.resumes),
    )


class _Fold:
    """What is known after some of the events."""

    def __init__(self) -> None:
        self.spans: dict[str, list[Span]] = {}
        self.skips: dict[str, list[tuple[datetime, str]]] = {}
        self.rests: list[Rest] = []
        self.resumes: list[tuple[datetime, str]] = []
        self._open: dict[str, Span] = {}
        self._rest: Rest | None = None
        self._before: datetime | None = None
        self._on_workers: set[str] = set()

    def take(self, event: AnyEvent) -> None:
        """One event more."""
        match event:
            case StepHandedOver():
                self._begin(event.step, "waiting_for_worker", event.attempt, event.at, waits_for(event))
            case StepTaken():
                self._on_workers.add(event.step)
                self._begin(event.step, "running", event.attempt, event.at)
            case StepStarted():
                self._on_workers.discard(event.step)
                self._begin(event.step, "running", event.attempt, event.at)
            case StepCompleted():
                self._end(event.step, "completed", event.attempt, event.at)
            case StepFailed():
                self._end(event.step, "failed", event.attempt, event.at, one_line(event.error.message))
                if event.retry_at is not None:
                    self._begin(event.step, "retrying", event.attempt, event.at, f"until {moment(event.retry_at)}")
            case StepInterrupted():
                # Nobody recorded when it was that the runner died: only that there was nothing after what came before.
                lost = event.why == "runner_died" and self._before is not None
                at = self._before if lost and self._before else event.at
                if not (lost and event.step not in self._open):
                    self._end(event.step, "interrupted", event.attempt, at, interruption(event.why))
            case StepSkipped():
                why = f"skipped: {event.why}" + (f" ({one_line(event.detail)})" if event.detail else "")
                self.skips.setdefault(event.step, []).append((event.at, why))
            case SleepStarted():
                self._begin(event.step, "sleeping", self._attempt(event.step), event.at, f"until {moment(event.until)}")
            case SleepCompleted():
                self._begin(event.step, "running", self._attempt(event.step), event.at)
            case ApprovalRequested():
                asked = one_line(event.message)
                self._begin(event.step, "waiting_for_approval", self._attempt(event.step), event.at, asked)
            case ApprovalGranted() | ApprovalRejected() | ApprovalTimedOut():
                self._answered(event)
            case ExecutionPaused():
                who = f" by {event.by}" if event.by else f" ({event.signal})" if event.signal else ""
                self._rest = Rest("paused", event.at, event.at, f"paused{who}")
            case ExecutionFailed() | ExecutionCancelled() | ExecutionCompleted():
                how = type(event).__name__.removeprefix("Execution").lower()
                for step in list(self._open):
                    self._close(step, event.at)
                self._rest = Rest("over", event.at, event.at, f"over: {how}")
            case ExecutionResumed():
                self._resume(event)
            case _:
                pass
        self._before = event.at

    def finish(self, end: datetime, *, going_on: bool) -> None:
        """Close what is open at the end that is shown."""
        for step, span in list(self._open.items()):
            if span.kind == "running" and not going_on:
                self._end(step, "interrupted", span.attempt, end, interruption("runner_died"))
            else:
                self._close(step, end)

    def _attempt(self, step: str) -> int:
        if step in self._open:
            return self._open[step].attempt
        return self.spans[step][-1].attempt if self.spans.get(step) else 1

    def _begin(self, step: str, kind: Kind, attempt: int, at: datetime, said: str = "") -> None:
        self._close(step, at)
        self._open[step] = Span(kind, attempt, at, at, said)

    def _close(self, step: str, at: datetime) -> None:
        span = self._open.pop(step, None)
        if span is not None:
            self.spans.setdefault(step, []).append(replace(span, end=max(at, span.begin)))

    def _end(self, step: str, kind: Kind, attempt: int, at: datetime, said: str = "") -> None:
        """An attempt has ended; what it did before it waited was a part of it."""
        if step not in self._open:
            self._open[step] = Span("running", attempt, at, at)
        self._close(step, at)
        self.spans[step] = [
            replace(span, kind=kind, said=said) if span.kind == "running" and span.attempt == attempt else span
            for span in self.spans[step]
        ]

    def _answered(self, event: ApprovalGranted | ApprovalRejected | ApprovalTimedOut) -> None:
        span = self._open.get(event.step)
        how = type(event).__name__.removeprefix("Approval").replace("TimedOut", "timed out").lower()
        by = "" if isinstance(event, ApprovalTimedOut) else f" by {event.by}"
        if span is not None:
            self._open[event.step] = replace(span, said=f"{span.said}: {how}{by}" if span.said else f"{how}{by}")
            self._close(event.step, event.at)

    def _resume(self, event: ExecutionResumed) -> None:
        before = self._before or event.at
        lost = [s for s, span in self._open.items() if span.kind == "running" and s not in self._on_workers]
        for step in lost:
            self._end(step, "interrupted", self._open[step].attempt, before, interruption("runner_died"))
        said = "nothing was recorded: its runner died" if lost else "nobody drove it"
        rest = self._rest or Rest("undriven", before, before, said)
        self._rest = None
        if rest.begin < event.at:
            self.rests.append(replace(rest, end=event.at))
        who = event.environment
        by = "" if who is None else f" by {who.user or '?'}@{who.host}"
        self.resumes.append((event.at, f"resumed{by}" + ("" if event.reason == "manual" else f" ({event.reason})")))
