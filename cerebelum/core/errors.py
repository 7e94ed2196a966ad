"""Every error a user can meet: what happened, where, and what to do; each kind has its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

OK = 0
EXECUTION_FAILED = 1
USAGE = 2
NOT_FOUND = 3
OWNED = 4
DEFINITION_CHANGED = 5
CANCELLED = 6
BUG = 70
RESOURCES = 71
STORE = 74
PARKED = 75
SIGINT = 130
SIGTERM = 143
SIGNALS = {"SIGHUP": 129, "SIGINT": SIGINT, "SIGTERM": SIGTERM}


class CerebelumError(Exception):
    """What went wrong, where (`file:line:col`, an id, a path) and a hint how to go on.

    Raised for anything that is not a bug of ours. The command line prints `text()` and exits with `exit_code`.
    """

    exit_code = EXECUTION_FAILED

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def text(self) -> str:
        """The whole error as one human-readable text, without a trailing newline."""
        head = f"{self.where}: {self.message}" if self.where else self.message
        return f"{head}\n  hint: {self.hint}" if self.hint else head

    def __str__(self) -> str:
        return self.text()

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are otherwise made anew from what `Exception` was given, which is not what ours take.
        return _remade, (type(self), self.args, vars(self))


def _remade(kind: type[CerebelumError], given: tuple[Any, ...], facts: dict[str, Any]) -> CerebelumError:
    error = kind.__new__(kind, *given)
    vars(error).update(facts)
    return error


class UsageError(CerebelumError):
    """The request itself is wrong: a bad argument, input, id, or file."""

    exit_code = USAGE


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with a definition: `where` is `file:line:col`, `path` is like `steps[2].retry.delay`."""

    where: str
    path: str
    message: str
    hint: str | None = None

    def text(self) -> str:
        parts = [p for p in (self.where, self.path) if p]
        line = ": ".join([*parts, self.message])
        return f"{line}; {self.hint}" if self.hint else line


class DefinitionError(UsageError):
    """A workflow definition is wrong; `problems` holds everything that was found, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(p.text() for p in self.problems))


class NotFound(CerebelumError):
    """There is no such execution (or step, or log)."""

    exit_code = NOT_FOUND


class OwnedElsewhere(CerebelumError):
    """Another live runner drives this execution."""

    exit_code = OWNED


class DefinitionChanged(CerebelumError):
    """A completed step's definition is not what it was; resuming needs a decision."""

    exit_code = DEFINITION_CHANGED


class StoreError(CerebelumError):
    """The store cannot be opened, read or written; nothing that was acknowledged is lost."""

    exit_code = STORE


class ExpressionError(CerebelumError):
    """An expression refers to something that is not there, or cannot be evaluated with these values."""
