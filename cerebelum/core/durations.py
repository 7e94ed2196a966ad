"""Lengths of time as people write them: `30s`, `1h30m`, `500ms`; a plain number is seconds."""

from __future__ import annotations

import re
from typing import Any

FORMS = "write it like 30s, 10m, 1h30m, 2d or 500ms; a plain number is seconds"
PATTERN = r"^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$"
LONGEST = 3650 * 86400.0
"""Ten years: beyond it the clocks and waits of the platforms give up."""

_PART = r"(\d{1,15}(?:\.\d{1,15})?)(ms|s|m|h|d)"
_NUMBER = r"[-+]?\d{1,15}(?:\.\d{0,15})?"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(float):
    """Seconds. As a type of a key, it takes what `timeout:` takes: 90, 1.5, 30s, 1h30m, 500ms."""


def duration(value: Any) -> float:
    """Seconds that a text or number says. ValueError, with the reason, if it says none or more than ten years."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("this is not a duration")
    seconds = float(value) if isinstance(value, int | float) else _parsed(value.strip())
    if seconds != seconds:
        raise ValueError("this is not a number")
    if seconds < 0:
        raise ValueError("a duration cannot be negative")
    if seconds > LONGEST:
        raise ValueError("a duration is at most 3650d")
    return seconds


def _parsed(text: str) -> float:
    if re.fullmatch(_NUMBER, text, re.ASCII):
        return float(text)
    total, at = 0.0, 0
    part = re.compile(_PART, re.ASCII)
    while match := part.match(text, at):
        total += float(match[1]) * _SECONDS[match[2]]
        at = match.end()
    if at != len(text) or not text:
        raise ValueError("this is not a duration")
    return round(total, 6)
