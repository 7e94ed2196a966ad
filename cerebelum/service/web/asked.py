"""What requests may say, as types, and how it is read: every name is known, and every mistake is named."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from cerebelum.core import strict_json
from cerebelum.core.durations import duration
from cerebelum.core.errors import UsageError
from cerebelum.service.operations import Again

LARGEST = 2**62
"""Versions, positions and counts are less."""
_MOST_FIELDS = 1000

Text = Annotated[str, msgspec.Meta(max_length=1000)]
Name = Annotated[str, msgspec.Meta(max_length=255)]
Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Tags = Annotated[list[Name], msgspec.Meta(max_length=100)]


class Nothing(msgspec.Struct, frozen=True):
    """Nothing can be said."""


class Which(msgspec.Struct, frozen=True):
    """Which executions are listed: all conditions hold. Newest start first."""

    workflow: Text | None = None
    status: Tags = []
    """One of these; several may be given, or a list with commas."""
    tag: Tags = []
    """All of these."""
    since: Text | None = None
    """Started at or after: 2h, 3d, or an ISO time."""
    id_prefix: Text | None = None
    limit: Annotated[int, msgspec.Meta(ge=0, le=500)] = 50
    offset: Count = 0


class When(msgspec.Struct, frozen=True):
    """As it was then: a version, or an ISO time."""

    at: Text | None = None


class EventsFrom(msgspec.Struct, frozen=True):
    """Events after a version."""

    after: Count = 0
    limit: Limit = 1000


class OutputFrom(msgspec.Struct, frozen=True):
    """Output after a position, of all steps or one."""

    step: Text | None = None
    attempt: Count | None = None
    after: Count = 0
    limit: Limit = 1000


class Streamed(msgspec.Struct, frozen=True):
    """Where a stream begins; the header Last-Event-ID outranks `after`."""

    after: Count = 0
    output: bool = False
    log_after: Count = 0


class Started(msgspec.Struct, frozen=True):
    """What is to be started."""

    workflow: Text
    inputs: dict[str, Any] = {}
    execution_id: Name | None = None
    tags: Tags = []
    lock: Name | None = None
    """The name of a lock: it waits until no other execution has that."""


class Forked(msgspec.Struct, frozen=True):
    """From where, and how, a new execution begins."""

    from_step: Text
    inputs: dict[str, Any] = {}
    execution_id: Name | None = None
    accept_changes: bool = False
    recorded: bool = False


class Reasoned(msgspec.Struct, frozen=True):
    """Why."""

    why: str | None = None


class Approved(msgspec.Struct, frozen=True):
    """A grant; `response` becomes the step's output. `step` may be left out if only one waits."""

    step: Text | None = None
    comment: str | None = None
    response: dict[str, Any] = {}


class Rejected(msgspec.Struct, frozen=True):
    """A refusal."""

    step: Text | None = None
    comment: str | None = None


QUERIES: tuple[type[msgspec.Struct], ...] = (Nothing, Which, When, EventsFrom, OutputFrom, Streamed, Again)
BODIES: tuple[type[msgspec.Struct], ...] = (Started, Again, Forked, Reasoned, Approved, Rejected)

T = TypeVar("T", bound=msgspec.Struct)


def query_of(kind: type[T], query: bytes) -> T:
    """What a query string says. Raises UsageError."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query),
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise UsageError("the query of the address cannot be read", hint="write it like ?limit=50&offset=100") from None
    listed = {field.name for field in msgspec.structs.fields(kind) if field.default_factory is list}
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name in listed:
            given.setdefault(name, []).extend(value.split(",") if name == "status" else [value])
        elif name in given:
            raise UsageError(f"`{name[:60]}` is given twice")
        else:
            given[name] = value
    return _converted(kind, given, lax=True)


def body_of(kind: type[T], body: bytes) -> T:
    """What a body says; an empty one says nothing. Raises UsageError."""
    try:
        given = strict_json.loads(body.decode()) if body.strip() else {}
    except UnicodeDecodeError:
        raise UsageError("the body is not UTF-8") from None
    except ValueError as error:
        raise UsageError(f"the body is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise UsageError("the body has to be a JSON object", hint='write it like {"workflow": "deploy"}')
    return _converted(kind, given, lax=False)


def _converted(kind: type[T], given: Mapping[str, Any], *, lax: bool) -> T:
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(known) or 'none at all'}"
            raise UsageError(f"there is no `{name[:60]}`", hint=hint)
    try:
        made = msgspec.convert(given, kind, strict=not lax)
    except msgspec.ValidationError as error:
        raise UsageError(_said(str(error))) from None
    _check_texts(made)
    return made


def _check_texts(made: msgspec.Struct) -> None:
    """Raises UsageError for text that no store and no command line takes."""
    for name in made.__struct_fields__:
        value = getattr(made, name)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and ("\0" in text or any("\ud800" <= char <= "\udfff" for char in text)):
                raise UsageError(f"`{name}` holds what is no text")


def _said(message: str) -> str:
    """What msgspec says, with the name of the key in front."""
    what, _, where = message.partition(" - at `$.")
    return f"`{where.removesuffix('`')}`: {what[:1].lower()}{what[1:]}" if where else what


def moment(text: str) -> int | datetime:
    """A version, or an ISO time; UTC if it has no offset. Raises UsageError."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    return _time("at", text, "write a version such as 12, or a time such as 2026-11-22T20:15:00Z")


def since(text: str, now: datetime) -> datetime:
    """The moment that a length of time before `now`, or an ISO time, means. Raises UsageError."""
    try:
        return now - timedelta(seconds=duration(text))
    except (ValueError, OverflowError):
        return _time("since", text, "write it like 2h, 3d, 2025-06-30 or 2025-06-30T12:00:00Z")


def _time(name: str, text: str, hint: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"`{name}` {text[:60]!r} is no moment", hint=hint) from None
