"""SHA-256, from the interpreter's own module where it has one.

`hashlib` loads OpenSSL, which takes longer than all the digests of a typical execution.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def _sha256() -> Callable[[bytes], Any]:
    # As the standard library's `random` does: _sha2 since Python 3.12, _sha256 before.
    for module in ("_sha2", "_sha256", "hashlib"):
        try:
            function: Callable[[bytes], Any] = import_module(module).sha256
        except ImportError:
            continue
        return function
    raise ImportError("this Python has no SHA-256")


_new = _sha256()


def sha256(data: bytes) -> str:
    """The SHA-256 of `data`, as 64 hex digits."""
    return str(_new(data).hexdigest())
