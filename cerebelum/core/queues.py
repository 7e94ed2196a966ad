"""What queues and labels of workers may be called."""

from __future__ import annotations

import re

QUEUE = "^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$"
_LONGEST_LABEL = 100

Problem = tuple[str, str]
"""What is wrong, and a hint."""


def queue_problem(name: str) -> Problem | None:
    """Why a queue cannot be called that."""
    if re.fullmatch(QUEUE[1:-1], name, re.ASCII):
        return None
    hint = "1 to 40 ASCII letters, digits, dots, underscores and hyphens, beginning with a letter or digit"
    return f"{name!r} cannot be the name of a queue", hint


def label_problem(label: str) -> Problem | None:
    """Why a worker cannot have such a label."""
    if label and label == label.strip() and label.isprintable() and "," not in label and len(label) <= _LONGEST_LABEL:
        return None
    hint = f"1 to {_LONGEST_LABEL} characters without commas, such as a100"
    return f"{label!r} cannot be a label", hint
