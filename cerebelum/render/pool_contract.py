"""What `worker --json` and `schedules --json` print, as types; see contract.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict

from cerebelum.core.model import Missed, Overlap


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
    leaves: Mapping[str, str]
    """Jobs that it left to others, and why."""


class Pool(TypedDict):
    """What `worker list --json` prints."""

    queues: Sequence[QueueOfPool]
    workers: Sequence[PoolWorker]


class Tick(TypedDict):
    """A time at which a schedule is due; `local` in its time zone, and the id that its execution will have."""

    at: datetime
    local: datetime
    execution_id: str


class ScheduleOfFile(TypedDict):
    """One schedule of a workflow file; `overlap` is null where its `concurrency` says what becomes of that."""

    file: str
    workflow: str
    cron: str
    timezone: str
    overlap: Overlap | None
    missed: Missed
    next: Sequence[Tick]


class Schedules(TypedDict):
    """What `schedules --json` prints."""

    schedules: Sequence[ScheduleOfFile]


class LeftBy(TypedDict):
    """A worker that could take a job, and left it to others: it lacks something."""

    worker: str
    host: str
    why: str


class Placed(TypedDict):
    """Which workers may perform a step: those that serve the queue and have all the labels."""

    queue: str
    labels: Sequence[str]


class HandedOver(TypedDict):
    """That an attempt is a worker's business: since when, and which worker has taken it, and whether
    that is dead, or gone (`worker_lost`). `workers` counts the live ones of the queue, and `able` those of them that
    have all the labels; both are null once the attempt is over.
    """

    queue: str
    labels: Sequence[str]
    since: datetime
    taken_at: datetime | None
    worker: str | None
    worker_lost: bool | None
    workers: int | None
    able: int | None
    left: Sequence[LeftBy]
