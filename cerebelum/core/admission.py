"""What the lock of its group means for an execution: before it has it, nothing of it may start.

Whose turn it is stands in the store; here is only what follows from that.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cerebelum.core.events import LockAcquired, LockAwaited
from cerebelum.core.state import State


class Admission(msgspec.Struct, frozen=True):
    """A look at the queue for the lock of the execution's group."""

    ahead: tuple[str, ...]
    """The executions that come first, beginning with the one that has the lock; empty if this one has it."""


def outcome(state: State, ahead: tuple[str, ...], stamp: dict[str, Any]) -> LockAwaited | LockAcquired | None:
    """What is to be recorded of a look at the queue; None if the execution does not wait in it, or no more."""
    if state.awaiting_lock is None or state.ended or state.paused or state.concurrency is None:
        return None
    if state.cancel and not state.steps.begun():
        return None
    group = state.concurrency.group
    if ahead:
        return LockAwaited(group=group, holder=ahead[0], ahead=len(ahead), **stamp)
    return LockAcquired(group=group, **stamp)
