"""What `worker --json` prints, as types; see contract.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict


class QueueOfPool(TypedDict):
    """A queue that holds something, or that somebody serves."""

    queue: str
    workers: int
    """Live ones that take something from it."""
    waiting: int
    oldest_seconds: float | None
    later: int
    taken: int


class PoolWorker(TypedDict):
    """A worker, where it is, and what it does."""

    id: str
    host: str
    pid: int
    since: datetime
    silent_seconds: float | None
    alive: bool
    draining: bool
    version: str
    queues: Sequence[str]
    labels: Sequence[str]
    concurrency: int
    executions: Sequence[str]


class Pool(TypedDict):
    """What `worker list --json` prints."""

    queues: Sequence[QueueOfPool]
    workers: Sequence[PoolWorker]
