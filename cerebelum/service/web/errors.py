"""What is answered when a request cannot be met: always JSON, and a code that says whose fault it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from cerebelum.core import errors
from cerebelum.core.error_facts import facts
from cerebelum.core.errors import (
    CerebelumError,
    DefinitionChanged,
    NotFound,
    OwnedElsewhere,
    StoreError,
    UsageError,
)
from cerebelum.service.access import Forbidden, Unauthenticated
from cerebelum.store import Conflict, Fenced

if TYPE_CHECKING:
    from cerebelum.render.contract import Plan
    from cerebelum.service.web.contract import Refusal

_RETRY = "2"
"""Seconds until it is worth asking again."""


class Refused(CerebelumError):
    """A request that HTTP has a code of its own for, with headers that belong to it."""

    exit_code = errors.USAGE

    def __init__(
        self, code: int, message: str, *, hint: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.headers = dict(headers or {})


class NotNow(CerebelumError):
    """What an execution does not allow as it stands: it has completed, say."""

    exit_code = errors.USAGE

    def __init__(self, error: CerebelumError, plan: Plan | None = None) -> None:
        super().__init__(error.message, where=error.where, hint=error.hint)
        self.error = error
        self.plan = plan


class Answer(msgspec.Struct, frozen=True):
    """A code, headers, and a body of JSON."""

    code: int
    body: bytes
    headers: Mapping[str, str] = {}


_CODES: tuple[tuple[type[CerebelumError], int], ...] = (
    (NotNow, 409),
    (OwnedElsewhere, 409),
    (DefinitionChanged, 409),
    (Conflict, 409),
    (Fenced, 409),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (StoreError, 503),
    (UsageError, 400),
)


def answer_to(error: Exception) -> Answer:
    """The answer to a request that raised this. What is no CerebelumError is a bug of ours, and not told in detail."""
    if isinstance(error, Refused):
        retry = {"Retry-After": _RETRY} if error.code == 503 else {}
        return Answer(error.code, _body(error), {**retry, **error.headers})
    if not isinstance(error, CerebelumError):
        said = CerebelumError("the service met with a bug of its own", hint="its log, on standard error, says more")
        said.exit_code = errors.BUG
        return Answer(500, _body(said))
    code = next((code for kind, code in _CODES if isinstance(error, kind)), 500)
    plan = error.plan if isinstance(error, NotNow) else None
    return Answer(code, _body(error.error if isinstance(error, NotNow) else error, plan), _headers(code))


def _headers(code: int) -> Mapping[str, str]:
    match code:
        case 401:
            return {"WWW-Authenticate": 'Bearer realm="cerebelum"'}
        case 503:
            return {"Retry-After": _RETRY}
        case _:
            return {}


def _body(error: CerebelumError, plan: Plan | None = None) -> bytes:
    said: Refusal = {"error": facts(error)}
    if plan is not None:
        said["plan"] = plan
    return msgspec.json.encode(said)
