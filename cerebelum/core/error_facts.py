"""Errors as values that another process can be told, and raised from them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from cerebelum.core.errors import (
    CerebelumError,
    DefinitionChanged,
    DefinitionError,
    NotFound,
    OwnedElsewhere,
    Problem,
    StoreError,
    UsageError,
)

_KINDS: dict[int, type[CerebelumError]] = {
    kind.exit_code: kind for kind in (UsageError, NotFound, OwnedElsewhere, DefinitionChanged, StoreError)
}


class Finding(TypedDict):
    """A problem of a workflow file. `where` is `file:line:col`, `path` is like `steps[2].retry.delay`."""

    where: str
    path: str
    message: str
    hint: str | None


class ErrorFacts(TypedDict):
    """What went wrong. `where` is a position, an id or a path; `problems` are those of a wrong workflow file."""

    message: str
    where: str | None
    hint: str | None
    exit_code: int
    problems: NotRequired[Sequence[Finding]]


def facts(error: CerebelumError) -> ErrorFacts:
    """What there is to know of an error."""
    said: ErrorFacts = {
        "message": error.message,
        "where": error.where,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }
    if isinstance(error, DefinitionError):
        said["problems"] = [finding(problem) for problem in error.problems]
    return said


def finding(problem: Problem) -> Finding:
    """A problem of a workflow file."""
    return {"where": problem.where, "path": problem.path, "message": problem.message, "hint": problem.hint}


def raised(said: Mapping[str, Any]) -> CerebelumError:
    """The error that `facts` were made of, to be raised here. Unknown keys are ignored."""
    if problems := said.get("problems"):
        return DefinitionError(
            [Problem(found["where"], found["path"], found["message"], found.get("hint")) for found in problems]
        )
    kind = _KINDS.get(said.get("exit_code", 0), CerebelumError)
    return kind(said["message"], where=said.get("where"), hint=said.get("hint"))
