"""What steps print, as lines with the step's name in front: as it comes, or as a block when the attempt is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Literal

from cerebelum.cli.blocks import Blocks
from cerebelum.cli.lines import Lines
from cerebelum.cli.look import Look
from cerebelum.core.events import AnyEvent, StepCompleted, StepFailed, StepInterrupted
from cerebelum.render.build_systems import End
from cerebelum.render.display import recoded
from cerebelum.render.width import columns
from cerebelum.store import Stream

Output = Literal["live", "stream", "grouped", "failed"]
"""How output of steps is shown: the last line, all of it as it comes, as blocks, or as blocks of what failed."""
OUTPUTS: tuple[Output, ...] = ("live", "stream", "grouped", "failed")

_LONGEST_NAME = 24
"""Columns up to which names are padded to the longest one."""
_COLOURS = ("36", "35", "34", "33", "32", "96", "95", "94", "93", "92")


class StepOutput:
    """Gives lines of output to `show(part, …)`, a part being bytes, or a file to be read to its end."""

    def __init__(self, look: Look, output: Output, show: Callable[..., None]) -> None:
        self._look = look
        self._output = output
        self._show = show
        self._lines: dict[tuple[str, int], dict[Stream, Lines]] = {}
        self._blocks = Blocks()
        self._front: str | None = None
        """With groups: the step whose output is shown as it comes; others' has to wait for its end."""
        self._over: list[str] = []
        """Steps that were over meanwhile."""
        self._shown: set[tuple[str, int]] = set()
        self._width = 0
        self._places: dict[str, int] = {}
        self._lock = threading.Lock()

    def name_steps(self, names: Iterable[str]) -> None:
        """The steps there are."""
        with self._lock:
            self._places = {name: place for place, name in enumerate(names)}
            self._width = max((w for w in map(columns, self._places) if w <= _LONGEST_NAME), default=0)

    def has_shown(self, step: str, attempt: int) -> bool:
        """Whether something that this attempt printed has been shown."""
        return (step, attempt) in self._shown

    def feed(self, step: str, attempt: int, stream: Stream, data: bytes) -> None:
        """Take a piece of output."""
        with self._lock:
            streams = self._lines.setdefault((step, attempt), {})
            lines = streams.get(stream)
            if lines is None:
                lines = streams[stream] = Lines(b"")
            lines.prefix(self._prefix(step))
            shown = lines.feed(data)
        self._give(step, attempt, shown)

    def left_out(self, step: str, attempt: int) -> None:
        """Say that the attempt prints more than is shown."""
        self.flush(step, attempt)
        note = f"{self._look.symbols.ellipsis} more than is shown here; see: cerebelum logs\n"
        self._give(step, attempt, self._prefix(step) + note.encode())

    def flush(self, step: str, attempt: int) -> None:
        """Take an attempt's unfinished lines as if they had ended."""
        with self._lock:
            streams = self._lines.pop((step, attempt), {})
        for lines in streams.values():
            self._give(step, attempt, lines.flush())

    def over(self, event: AnyEvent) -> None:
        """Show what there is of an attempt that is over with this event."""
        if not isinstance(event, StepCompleted | StepFailed | StepInterrupted):
            return
        self.flush(event.step, event.attempt)
        if self._output == "failed":
            self._over_failed(event)
        elif self._output == "grouped":
            with self._lock:
                self._over_grouped(event.step, event.attempt)

    def close(self) -> None:
        """Nothing more comes."""
        with self._lock:
            if self._front is not None:
                self._show(self._group(self._front, "end"))
                self._front = None

    def _over_failed(self, event: AnyEvent) -> None:
        assert isinstance(event, StepCompleted | StepFailed | StepInterrupted)
        with self._lock:
            if isinstance(event, StepFailed):
                self._show_block(event.step)
                self._shown.add((event.step, event.attempt))
            else:
                self._blocks.drop(event.step)

    def _over_grouped(self, step: str, attempt: int) -> None:
        """Close the open group, show those that were over meanwhile, and go on with a step that still runs."""
        if self._front != step:
            if step in self._blocks:
                self._over.append(step)
            return
        self._show(self._group(step, "end"))
        self._front = None
        for other in self._over:
            self._show_block(other)
        self._over.clear()
        if (following := next(iter(self._blocks), None)) is not None:
            self._front = following
            self._show_block(following, open_ended=True)

    def _show_block(self, step: str, *, open_ended: bool = False) -> None:
        block, whole = self._blocks.take(step)
        if block is None:
            return
        note = b"" if whole else self._prefix(step) + b"(the temporary folder is full; the rest is in the log)\n"
        self._show(self._group(step, "begin"), block, note, b"" if open_ended else self._group(step, "end"))

    def _give(self, step: str, attempt: int, lines: bytes) -> None:
        if not lines:
            return
        data = recoded(lines, self._look.encoding)
        if self._output in ("grouped", "failed"):
            with self._lock:
                if self._output == "grouped":
                    self._shown.add((step, attempt))
                    if self._front is None:
                        self._front = step
                        self._show(self._group(step, "begin"), b"")
                if self._front != step:
                    self._blocks.add(step, data)
                    return
        else:
            self._shown.add((step, attempt))
        self._show(data)

    def _group(self, step: str, end: End) -> bytes:
        system = self._look.system
        told = "" if system is None or system.group is None else system.group(step, end)
        return told.encode(self._look.encoding, "backslashreplace")

    def _prefix(self, step: str) -> bytes:
        padding = " " * max(0, self._width - columns(step))
        name = self._look.paint(step, _COLOURS[self._places.get(step, 0) % len(_COLOURS)])
        stamp = f"{time.strftime('%H:%M:%S')} " if self._look.stamps else ""
        return f"{stamp}{name}{padding} {self._look.symbols.bar} ".encode()
