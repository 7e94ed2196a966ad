"""What went wrong, as text: errors of steps with the last lines they printed and where they were raised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cerebelum.core.state import State
from cerebelum.render.display import Symbols, harmless

if TYPE_CHECKING:
    from cerebelum.core.events import StepError


def failures_text(state: State, symbols: Symbols, *, details: bool = True) -> list[str]:
    """What went wrong, what failed first in front; with what each step printed last if `details` are wanted."""
    lines: list[str] = []
    failed = [s for s in state.failed if s in state.steps and state.steps[s].error is not None]
    for step_id in failed:
        at = state.steps[step_id]
        assert at.error is not None
        name = f"{step_id} (attempt {at.attempt})" if at.attempt > 1 else step_id
        lines.append(_error_line(name, at.error, symbols))
        lines += error_details(at.error, symbols) if details else []
    if not failed and state.ended == "failed" and state.error is not None:
        lines += error_text(state.workflow.name, state.error, symbols)
    return lines


def error_text(name: str, error: StepError, symbols: Symbols) -> list[str]:
    """An error with its kind, the last lines that were printed, and where it was raised."""
    return [_error_line(name, error, symbols), *error_details(error, symbols)]


def _error_line(name: str, error: StepError, symbols: Symbols) -> str:
    return f"{symbols.failed} {name}: {error_kind(error)}{harmless(error.message)}"


def error_kind(error: StepError) -> str:
    """The kind in front of the message, unless that says it."""
    return "" if error.message.startswith("exit code") else f"{error.kind}: "


def error_extract(error: StepError, *, tail: bool = True) -> str:
    """The last lines that were printed, if `tail` is wanted, and the traceback; as they are."""
    parts = (error.tail if tail else None, error.traceback)
    return "\n".join(part.rstrip("\n") for part in parts if part)


def error_details(error: StepError, symbols: Symbols, *, tail: bool = True) -> list[str]:
    """The last lines that were printed, if `tail` is wanted, and the traceback."""
    text = harmless(error_extract(error, tail=tail))
    return [f"  {symbols.bar} {line}".rstrip() for line in text.split("\n")] if text else []
