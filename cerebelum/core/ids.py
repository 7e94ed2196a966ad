"""What may be the id of an execution, and what is made of a workflow's name for one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from cerebelum.core.digests import sha256
from cerebelum.core.errors import UsageError

RESERVED = "last"
_LONGEST_TAG = 255
_SLUG_LENGTH = 25
_TICK = "%Y%m%dT%H%M%SZ"
_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


def check_id(execution_id: str) -> str:
    """The id, if it may be used as one. Raises UsageError."""
    if not re.fullmatch(_ID, execution_id) or execution_id == RESERVED:
        raise UsageError(
            f"{execution_id!r} cannot be the id of an execution",
            hint="1 to 64 letters, digits, dots, underscores and hyphens, the first a letter or digit; not 'last'",
        )
    return execution_id


def check_tags(tags: Iterable[str]) -> None:
    """Raises UsageError for a tag that is too long to be looked up."""
    for tag in tags:
        if len(tag) > _LONGEST_TAG:
            raise UsageError(f"a tag has {len(tag)} characters: {tag[:20]}…", hint=f"at most {_LONGEST_TAG}")


def slug(workflow: str) -> str:
    """A workflow's name as ids begin with it, at most 25 characters."""
    return re.sub(r"[^a-z0-9]+", "-", workflow.lower()).strip("-")[:_SLUG_LENGTH].rstrip("-") or "run"


def tick_id(workflow: str, at: datetime) -> str:
    """The id of the execution that a schedule starts for the time `at`, such as `nightly-20261129T030000Z`.

    Names that only look alike as slugs have different ones.
    """
    return f"{_stem(workflow)}-{at.astimezone(UTC).strftime(_TICK)}"


def tick_of(workflow: str, execution_id: str) -> datetime | None:
    """The time (UTC) that an id was made of; None if a schedule of this workflow did not make it."""
    try:
        return datetime.strptime(execution_id, f"{_stem(workflow)}-{_TICK}").replace(tzinfo=UTC)
    except ValueError:
        return None


def before_ticks(workflow: str) -> str:
    """What the ids that its schedule makes begin with, in this millennium; all of them come after it in order."""
    return f"{_stem(workflow)}-2"


def _stem(workflow: str) -> str:
    short = slug(workflow)
    return short if short == workflow else f"{short}-{sha256(workflow.encode())[:6]}"
