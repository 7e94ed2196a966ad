"""What is drawn at random: ids of executions, and chance."""

from __future__ import annotations

import os
import re

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


_SLUG_LENGTH = 25


def new_id(workflow: str) -> str:
    """A fresh execution id such as `deploy-k3f9q2xm7p`, at most 36 characters."""
    slug = re.sub(r"[^a-z0-9]+", "-", workflow.lower()).strip("-")[:_SLUG_LENGTH].rstrip("-") or "run"
    return f"{slug}-" + "".join(_CROCKFORD[byte & 31] for byte in os.urandom(10))


def chance() -> float:
    """A random number in [0, 1)."""
    return int.from_bytes(os.urandom(4)) / (1 << 32)
