"""What a terminal shows while an execution runs: a line for what happens, and the steps' output with their names."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Protocol

from cerebelum.cli.outlet import Outlet
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
    PauseRequested,
    SleepCompleted,
    SleepStarted,
    StepCompleted,
    StepFailed,
    StepInterrupted,
    StepSkipped,
    StepStarted,
)
from cerebelum.core.model import Step
from cerebelum.render.display import Symbols, harmless, harmless_data, length, moment, one_line, recoded
from cerebelum.render.shapes import event_line
from cerebelum.render.text import interruption
from cerebelum.store import Stream

_LONGEST_LINE = 64 << 10
"""Bytes of an unfinished line that are held back before they are shown as if it had ended."""


class Display(Protocol):
    """What shows an execution while it goes on: as `Live` for output, and as a listener for events."""

    def event(self, execution_id: str, event: AnyEvent) -> None: ...

    def output(self, step: str, attempt: int, stream: Stream, data: bytes) -> None: ...

    def left_out(self, step: str, attempt: int) -> None: ...

    def ended(self, step: str, attempt: int) -> None: ...


class Lines:
    """Makes whole, harmless lines of one stream's output, each behind a prefix."""

    def __init__(self, prefix: bytes) -> None:
        self._held = b""
        self.prefix(prefix)

    def prefix(self, prefix: bytes) -> None:
        """Put this before every line from now on."""
        self._prefix = prefix
        self._between = b"\n" + prefix

    def feed(self, data: bytes) -> bytes:
        """The lines that `data` completes, ready to be shown."""
        whole, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._held += rest
            if b"\r" in rest:
                self._held = _after_return(self._held)
            if len(self._held) < _LONGEST_LINE:
                return b""
            whole, self._held = _cut(self._held)
        else:
            whole, self._held = self._held + whole, rest
        return self._shown(whole)

    def flush(self) -> bytes:
        """The unfinished line, as if it had ended."""
        held, self._held = self._held, b""
        return self._shown(held) if held else b""

    def _shown(self, block: bytes) -> bytes:
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
            block = b"\n".join([_after_return(line.rstrip(b"\r")) for line in block.split(b"\n")])
        return self._prefix + harmless_data(block).replace(b"\n", self._between) + b"\n"


def _after_return(line: bytes) -> bytes:
    """What a progress bar left standing: the text after the last carriage return that has any behind it."""
    ends = len(line) - len(line.rstrip(b"\r"))
    body = line[: len(line) - ends] if ends else line
    return body.rpartition(b"\r")[2] + line[len(line) - ends :] if ends else body.rpartition(b"\r")[2]


def _cut(data: bytes) -> tuple[bytes, bytes]:
    """`data` in two, not inside a UTF-8 character."""
    end = len(data)
    while end > len(data) - 4 and data[end - 1] & 0xC0 == 0x80:
        end -= 1
    if data[end - 1] >= 0xC0:
        end -= 1
    else:
        end = len(data)
    return data[:end], data[end:]


class Screen:
    """Plain text, in one piece of output per event, so that it reads the same on a terminal and in a CI log."""

    def __init__(
        self, outlet: Outlet, symbols: Symbols, *, colour: bool = False, quiet: bool = False, encoding: str = "utf-8"
    ) -> None:
        self._outlet = outlet
        self._symbols = symbols
        self._colour = colour
        self._quiet = quiet
        self._encoding = encoding
        self._lines: dict[tuple[str, int], dict[Stream, Lines]] = {}
        self._steps: dict[str, Step] = {}
        self._began: dict[str, datetime] = {}
        self._on_timeout: dict[str, str] = {}
        self._fresh = False
        self._lock = threading.Lock()

    # -- output of steps ----------------------------------------------------------------------------------------------

    def output(self, step: str, attempt: int, stream: Stream, data: bytes) -> None:
        """Show the whole lines of what a step printed."""
        if self._quiet or self._outlet.broken:
            return
        with self._lock:
            streams = self._lines.setdefault((step, attempt), {})
            lines = streams.get(stream)
            if lines is None:
                lines = streams[stream] = Lines(self._prefix(step))
            shown = lines.feed(data)
        if shown:
            self._outlet.offer(recoded(shown, self._encoding))

    def left_out(self, step: str, attempt: int) -> None:
        """Say that the rest of a step's output is not shown."""
        if not self._quiet:
            self._flush(step, attempt)
            self._outlet.put(self._line(f"{step} {self._symbols.bar} {self._symbols.ellipsis} more than is shown here"))

    def ended(self, step: str, attempt: int) -> None:
        """Show what is left of a step's output."""
        if not self._quiet:
            self._flush(step, attempt)

    def _flush(self, step: str, attempt: int) -> None:
        with self._lock:
            streams = self._lines.pop((step, attempt), {})
        for lines in streams.values():
            rest = lines.flush()
            if rest:
                self._outlet.offer(recoded(rest, self._encoding))

    def _prefix(self, step: str) -> bytes:
        bar = f"{step} {self._symbols.bar}"
        return (f"\x1b[2m{bar}\x1b[0m " if self._colour else f"{bar} ").encode()

    def _line(self, text: str, colour: str = "") -> bytes:
        text = f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour else text
        return (text + "\n").encode(self._encoding, "backslashreplace")

    # -- events -------------------------------------------------------------------------------------------------------

    def event(self, execution_id: str, event: AnyEvent) -> None:
        """Show what happened."""
        if isinstance(event, ExecutionStarted):
            self._steps = {s.id: s for s in event.definition.every_step()}
            self._fresh = True
        if self._quiet and not isinstance(event, StepFailed | ApprovalRequested):
            return
        text, colour = self._said(execution_id, event)
        if text:
            self._outlet.put(self._line(text, colour))

    def _said(self, execution_id: str, event: AnyEvent) -> tuple[str, str]:
        s = self._symbols
        match event:
            case ExecutionStarted():
                count = len(event.definition.steps)
                return f"{execution_id}: started, {count} step{'s' if count != 1 else ''}", "1"
            case ExecutionResumed():
                return f"{execution_id}: resumed" + (f" from {event.from_step}" if event.from_step else ""), "1"
            case StepStarted():
                self._began.setdefault(event.step, event.at)
                return f"{s.started} {event.step}" + (f"  attempt {event.attempt}" if event.attempt > 1 else ""), ""
            case StepCompleted():
                note = ", found to have taken effect" if event.verified else ""
                return f"{s.completed} {event.step}  {length(self._took(event))}{note}", "32"
            case StepFailed():
                if event.retry_at is None:
                    self._began.pop(event.step, None)
                return f"{s.failed} {event.step}  {one_line(event.error.message)}{self._again(event)}", "31"
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

    def _took(self, event: StepCompleted) -> float:
        """Seconds since the step's beginning, as far as it was seen here: sleeps, approvals and retries count."""
        began = self._began.pop(event.step, None)
        return event.duration if began is None else max(event.duration, (event.at - began).total_seconds())

    def _again(self, event: StepFailed) -> str:
        step = self._steps.get(event.step)
        tries = step.retry.attempts if step and self._fresh else 0
        count = f"attempt {event.attempt} of {tries}" if tries > 1 else f"attempt {event.attempt}"
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

    def output(self, step: str, attempt: int, stream: Stream, data: bytes) -> None:
        """Output is in the log."""

    def left_out(self, step: str, attempt: int) -> None:
        """Output is in the log."""

    def ended(self, step: str, attempt: int) -> None:
        """Output is in the log."""
