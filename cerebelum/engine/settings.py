"""How an execution is driven, as far as the one who drives it has a say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from cerebelum.core.decide import MOST_DEATHS
from cerebelum.core.events import AnyEvent
from cerebelum.steps.log import DEFAULT_LIMIT, Live

GRACE = 5.0
"""Seconds between TERM and KILL."""


Listener = Callable[[str, AnyEvent], None]


class Settings(msgspec.Struct, frozen=True):
    """How an execution is driven, as far as the one who drives it has a say."""

    grace: float = GRACE
    log_limit: int = DEFAULT_LIMIT
    park: bool = False
    """End with `parked` instead of waiting when there are only sleeps, retries and approvals to wait for."""
    park_after: float | None = None
    """The same, for waits longer than these seconds."""
    here: bool = False
    """Perform here what is meant for workers."""
    most_deaths: int = MOST_DEATHS
    """So many workers in a row may die of a step."""
    on_note: Callable[[str], None] | None = None
    """Called with what somebody should know who waits for workers."""
    listeners: tuple[Listener, ...] = ()
    """Told of each event once it is recorded: in order, one at a time, by whichever thread recorded it."""
    live: Live | None = None
    on_stopping: Callable[[Sequence[str], float], None] | None = None
    """Called once when the runner was told to stop: with the steps that are being ended, and the seconds at most."""


DEFAULTS = Settings()
