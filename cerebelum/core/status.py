"""The one word for where an execution stands, as stores keep it and everything shows it."""

from __future__ import annotations

from typing import Literal

Status = Literal[
    "queued",
    "running",
    "sleeping",
    "waiting_for_worker",
    "waiting_for_approval",
    "waiting_for_lock",
    "paused",
    "completed",
    "failed",
    "cancelled",
]

STATUSES: tuple[Status, ...] = Status.__args__  # type: ignore[attr-defined]
WAITING: tuple[Status, ...] = ("sleeping", "waiting_for_worker", "waiting_for_approval")
"""Of what needs no process, since only time, a worker or a person can have it go on."""
GOING_ON: tuple[Status, ...] = ("queued", "running", *WAITING, "waiting_for_lock")
"""Of what somebody drives, or should."""
