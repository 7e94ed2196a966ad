"""Steps that wait: `sleep: 30m`, or until a moment. The wait is in the log, so it survives every restart."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from cerebelum.core.durations import FORMS, LONGEST, duration
from cerebelum.core.errors import CerebelumError
from cerebelum.core.model import Step
from cerebelum.core.outcome import Completed, Outcome, Sleep
from cerebelum.steps.executor import Executor, Invocation


class Until(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A moment: ISO 8601 date and time; without an offset it is local time."""

    until: str


class SleepStep:
    """Waits for a length of time (`30s`, `1h30m`, seconds) or until a moment (`{until: 2026-12-24T06:00:00Z}`)."""

    key = "sleep"
    summary = "wait for a time or until a moment"
    body: Any = str | float | int | Until
    options: Any = None
    literal: tuple[str, ...] = ()
    captures_output = True
    leaves_nothing = True

    def run(self, call: Invocation) -> Outcome:
        """Ask for the wait, and complete once it is over. Raises CerebelumError if the time cannot be understood."""
        if call.answers:
            return Completed()
        if isinstance(call.body, dict):
            return Sleep(until=_moment(call.body.get("until")))
        seconds = _seconds(call.body)
        return Sleep(seconds=seconds)

    def fingerprint(self, step: Step, folder: Path) -> str | None:
        """Nothing outside the definition matters. Raises CerebelumError if a literal time cannot be understood."""
        until = step.body.get("until") if isinstance(step.body, dict) else None
        for value, check in ((until, _moment), (None if until else step.body, _seconds)):
            if value is not None and not (isinstance(value, str) and "${{" in value):
                check(value)
        return None


def _seconds(value: object) -> float:
    try:
        return duration(value)
    except ValueError as error:
        raise CerebelumError(f"cannot sleep for {value!r}: {error}", hint=FORMS) from None


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise CerebelumError(
            f"{value!r} is not a moment", hint="write date and time like 2026-12-24T06:00:00Z or …+01:00"
        ) from None
    moment = moment.astimezone(UTC)
    if (moment - datetime.now(UTC)).total_seconds() > LONGEST:
        raise CerebelumError(f"cannot sleep until {value}: that is more than ten years ahead")
    return moment


def cerebelum_executors() -> Iterable[Executor]:
    return [SleepStep()]
