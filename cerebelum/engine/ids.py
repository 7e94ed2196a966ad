"""What is drawn at random: ids of executions, and chance."""

from __future__ import annotations

import os

from cerebelum.core.ids import slug

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_drawn: list[int] = []
if hasattr(os, "register_at_fork"):
    # Two processes are not to draw the same.
    os.register_at_fork(after_in_child=_drawn.clear)


def new_id(workflow: str) -> str:
    """A fresh execution id such as `deploy-k3f9q2xm7p`, at most 36 characters."""
    return f"{slug(workflow)}-" + "".join(_CROCKFORD[byte & 31] for byte in os.urandom(10))


def chance() -> float:
    """A random number in [0, 1)."""
    # Asked for at every turn, so the system is asked once for many.
    try:
        number = _drawn.pop()
    except IndexError:
        _drawn.extend(memoryview(os.urandom(1024)).cast("I"))
        number = _drawn.pop()
    return number / (1 << 32)
