"""Steps that wait for a person: `approval:` with a message, data to decide on, and a time limit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec

from cerebelum.core.durations import Duration
from cerebelum.core.model import Step
from cerebelum.core.outcome import Approval, Completed, Outcome
from cerebelum.core.typed import convert
from cerebelum.steps.executor import Executor, Invocation


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked, and what happens if nobody answers in time."""

    message: str
    data: Any = None
    timeout: Duration | None = None
    on_timeout: Literal["fail", "reject", "approve"] = "fail"
    type: str = "manual"


class ApprovalStep:
    """Asks somebody; what they answer with `approve --response` is the output."""

    key = "approval"
    summary = "wait until somebody approves or rejects"
    body: Any = Question
    options: Any = None
    literal: tuple[str, ...] = ()
    captures_output = True
    leaves_nothing = True

    def run(self, call: Invocation) -> Outcome:
        """Ask, and complete once it was granted."""
        if call.answers:
            return Completed(dict(call.answers[-1].response) or None)
        question = convert(call.body, Question)
        return Approval(
            message=question.message,
            approval=question.type,
            data=question.data,
            timeout=question.timeout,
            on_timeout=question.on_timeout,
        )

    def fingerprint(self, step: Step, folder: Path) -> str | None:
        """Nothing outside the definition matters."""
        return None


def cerebelum_executors() -> Iterable[Executor]:
    return [ApprovalStep()]
