"""`run` on a terminal: a line that lives for each step that is going on, and one for each that is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import IO

import msgspec

from cerebelum.cli.lines import Lines
from cerebelum.cli.look import Look
from cerebelum.cli.outlet import Outlet
from cerebelum.cli.region import Region
from cerebelum.cli.screen import Screen
from cerebelum.cli.step_output import Output
from cerebelum.core.events import (
    AnyEvent,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalTimedOut,
    ExecutionResumed,
    ExecutionStarted,
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
from cerebelum.core.model import Workflow
from cerebelum.render.display import ASCII, harmless, length, one_line
from cerebelum.render.width import clipped, columns, padded
from cerebelum.render.workers import waits_for
from cerebelum.store import Stream

_TICK = 0.125
_SILENT = 60.0
"""Seconds without output after which that is said."""
_SLOW = 1.5
"""Times its usual length after which a step is called slow."""
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_FRAMES = "|/-\\"
_LONGEST_NAME = 24


class Progress(msgspec.Struct, frozen=True):
    """What earlier executions and the log tell about this one."""

    total: int
    """How many steps the main graph has."""
    done: int = 0
    """How many of them were over at `version`."""
    version: int = 0
    usual: Mapping[str, float] = {}
    """By step: how many seconds it usually takes."""
    usually: float | None = None
    """Seconds that the whole usually takes."""


class _Row:
    """A step that is going on."""

    def __init__(self, at: datetime) -> None:
        self.began = at
        self.said = ""
        self.heard = time.monotonic()
        self.waits: str | None = None
        """What it waits for, if it does not run."""
        self.until: datetime | None = None
        self.lines = {"stdout": Lines(b""), "stderr": Lines(b"")}


class LiveScreen(Screen):
    """Shows what goes on at the bottom of the terminal, and what is over above it.

    `learn(id)` is asked once, in a thread of its own, for what is known of the execution. With an `output` other than
    live, what steps print is shown above, too.
    """

    def __init__(
        self,
        outlet: Outlet,
        look: Look,
        *,
        terminal: int,
        learn: Callable[[str], Progress],
        output: Output = "live",
        workflow_of: Callable[[str], Workflow | None] = lambda execution_id: None,
    ) -> None:
        super().__init__(outlet, look, output=output, workflow_of=workflow_of)
        self._region = Region(outlet, terminal, look)
        self._learn = learn
        self._shows_output = output != "live"
        self._rows: dict[str, _Row] = {}
        self._done: list[int] = []
        """Versions of the events by which a step of the main graph was over."""
        self._progress: Progress | None = None
        self._main: frozenset[str] | None = None
        self._since: datetime | None = None
        self._execution_id = ""
        self._guard = threading.RLock()
        self._over = threading.Event()
        self._frames = _ASCII_FRAMES if look.symbols is ASCII else _FRAMES
        self._ticker = threading.Thread(target=self._tick, name="cerebelum-live", daemon=True)

    # -- what happens -------------------------------------------------------------------------------------------------

    def event(self, execution_id: str, event: AnyEvent) -> None:
        """Show what happened."""
        self._learn_steps(execution_id, event)
        self._printed.over(event)
        with self._guard:
            above = self._follow(execution_id, event)
            self._region.draw(self._lines_below(), above)
        if not self._ticker.is_alive() and not self._over.is_set():
            self._execution_id = execution_id
            self._ticker.start()

    def say(self, text: str) -> None:
        """Show text above the living lines."""
        with self._guard:
            self._region.draw(self._lines_below(), self._plain(text + "\n"))

    def _show(self, *parts: bytes | IO[bytes]) -> None:
        with self._guard:
            self._region.draw(self._lines_below(), *parts)

    def output(self, step: str, attempt: int, stream: Stream, data: bytes) -> None:
        """Show the last line, and the rest if it is wanted."""
        with self._guard:
            row = self._rows.get(step)
            if row is not None:
                row.heard = time.monotonic()
                shown = row.lines[stream].feed(data).decode("utf-8", "replace").rstrip("\n")
                if shown:
                    row.said = shown.rpartition("\n")[2].replace("\t", " ")
        if self._shows_output:
            super().output(step, attempt, stream, data)

    def left_out(self, step: str, attempt: int) -> None:
        """The log has the rest."""
        if self._shows_output:
            super().left_out(step, attempt)

    def close(self) -> None:
        """Take away what lives; what is over stays."""
        super().close()
        self._over.set()
        with self._guard:
            self._region.clear()

    def _follow(self, execution_id: str, event: AnyEvent) -> bytes:
        text, colour = "", ""
        match event:
            case StepStarted() | SleepCompleted():
                self._said(execution_id, event)
                row = self._rows.setdefault(event.step, _Row(event.at))
                row.waits = row.until = None
                row.heard = time.monotonic()
            case StepHandedOver():
                self._said(execution_id, event)
                self._wait(event.step, event.at, waits_for(event), None)
            case StepTaken():
                row = self._rows.setdefault(event.step, _Row(event.at))
                row.waits, row.heard = None, time.monotonic()
                row.said = f"on {one_line(event.host)}"
            case SleepStarted():
                self._wait(event.step, event.at, "sleeps", event.until)
            case ApprovalRequested():
                self._said(execution_id, event)
                ask = f"waits for approval: {one_line(event.message)}"
                self._wait(event.step, event.at, ask, event.expires_at)
                text = f"{self._symbols.waiting} {event.step}  {ask}\n  cerebelum approve {execution_id} {event.step}"
                colour = "33"
            case StepFailed() if event.retry_at is not None:
                self._wait(event.step, event.at, f"again: {one_line(event.error.message)}", event.retry_at)
                text, colour = self._said(execution_id, event)
            case StepCompleted() | StepFailed() | StepInterrupted() | StepSkipped():
                text, colour = self._said(execution_id, event)
                self._rows.pop(event.step, None)
                over = isinstance(event, StepCompleted | StepSkipped)
                if over and (self._main is None or event.step in self._main):
                    self._done.append(event.version)
            case ApprovalGranted() | ApprovalRejected() | ApprovalTimedOut():
                text, colour = self._said(execution_id, event)
                if event.step in self._rows:
                    self._rows[event.step].waits = self._rows[event.step].until = None
            case ExecutionStarted():
                text, colour = self._said(execution_id, event)
                self._since = event.at
                self._main = frozenset(step.id for step in event.definition.steps)
                self._progress = Progress(len(event.definition.steps))
            case ExecutionResumed():
                text, colour = self._said(execution_id, event)
                self._since = event.at
            case _:
                text, colour = self._said(execution_id, event)
        return self._line(text, colour) if text else b""

    def _wait(self, step: str, at: datetime, what: str, until: datetime | None) -> None:
        row = self._rows.setdefault(step, _Row(at))
        row.waits, row.until = what, until

    # -- what is drawn ------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        learned = self._learn(self._execution_id)
        with self._guard:
            self._progress = learned if learned.total else self._progress
        while not self._over.wait(_TICK):
            with self._guard:
                if not self._over.is_set():
                    self._region.draw(self._lines_below())

    def _lines_below(self) -> list[tuple[str, str]]:
        if self._over.is_set() or not (self._rows or self._progress):
            return []
        size, now = self._region.size(), datetime.now(UTC)
        width = size.columns - 1
        names = min(max((columns(harmless(name)) for name in self._rows), default=0), _LONGEST_NAME, max(4, width // 3))
        most = max(1, size.lines - 3)
        rows = [self._row(name, row, names, width, now) for name, row in list(self._rows.items())[:most]]
        hidden = len(self._rows) - len(rows)
        if hidden > 0:
            rows.append((clipped(f"  and {hidden} more", width), "2"))
        if self._progress is not None and self._progress.total:
            rows.append((clipped(self._bar(self._progress, width, now), width), ""))
        return rows

    def _row(self, name: str, row: _Row, names: int, width: int, now: datetime) -> tuple[str, str]:
        ellipsis = self._symbols.ellipsis
        shown = padded(clipped(harmless(name), names, ellipsis), names)
        gone = max(0.0, (now - row.began).total_seconds())
        if row.waits is not None:
            left = "" if row.until is None else f", {length((row.until - now).total_seconds())} left"
            head = f"{self._symbols.waiting} {shown}  {length(gone)}  {row.waits}{left}"
            return clipped(head, width, ellipsis), "33"
        frame = self._frames[int(time.monotonic() / _TICK) % len(self._frames)]
        head = f"{frame} {shown}  {length(gone)}{self._remark(name, row, gone)}"
        said = f"  {row.said}" if row.said else ""
        return clipped(head + said, width, ellipsis), "36"

    def _remark(self, name: str, row: _Row, gone: float) -> str:
        """What is unusual about a step that runs."""
        notes = []
        usual = self._progress.usual.get(name) if self._progress else None
        if usual is not None and gone > max(_SLOW * usual, usual + 5):
            notes.append(f"usually {length(usual)}")
        silent = time.monotonic() - row.heard
        if silent > _SILENT:
            notes.append(f"silent for {length(silent)}")
        return f" ({', '.join(notes)})" if notes else ""

    def _bar(self, progress: Progress, width: int, now: datetime) -> str:
        done = min(progress.done + sum(version > progress.version for version in self._done), progress.total)
        room = max(5, min(30, width // 4))
        full = room * done // progress.total
        ascii_only = self._symbols is ASCII
        bar = ("#" if ascii_only else "━") * full + ("." if ascii_only else "─") * (room - full)
        gone = (now - self._since).total_seconds() if self._since else 0.0
        text = f"{bar}  {done}/{progress.total}  {length(gone)}"
        if progress.usually is not None:
            left = progress.usually - gone
            text += f", about {length(left)} left" if left > 0 else f", usually {length(progress.usually)}"
        return text
