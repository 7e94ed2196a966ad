"""What a terminal shows while an execution runs: a line for what happens, and the steps' output with their names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import IO, Protocol

from cerebelum.cli.look import Look
from cerebelum.cli.outlet import Outlet
from cerebelum.cli.step_output import Output, StepOutput
from cerebelum.core.events import (
    AnyEvent,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalTimedOut,
    CancelRequested,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionPaused,
    ExecutionResumed,
    ExecutionStarted,
    LockAcquired,
    LockAwaited,
    PauseRequested,
    SleepCompleted,
    SleepStarted,
    StepCompleted,
    StepFailed,
    StepHandedOver,
    StepInterrupted,
    StepReported,
    StepSkipped,
    StepStarted,
    StepTaken,
)
from cerebelum.core.model import Step, Workflow
from cerebelum.render.display import harmless, length, moment, one_line
from cerebelum.render.failures import error_details
from cerebelum.render.shapes import event_line
from cerebelum.render.text import interruption
from cerebelum.render.workers import waits_for
from cerebelum.store import Stream


class Display(Protocol):
    """What shows an execution while it goes on: as `Live` for output, and as a listener for events."""

    def event(self, execution_id: str, event: AnyEvent) -> None: ...

    def recorded(self, execution_id: str, event: AnyEvent, text: str) -> None:
        """An event that is in the log already, with the text that it has there."""
        ...

    def output(self, step: str, attempt: int, stream: Stream, data: bytes) -> None: ...

    def left_out(self, step: str, attempt: int) -> None: ...

    def ended(self, step: str, attempt: int) -> None: ...

    def close(self) -> None:
        """Nothing more happens."""
        ...


class Screen:
    """Plain text, in one piece of output per event, so that it reads the same on a terminal and in a CI log.

    `workflow_of(id)` is asked for the workflow of an execution that goes on from earlier; with `stamps`, every line has
    the local time in front.
    """

    def __init__(
        self,
        outlet: Outlet,
        look: Look,
        *,
        output: Output = "stream",
        quiet: bool = False,
        workflow_of: Callable[[str], Workflow | None] = lambda execution_id: None,
    ) -> None:
        self._outlet = outlet
        self._look = look
        self._symbols = look.symbols
        self._quiet = quiet
        self._printed = StepOutput(look, output, self._show)
        self._workflow_of = workflow_of
        self._steps: dict[str, Step] = {}
        self._began: dict[str, datetime] = {}
        self._on_timeout: dict[str, str] = {}
        self._waits = False

    def _show(self, *parts: bytes | IO[bytes]) -> None:
        """Show what a step printed."""
        if len(parts) == 1 and isinstance(parts[0], bytes):
            self._outlet.offer(parts[0])
        else:
            self._outlet.put(*parts)

    # -- output of steps ----------------------------------------------------------------------------------------------

    def output(self, step: str, attempt: int, stream: Stream, data: bytes) -> None:
        """Show the whole lines of what a step printed."""
        if not self._quiet and not self._outlet.broken:
            self._printed.feed(step, attempt, stream, data)

    def left_out(self, step: str, attempt: int) -> None:
        """Say that the rest of a step's output is not shown."""
        if not self._quiet:
            self._printed.left_out(step, attempt)

    def ended(self, step: str, attempt: int) -> None:
        """Show what is left of a step's output."""
        if not self._quiet:
            self._printed.flush(step, attempt)

    # -- events -------------------------------------------------------------------------------------------------------

    def event(self, execution_id: str, event: AnyEvent) -> None:
        """Show what happened."""
        self._learn_steps(execution_id, event)
        if self._quiet and not isinstance(event, StepFailed | ApprovalRequested):
            return
        self._printed.over(event)
        text, colour = self._said(execution_id, event)
        if text:
            self._outlet.put(self._line(text, colour, event.at))
        system = self._look.system
        if system is not None and isinstance(event, StepFailed) and event.retry_at is None:
            self._outlet.put(self._plain(system.problem(event.step, event.error.message)))

    def close(self) -> None:
        """Nothing more happens."""
        self._printed.close()

    def recorded(self, execution_id: str, event: AnyEvent, text: str) -> None:
        """Show what happened."""
        self.event(execution_id, event)

    def _learn_steps(self, execution_id: str, event: AnyEvent) -> None:
        """Know the steps, so that names can be padded and attempts counted."""
        match event:
            case ExecutionStarted():
                workflow: Workflow | None = event.definition
            case ExecutionResumed():
                workflow = event.definition or (None if self._steps else self._workflow_of(execution_id))
            case _:
                return
        if workflow is not None:
            self._steps = {step.id: step for step in workflow.every_step()}
            self._printed.name_steps(self._steps)

    def _line(self, text: str, colour: str = "", at: datetime | None = None) -> bytes:
        """The text, whose first line says what happened, and the others more about it."""
        stamp = f"{at.astimezone():%H:%M:%S} " if at is not None and self._look.stamps else ""
        first, newline, rest = text.partition("\n")
        return self._plain(f"{stamp}{self._look.paint(first, colour)}\n{rest}{newline}")

    def _plain(self, text: str) -> bytes:
        return text.encode(self._look.encoding, "backslashreplace")

    def _said(self, execution_id: str, event: AnyEvent) -> tuple[str, str]:
        s = self._symbols
        match event:
            case ExecutionStarted():
                count = len(event.definition.steps)
                return f"{execution_id}: started{self._day(event)}, {count} step{'s' if count != 1 else ''}", "1"
            case ExecutionResumed():
                start = f" from {event.from_step}" if event.from_step else ""
                return f"{execution_id}: resumed{self._day(event)}{start}", "1"
            case LockAwaited():
                others = "" if event.ahead == 1 else f", {event.ahead} before it"
                what = f"waits for the lock {harmless(event.group)}, held by {harmless(event.holder)}{others}"
                self._waits = True
                return f"{s.waiting} {execution_id}  {what}", "33"
            case LockAcquired():
                if not self._waits:
                    return "", ""
                return f"{s.started} {execution_id}  has the lock {harmless(event.group)}", ""
            case StepStarted():
                self._began.setdefault(event.step, event.at)
                return f"{s.started} {event.step}" + (f"  attempt {event.attempt}" if event.attempt > 1 else ""), ""
            case StepHandedOver():
                self._began.setdefault(event.step, event.at)
                return f"{s.waiting} {event.step}  {waits_for(event)}", "2"
            case StepTaken():
                again = f"  attempt {event.attempt}" if event.attempt > 1 else ""
                return f"{s.started} {event.step}{again}  on {harmless(event.host)}", ""
            case StepReported():
                if event.refused is None:
                    return "", ""
                what = f"attempt {event.attempt} on {harmless(event.host)}: {event.outcome}"
                return f"{s.interrupted} {event.step}  {what}, which counts for nothing: {event.refused}", "33"
            case StepCompleted():
                note = ", found to have taken effect" if event.verified else ""
                return f"{s.completed} {event.step}  {length(self._took(event))}{note}", "32"
            case StepFailed():
                line = f"{s.failed} {event.step}  {one_line(event.error.message)}{self._again(event)}"
                if event.retry_at is not None:
                    return line, "31"
                self._began.pop(event.step, None)
                tail = not self._printed.has_shown(event.step, event.attempt)
                return "\n".join([line, *error_details(event.error, s, tail=tail)]), "31"
            case StepInterrupted():
                self._began.pop(event.step, None)
                return f"{s.interrupted} {event.step}  interrupted: {interruption(event.why)}", "33"
            case StepSkipped():
                return f"{s.skipped} {event.step}  skipped: {event.why}", "2"
            case SleepStarted():
                return f"{s.waiting} {event.step}  sleeps {length(event.seconds)}, until {moment(event.until)}", "2"
            case SleepCompleted():
                return f"{s.started} {event.step}  slept", ""
            case ApprovalRequested():
                self._on_timeout[event.step] = event.on_timeout
                return f"{s.waiting} {event.step}  waits for approval: {one_line(event.message)}", "33"
            case ApprovalGranted():
                return f"{s.started} {event.step}  approved by {harmless(event.by)}", ""
            case ApprovalRejected():
                return f"{s.failed} {event.step}  rejected by {harmless(event.by)}", "31"
            case ApprovalTimedOut():
                if self._on_timeout.get(event.step) == "approve":
                    return f"{s.started} {event.step}  nobody decided in time: approved", ""
                return f"{s.failed} {event.step}  nobody approved in time", "31"
            case PauseRequested():
                return f"{s.interrupted} {harmless(event.by)} asks it to pause", "33"
            case CancelRequested():
                return f"{s.interrupted} {harmless(event.by)} cancels it", "33"
            case ExecutionPaused() | ExecutionCancelled() | ExecutionFailed() | ExecutionCompleted():
                return "", ""

    def _day(self, event: AnyEvent) -> str:
        """The day, where all lines have the time of day."""
        return f"{event.at.astimezone(): on %Y-%m-%d (%Z)}" if self._look.stamps else ""

    def _took(self, event: StepCompleted) -> float:
        """Seconds since the step's beginning, as far as it was seen here: sleeps, approvals and retries count."""
        began = self._began.pop(event.step, None)
        return event.duration if began is None else max(event.duration, (event.at - began).total_seconds())

    def _again(self, event: StepFailed) -> str:
        step = self._steps.get(event.step)
        tries = step.retry.attempts if step else 0
        # A resumed step has more attempts than one budget.
        count = f"attempt {event.attempt} of {tries}" if tries >= max(event.attempt, 2) else f"attempt {event.attempt}"
        if event.retry_at is not None:
            return f" ({count}, again in {length((event.retry_at - event.at).total_seconds())})"
        return f" ({count})" if event.attempt > 1 else ""


class JsonLines:
    """Events as they are recorded, one JSON object per line; nothing of the steps' output."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    def event(self, execution_id: str, event: AnyEvent) -> None:
        """Write an event."""
        self._outlet.put(event_line(execution_id, event) + b"\n")

    def recorded(self, execution_id: str, event: AnyEvent, text: str) -> None:
        """Write an event as it was recorded."""
        self._outlet.put(event_line(execution_id, text.encode()) + b"\n")

    def output(self, step: str, attempt: int, stream: Stream, data: bytes) -> None:
        """Output is in the log."""

    def left_out(self, step: str, attempt: int) -> None:
        """Output is in the log."""

    def ended(self, step: str, attempt: int) -> None:
        """Output is in the log."""

    def close(self) -> None:
        """Each line is complete."""
