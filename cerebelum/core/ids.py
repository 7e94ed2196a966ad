"""What may be the id of an execution, where it does not come from cerebelum itself."""

from __future__ import annotations

import re

from cerebelum.core.errors import UsageError

RESERVED = "last"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_id(execution_id: str) -> str:
    """The id, if it may be used as one. Raises UsageError."""
    if not _ID.fullmatch(execution_id) or execution_id == RESERVED:
        raise UsageError(
            f"{execution_id!r} cannot be the id of an execution",
            hint="1 to 64 letters, digits, dots, underscores and hyphens, the first a letter or digit; not 'last'",
        )
    return execution_id
