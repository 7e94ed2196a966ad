"""What an attempt at a step may come to: the answers an executor has, and what `decide` goes by."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from cerebelum.core.events import StepError


class Completed(msgspec.Struct, frozen=True):
    """The attempt succeeded. `output` is anything JSON can say."""

    output: Any = None


class Failed(msgspec.Struct, frozen=True):
    """The attempt failed; it is tried again if the step's `retry` allows and `retryable` is true."""

    error: StepError
    retryable: bool = True


class Sleep(msgspec.Struct, frozen=True):
    """The step waits; afterwards the executor is called again, with the answer in `answers`."""

    seconds: float | None = None
    until: datetime | None = None


class Approval(msgspec.Struct, frozen=True):
    """The step waits for a person; afterwards the executor is called again, with the answer in `answers`."""

    message: str = ""
    approval: str = "manual"
    data: Any = None
    timeout: float | None = None
    on_timeout: Literal["fail", "reject", "approve"] = "fail"


class Interrupted(msgspec.Struct, frozen=True):
    """The attempt ended because it was asked to."""


Outcome = Completed | Failed | Sleep | Approval | Interrupted
