"""What a process that goes on for months asks of the allocator."""

from __future__ import annotations

from cerebelum.host import libc

_ARENA_MAX = -8
"""`M_ARENA_MAX` of <malloc.h>."""
_ENOUGH = 2
"""Heaps, where Python lets one thread at a time allocate."""


def few_heaps() -> None:
    """Have threads share heaps, before there are any: glibc gives up to eight for each core, and what one thread has
    freed in its own is of no use to the others. Nothing is done where the allocator is another one.
    """
    libc.call("mallopt", _ARENA_MAX, _ENOUGH)
