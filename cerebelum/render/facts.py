"""Events as lines of text: what `history` shows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cerebelum.core.events import StepStarted
from cerebelum.render.display import Symbols, harmless, length, moment, one_line
from cerebelum.render.text import value

_OWN = ("version", "at", "step", "attempt", "by", "environment", "definition", "source", "inputs", "workflow")


def history_line(event: Any, symbols: Symbols, host: str | None = None) -> str:
    """One event: version, time, what happened, and who did it; of an attempt that starts, on which `host`."""
    what = type(event).__name__
    parts = [f"{event.version:>5}  {event.at.astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3], what]
    step = getattr(event, "step", None)
    if step:
        attempt = getattr(event, "attempt", None)
        parts.append(f"{step} (attempt {attempt})" if attempt and attempt > 1 else step)
    where = [f"on {host}"] if host and isinstance(event, StepStarted) else []
    return harmless("  ".join([*parts, *where, *event_details(event)]))


def event_details(event: Any) -> list[str]:
    """Who did it, and what else the event says, where it says anything."""
    who = getattr(event, "by", None)
    environment = getattr(event, "environment", None)
    if who is None and environment is not None:
        who = f"{environment.user or '?'}@{environment.host}"
    details = [text for name in event.__struct_fields__ if name not in _OWN and (text := _detail(event, name))]
    if getattr(event, "workflow", None):
        details.insert(0, event.workflow)
    return [text for text in (f"by {who}" if who else "", ", ".join(details)) if text]


def _detail(event: Any, name: str) -> str:
    given = getattr(event, name)
    if given is None or given in ((), {}, False, ""):
        return ""
    if name == "error":
        return f"{given.kind}: {one_line(given.message)}"
    if name == "refused":
        return f"counts for nothing: {given}"
    if name == "duration":
        return length(given)
    if isinstance(given, datetime):
        return f"{name.replace('_', ' ')} {moment(given)}"
    if isinstance(given, tuple):
        return f"{name.replace('_', ' ')} {', '.join(given)}"
    if name in ("why", "reason", "detail", "signal"):
        return one_line(str(given)).replace("_", " ")
    return f"{name.replace('_', ' ')}={value(given)}"
