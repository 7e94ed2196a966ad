"""What executions look like, as text and as JSON: pure functions from values to values, used by every verb.

Plugins that add verbs get this module as their renderer, so that their output looks like ours. Nothing is imported
before it is used, since a usage error needs next to nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cerebelum.render.display import ASCII, UNICODE, Symbols, ago, harmless, length, moment, size
    from cerebelum.render.facts import history_line
    from cerebelum.render.shapes import (
        event_line,
        listing,
        log_line,
        plan_shape,
        preview_shape,
        status_shape,
        summary_shape,
    )
    from cerebelum.render.tables import table
    from cerebelum.render.text import (
        Style,
        active_text,
        command_line,
        list_text,
        plan_text,
        preview_text,
        resume_command,
        status_text,
        step_text,
    )

__all__ = [
    "ASCII",
    "UNICODE",
    "Style",
    "Symbols",
    "active_text",
    "ago",
    "command_line",
    "event_line",
    "harmless",
    "history_line",
    "length",
    "list_text",
    "listing",
    "log_line",
    "moment",
    "plan_shape",
    "plan_text",
    "preview_shape",
    "preview_text",
    "resume_command",
    "size",
    "status_shape",
    "status_text",
    "step_text",
    "summary_shape",
    "table",
]

_SHAPES = {"event_line", "listing", "log_line", "plan_shape", "preview_shape", "status_shape", "summary_shape"}
_DISPLAY = {"ASCII", "UNICODE", "Symbols", "ago", "harmless", "length", "moment", "size"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cerebelum.render import display, shapes, text

    if name == "history_line":
        from cerebelum.render import facts

        return facts.history_line
    return getattr(shapes if name in _SHAPES else display if name in _DISPLAY else text, name)
