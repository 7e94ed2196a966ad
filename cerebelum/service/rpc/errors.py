"""Errors as gRPC tells them: a code, a sentence, and everything else as JSON in the trailing metadata."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import grpc

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

FACTS = "cerebelum-error-bin"
"""The trailing metadata with the error as JSON."""
_MOST = 4000
_MOST_DETAILS = 700
"""Bytes of it, and of the sentence: readers refuse what is longer than 8 KiB in all, as it is written on the wire."""


class InvalidArgument(UsageError):
    """A request that is wrong whatever the state of the execution."""


class NotNow(UsageError):
    """A request that the execution is in no state for."""


class Changed(DefinitionChanged):
    """A resume that was refused, with the plan that says why, as JSON."""

    def __init__(self, error: DefinitionChanged, plan: Any) -> None:
        super().__init__(error.message, where=error.where, hint=error.hint)
        self.plan = plan


class Unserved(CerebelumError):
    """A method that the service has, and does not perform."""


class Busy(CerebelumError):
    """There is more to do than this service takes on."""


class Late(CerebelumError):
    """A call whose message did not come in time."""


CODES: tuple[tuple[type[CerebelumError], grpc.StatusCode], ...] = (
    (NotNow, grpc.StatusCode.FAILED_PRECONDITION),
    (DefinitionChanged, grpc.StatusCode.FAILED_PRECONDITION),
    (NotFound, grpc.StatusCode.NOT_FOUND),
    (OwnedElsewhere, grpc.StatusCode.ABORTED),
    (StoreError, grpc.StatusCode.UNAVAILABLE),
    (Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (Forbidden, grpc.StatusCode.PERMISSION_DENIED),
    (Busy, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (Late, grpc.StatusCode.DEADLINE_EXCEEDED),
    (Unserved, grpc.StatusCode.UNIMPLEMENTED),
    (UsageError, grpc.StatusCode.INVALID_ARGUMENT),
)


class Told(NamedTuple):
    """What a caller is told."""

    code: grpc.StatusCode
    details: str
    metadata: tuple[tuple[str, bytes], ...]


def told(error: CerebelumError) -> Told:
    """What is told of an error."""
    code = next((code for kind, code in CODES if isinstance(error, kind)), grpc.StatusCode.UNKNOWN)
    said: dict[str, Any] = {**facts(error)}
    if isinstance(error, Changed):
        said["plan"] = error.plan
    details = error.text().encode("utf-8", "replace")[:_MOST_DETAILS].decode(errors="ignore")
    return Told(code, details, ((FACTS, _short(said)),))


def _short(said: dict[str, Any]) -> bytes:
    """As JSON, without what makes it too long for metadata."""
    for what in ("plan", "problems", "hint"):
        data = json.dumps(said, default=str).encode()
        if len(data) <= _MOST:
            return data
        said.pop(what, None)
    return json.dumps({**said, "message": said["message"][: _MOST // 8]}, default=str).encode()
