"""What a store does that is also a queue: it keeps executions until a worker takes them, and knows the workers.

Only some stores can; `pool_of` asks. There is one job for each execution in a queue, from the moment it is submitted
until it has ended or is paused: while it waits for time or a person, the job waits too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

import msgspec

from cerebelum.core.errors import UsageError
from cerebelum.core.events import Entry, Queued
from cerebelum.core.summary import Summary
from cerebelum.store.contract import EventStore, Runner
from cerebelum.store.liveness import DEAD_SECONDS, judge

_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_MOST_PRIORITY = 1_000_000


class Worker(msgspec.Struct, frozen=True):
    """A process that takes executions from queues. Its registration as a runner says where it is, and how alive."""

    runner: Runner
    queues: tuple[str, ...]
    labels: tuple[str, ...]
    concurrency: int
    """How many executions it drives at once."""
    version: str
    """Of cerebelum."""
    draining: bool = False
    """It takes nothing new."""
    drives: tuple[str, ...] = ()
    """Executions that it owns; when it was looked at."""


class Depth(msgspec.Struct, frozen=True):
    """How much there is in a queue."""

    queue: str
    waiting: int
    """Jobs that a worker could take now."""
    oldest: float | None
    """Seconds for which the one that has waited longest could have been taken."""
    later: int
    """Jobs that wait for their time, or for a person."""
    taken: int
    """Jobs that workers have."""


class Standing(msgspec.Struct, frozen=True):
    """How an execution stands in its queue."""

    workers: int
    """How many live workers serve the queue and take something new."""
    ahead: int
    """Jobs that will be taken before it, as things are now."""


class Later(msgspec.Struct, frozen=True):
    """The job is not done: somebody is to take it again, at a time or after some seconds."""

    at: datetime | None = None
    after: float = 0.0

    def moment(self, now: datetime) -> datetime:
        """When that is."""
        return self.at or now + timedelta(seconds=self.after)


Perform = Callable[[str], Later | None]
"""Drives the execution with this id as far as that goes; None: its job is done. Raises nothing."""


class Service(Protocol):
    """A worker at work."""

    def run(self, *, once: bool) -> None:
        """Have what comes into the queues performed until stopped; with `once`, until there is nothing to take.

        Raises StoreError.
        """
        ...

    def stop(self) -> None:
        """Take nothing more; `run` returns when all that is being performed has come back. Safe in a signal handler."""
        ...


class Pool(Protocol):
    """Queues of executions and their workers. All methods raise StoreError, as those of the store do."""

    def submit(self, execution_id: str, entry: Entry, summary: Summary, queued: Queued) -> None:
        """Create an execution that nobody owns, and its job, in one transaction. Raises Conflict if it is there."""
        ...

    def depths(self) -> list[Depth]:
        """The queues that hold anything, by name."""
        ...

    def workers(self) -> list[Worker]:
        """Workers that have not signed off, the oldest first; those that are dead among them."""
        ...

    def standing(self, execution_id: str, queue: str) -> Standing:
        """How an execution stands that waits in a queue."""
        ...

    def drain(self, runner_id: str) -> bool:
        """Have a worker take nothing new and end; False if there is none of that id."""
        ...

    def service(
        self, worker: Worker, perform: Perform, on_drain: Callable[[], None], tell: Callable[[str], None]
    ) -> Service:
        """A worker; `on_drain` is called, from another thread, when somebody has asked for that."""
        ...


@runtime_checkable
class HasPool(Protocol):
    """A store that is also a queue."""

    def pool(self) -> Pool:
        """Raises UsageError if something for it is not installed."""
        ...


def pool_of(store: EventStore) -> Pool:
    """The queues of a store. Raises UsageError if it cannot have any, or something for them is not installed."""
    if not isinstance(store, HasPool):
        raise UsageError(
            "queues need PostgreSQL, which this store is not",
            hint="name one with --store postgresql://… or CEREBELUM_STORE; here, use: cerebelum run FILE --detach",
        )
    return store.pool()


def alive(worker: Worker) -> bool:
    """Whether a worker is alive, as far as can be known here."""
    verdict = judge(worker.runner)
    if verdict != "unknown":
        return verdict == "alive"
    return worker.runner.silent is not None and worker.runner.silent <= DEAD_SECONDS


def check_queues(names: Sequence[str]) -> tuple[str, ...]:
    """The names of queues, each once. Raises UsageError for what is none."""
    for name in names:
        if not _QUEUE.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot be the name of a queue",
                hint="1 to 40 ASCII letters, digits, dots, underscores and hyphens, beginning with a letter or digit",
            )
    return tuple(dict.fromkeys(names))


def check_priority(priority: int) -> int:
    """Raises UsageError for one that is out of bounds."""
    if abs(priority) > _MOST_PRIORITY:
        raise UsageError(f"the priority {priority} is not between -{_MOST_PRIORITY} and {_MOST_PRIORITY}")
    return priority
