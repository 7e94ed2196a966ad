"""Where a failure leads to, by its kind: rules that a workflow written in Python may give a step."""

from __future__ import annotations

from fnmatch import fnmatchcase

from cerebelum.core.events import StepError
from cerebelum.core.model import Retry, Step

DEFAULT_ATTEMPTS = 3
"""How often a failure that a rule calls worth a retry is tried, where the step itself says nothing about it."""


def diversion(step: Step, error: StepError) -> str | None:
    """What the first rule that fits says: `retry`, `continue`, `fail` or a step; None if no rule fits."""
    return next((rule.to for rule in step.diverge if _fits(rule.match, error)), None)


def diverted(step: Step, error: StepError) -> str | None:
    """The same where the step's failure is not the execution's: `continue`, or the step that it leads to."""
    to = diversion(step, error)
    return None if to in ("retry", "fail") else to


def budget(step: Step, error: StepError) -> Retry:
    """How often this failure may be tried again."""
    to = diversion(step, error)
    if to == "retry" and step.retry.attempts == 1:
        return Retry(DEFAULT_ATTEMPTS, step.retry.delay, step.retry.backoff, step.retry.max_delay, step.retry.jitter)
    return step.retry if to in (None, "retry") else Retry()


def _fits(pattern: str, error: StepError) -> bool:
    names = (error.kind, *error.classes, *([error.message] if "*" in pattern else []))
    return any(fnmatchcase(name, pattern) for name in names)
