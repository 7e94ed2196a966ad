"""What is drawn at random: ids of executions, which are checked where they are given by hand, and chance."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from cerebelum.core.errors import UsageError

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


_SLUG_LENGTH = 25


RESERVED = "last"


_LONGEST_TAG = 255


def new_id(workflow: str) -> str:
    """A fresh execution id such as `deploy-k3f9q2xm7p`, at most 36 characters."""
    slug = re.sub(r"[^a-z0-9]+", "-", workflow.lower()).strip("-")[:_SLUG_LENGTH].rstrip("-") or "run"
    return f"{slug}-" + "".join(_CROCKFORD[byte & 31] for byte in os.urandom(10))


def chance() -> float:
    """A random number in [0, 1)."""
    return int.from_bytes(os.urandom(4)) / (1 << 32)


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
