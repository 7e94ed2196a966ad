"""How executions are driven: what the methods that drive them take by keyword. For type checkers alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from cerebelum.engine.session import Stoppable
    from cerebelum.engine.settings import Settings


class Course(TypedDict, total=False):
    """How an execution is driven: what all methods that drive one take by keyword."""

    settings: Settings
    """Limits, listeners, parking; see `Settings`."""
    heed_signals: bool
    """Pause in an orderly way on SIGINT, SIGTERM and SIGHUP. Only in the main thread; off unless asked for."""
    on_start: Callable[[str], None]
    """Called with the execution's id once its first event is recorded."""
    on_note: Callable[[str], None]
    """Told what the user should know: where the definition came from, what was ended, which files are elsewhere."""
    on_engine: Callable[[Stoppable], None]
    """Given, before anything is driven, what can be asked to stop, from any thread."""


class How(Course, total=False):
    """How an execution is driven that is started or gone on with."""

    by: str | None
    """Who asked for it, where that is not this user: kept in its first event."""
    correlation_id: str | None
    """What somebody else knows it by; for one that is started."""
