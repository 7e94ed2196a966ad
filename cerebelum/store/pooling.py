"""What a store does that is also a queue: it keeps executions until a worker takes them, and knows the workers.

Only some stores can; `pool_of` asks. There is one job for each execution in a queue, from the moment it is submitted
until it has ended or is paused: while it waits for time or a person, the job waits too. And there is one for each step
that is handed over to workers, until somebody has performed it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

import msgspec

from cerebelum.core.errors import UsageError
from cerebelum.core.events import Entry, Queued
from cerebelum.core.queues import queue_problem
from cerebelum.core.summary import Summary
from cerebelum.store.contract import EventStore, Ownership, Runner
from cerebelum.store.liveness import DEAD_SECONDS, judge

_MOST_PRIORITY = 1_000_000


class Worker(msgspec.Struct, frozen=True):
    """A process that takes executions from queues. Its registration as a runner says where it is, and how alive."""

    runner: Runner
    queues: tuple[str, ...]
    labels: tuple[str, ...]
    concurrency: int
    """How many executions and steps it looks after at once."""
    version: str
    """Of cerebelum."""
    draining: bool = False
    """It takes nothing new."""
    drives: tuple[str, ...] = ()
    """What it looks after, when it was asked: ids of executions, and `Job.key` of steps."""
    leaves: Mapping[str, str] = {}
    """By `Job.key`: why it left that to others."""


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


class Left(msgspec.Struct, frozen=True):
    """That a worker could not do a job, and left it to others."""

    worker: str
    host: str
    why: str


class Standing(msgspec.Struct, frozen=True):
    """How an execution stands in its queue."""

    workers: int
    """How many live workers serve the queue and take something new."""
    ahead: int
    """Jobs that will be taken before it, as things are now."""
    left: tuple[Left, ...] = ()
    """The live workers of the queue that cannot take it."""
    there: bool = True
    """Whether it has a job, so that a worker takes it up; also once it had begun and its worker ended or died."""


class Takers(msgspec.Struct, frozen=True):
    """Who could take a step that is handed over."""

    serving: int
    """How many live workers serve its queue and take something new."""
    able: int
    """How many of these have its labels."""
    lost: bool = False
    """Who has taken it is dead, or gone."""
    left: tuple[Left, ...] = ()
    """Those of the able that cannot take it, for another reason."""


class Handover(msgspec.Struct, frozen=True):
    """A step that workers may take."""

    step: str
    version: int
    """Of the event that says so, which tells the attempt from any other."""
    queue: str
    labels: tuple[str, ...] = ()
    priority: int = 0


class Job(msgspec.Struct, frozen=True):
    """That somebody should look after an execution, or perform one of its steps."""

    execution_id: str
    step: str | None = None
    handover: int = 0
    other: bool = False
    """It may be another worker's: nothing is to be done but to look whether the one that has the step is dead."""

    @property
    def key(self) -> str:
        """What there is at most one job of."""
        return self.execution_id if self.step is None else step_key(self.execution_id, self.step, self.handover)


class Later(msgspec.Struct, frozen=True):
    """The job is not done: somebody is to take it again, at a time or after some seconds."""

    at: datetime | None = None
    after: float = 0.0
    why: str | None = None
    """This worker cannot do it, and why: any other one may take it at once, and this one after `after`."""

    def moment(self, now: datetime) -> datetime:
        """When that is."""
        return self.at or now + timedelta(seconds=self.after)


Perform = Callable[[Job], Later | None]
"""Does what a job is about as far as that goes; None: it is done. Raises nothing."""


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

    def hand_over(
        self,
        execution_id: str,
        expected: int,
        entries: Sequence[Entry],
        summary: Summary,
        handovers: Sequence[Handover],
        *,
        fence: Ownership,
        release: bool = False,
    ) -> None:
        """`EventStore.append`, and the jobs of the steps that are handed over by that, in one transaction."""
        ...

    def offer(self, execution_id: str, handovers: Sequence[Handover]) -> None:
        """Add the jobs of steps that were handed over, as far as they are not there."""
        ...

    def withdraw(self, keys: Sequence[str]) -> None:
        """Remove the jobs with these `Job.key` that no worker has taken."""
        ...

    def wake(self, execution_id: str) -> None:
        """Have an execution's job taken at once that waits for its time; without one, do nothing."""
        ...

    def depths(self) -> list[Depth]:
        """The queues that hold anything, by name."""
        ...

    def workers(self) -> list[Worker]:
        """Workers that have not signed off, the oldest first; those that are dead among them."""
        ...

    def standing(self, execution_id: str, queue: str) -> Standing:
        """How an execution stands that waits in a queue, or for a worker to go on with it."""
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


def step_key(execution_id: str, step: str, handover: int) -> str:
    """What the job of a step is known by; a slash is in no id."""
    return f"{execution_id}/{step}/{handover}"


def takers(workers: Sequence[Worker], queue: str, labels: Sequence[str], key: str) -> Takers:
    """Who of the workers could take the job `key`, and who has left it."""
    serving = [w for w in workers if queue in w.queues and not w.draining and alive(w)]
    able = [w for w in serving if {*labels} <= {*w.labels}]
    left = tuple(Left(w.runner.id, w.runner.host, w.leaves[key]) for w in able if key in w.leaves)
    return Takers(len(serving), len(able), left=left)


def check_queues(names: Sequence[str]) -> tuple[str, ...]:
    """The names of queues, each once. Raises UsageError for what is none."""
    for name in names:
        if problem := queue_problem(name):
            raise UsageError(problem[0], hint=problem[1])
    return tuple(dict.fromkeys(names))


def check_priority(priority: int) -> int:
    """Raises UsageError for one that is out of bounds."""
    if abs(priority) > _MOST_PRIORITY:
        raise UsageError(f"the priority {priority} is not between -{_MOST_PRIORITY} and {_MOST_PRIORITY}")
    return priority
