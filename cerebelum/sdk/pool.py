"""What can be done with queues and workers, beside `Verbs`: few commands need it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import msgspec

from cerebelum.core.errors import NotFound, UsageError
from cerebelum.core.events import Queued
from cerebelum.core.step_kind import Defines
from cerebelum.store.pooling import Depth, HasPool, Worker, alive, pool_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cerebelum.core.decide import Stopping
    from cerebelum.sdk.course import Course, How
    from cerebelum.sdk.verbs import Verbs


class Queue(msgspec.Struct, frozen=True):
    """A queue that holds something, or that somebody serves."""

    depth: Depth
    workers: int
    """How many live workers take something from it."""


class Overview(msgspec.Struct, frozen=True):
    """The pool as it is now."""

    queues: tuple[Queue, ...] = ()
    workers: tuple[Worker, ...] = ()


def submit(
    verbs: Verbs,
    path: Path | Defines,
    inputs: Mapping[str, Any],
    queued: Queued,
    *,
    execution_id: str | None = None,
    tags: Iterable[str] = (),
    working_dir: Path | None = None,
    lock: str | None = None,
    **how: Unpack[How],
) -> str:
    """Put a new execution of the workflow in `path` into a queue, for a worker to take; its id.

    It runs in `working_dir`, as the worker's machine knows it, or else in the current folder; with `lock`, when no
    other execution has the lock of that name. Raises UsageError (DefinitionError for the file) before anything is
    recorded, also for a store without queues; StoreError.
    """
    return verbs.driver(how).submit(path, inputs, execution_id, tuple(dict.fromkeys(tags)), queued, working_dir, lock)


def work(
    verbs: Verbs,
    queues: Sequence[str],
    labels: Sequence[str],
    *,
    concurrency: int,
    most_resurrections: int,
    once: bool,
    tell: Callable[[str], None],
    files: Sequence[Path] = (),
    **how: Unpack[Course],
) -> Stopping | None:
    """Take executions from queues and drive them, until stopped (returned) or drained (None).

    With `once`, until there is nothing to take and all have ended or wait. An execution whose workers died so often
    without completing a step in between, and once more, fails. What the schedules of `files` say is submitted into the
    first queue. Raises UsageError for a file that cannot be scheduled and for a store without queues, and
    StoreError.
    """
    return verbs.driver(how).work(
        queues,
        labels,
        concurrency=concurrency,
        most_resurrections=most_resurrections,
        once=once,
        tell=tell,
        files=files,
    )


def overview(verbs: Verbs) -> Overview:
    """Queues and workers; none where the store has no queues. Raises StoreError."""
    if not isinstance(verbs.store, HasPool):
        return Overview()
    pool = pool_of(verbs.store)
    workers, depths = pool.workers(), {depth.queue: depth for depth in pool.depths()}
    serving = [worker for worker in workers if not worker.draining and alive(worker)]
    names = sorted({*depths, *(name for worker in serving for name in worker.queues)})
    queues = (
        Queue(depths.get(name, Depth(name, 0, None, 0, 0)), sum(name in worker.queues for worker in serving))
        for name in names
    )
    return Overview(tuple(queues), tuple(workers))


def drain(verbs: Verbs, name: str) -> Worker:
    """Have a worker (its id, or a unique beginning) take nothing new, hand over what it drives, and end.

    Raises NotFound; UsageError if several begin so, it is dead, or the store has no queues.
    """
    pool = pool_of(verbs.store)
    found = [worker for worker in pool.workers() if worker.runner.id.startswith(name)]
    if len(found) > 1 and name:
        raise UsageError(f"{name!r} could be {', '.join(w.runner.id for w in found)}", hint="give more of the id")
    if len(found) == 1 and name and not alive(found[0]):
        raise UsageError(
            f"the worker {found[0].runner.id} is dead", hint="others go on with what it drove by themselves"
        )
    if len(found) != 1 or not name or not pool.drain(found[0].runner.id):
        raise NotFound(f"there is no worker {name!r}", hint="see: cerebelum worker list")
    return found[0]
