"""What is drawn at random: ids of executions, and chance."""

from __future__ import annotations

import os

from cerebelum.core.ids import slug

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(workflow: str) -> str:
    """A fresh execution id such as `deploy-k3f9q2xm7p`, at most 36 characters."""
    return f"{slug(workflow)}-" + "".join(_CROCKFORD[byte & 31] for byte in os.urandom(10))


def chance() -> float:
    """A random number in [0, 1)."""
    return int.from_bytes(os.urandom(4)) / (1 << 32)
