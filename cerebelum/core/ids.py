"""What may be the id of an execution, where it does not come from cerebelum itself."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cerebelum.core.errors import UsageError

RESERVED = "last"
_LONGEST_TAG = 255
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_id(execution_id: str) -> str:
    """The id, if it may be used as one. Raises UsageError."""
    if not _ID.fullmatch(execution_id) or execution_id == RESERVED:
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
