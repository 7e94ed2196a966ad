"""Queues and workers, as text and as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from cerebelum.render.display import ago, harmless, length, moment, one_line
from cerebelum.render.tables import table
from cerebelum.render.workers import left_said
from cerebelum.store.pooling import Worker, alive

if TYPE_CHECKING:
    from cerebelum.render.pool_contract import Pool, PoolWorker
    from cerebelum.sdk.pool import Overview
    from cerebelum.store.lookup import View


def queue_said(view: View, now: datetime) -> str:
    """What there is to say about the queue that an execution was submitted to."""
    queue, standing = view.state.queue, view.standing
    assert queue is not None
    parts = [queue.name]
    if queue.priority:
        parts.append(f"priority {queue.priority}")
    since = view.state.started_at
    if view.status != "queued":
        if standing is None:
            return ", ".join(parts)
        parts.append("where it waits for a worker to go on with it")
    elif queue.at is not None and queue.at > now:
        parts.append(f"not before {moment(queue.at)}")
    else:
        since = max(since, queue.at or since)
        parts.append(f"waiting for {length((now - since).total_seconds())}")
    if standing is not None:
        parts.append(f"{standing.ahead} ahead of it" if standing.ahead else "the next one")
        serve = f"{standing.workers} worker{'' if standing.workers == 1 else 's'}"
        parts.append(f"served by {serve}" if standing.workers else "which no worker serves")
    return "; ".join([", ".join(parts), *left_said(standing.left if standing is not None else ())])


def pool_text(pool: Overview, width: int | None, now: datetime) -> str:
    """The tables of `worker list`, in so many columns of a terminal."""
    if not pool.queues and not pool.workers:
        return "no queues and no workers; start one with: cerebelum worker --queue NAME"
    queues = [("QUEUE", "WORKERS", "WAITING", "OLDEST", "LATER", "TAKEN")]
    for queue in pool.queues:
        depth = queue.depth
        oldest = "" if depth.oldest is None else length(max(0.0, depth.oldest))
        serving = str(queue.workers) if queue.workers else "nobody"
        queues.append((depth.queue, serving, str(depth.waiting), oldest, str(depth.later), str(depth.taken)))
    workers: list[tuple[str, ...]] = [("WORKER", "HOST", "QUEUES", "LABELS", "STATE", "SINCE", "BEAT", "DRIVES")]
    workers += [_worker(worker, now) for worker in pool.workers]
    lines = table(queues, width=width, giving=(0,))
    if pool.workers:
        lines += ["", *table(workers, width=width, giving=(7, 3, 2))]
    return "\n".join(lines)


def _worker(worker: Worker, now: datetime) -> tuple[str, ...]:
    runner = worker.runner
    busy = f"{len(worker.drives)} of {worker.concurrency}"
    state = "dead" if not alive(worker) else f"draining, {busy}" if worker.draining else busy
    beat = "" if runner.silent is None else f"{length(runner.silent)} ago"
    where = f"{one_line(runner.host)}:{runner.pid}"
    names = (harmless(",".join(worker.queues)), harmless(",".join(worker.labels)))
    return (runner.id, where, *names, state, ago(runner.started_at, now), beat, ", ".join(worker.drives))


def pool_shape(pool: Overview) -> Pool:
    """What `worker list --json` prints."""
    return {
        "queues": [
            {
                "queue": queue.depth.queue,
                "workers": queue.workers,
                "waiting": queue.depth.waiting,
                "oldest_seconds": queue.depth.oldest,
                "later": queue.depth.later,
                "taken": queue.depth.taken,
            }
            for queue in pool.queues
        ],
        "workers": [worker_shape(worker) for worker in pool.workers],
    }


def worker_shape(worker: Worker) -> PoolWorker:
    """A worker as JSON."""
    runner = worker.runner
    return {
        "id": runner.id,
        "host": runner.host,
        "pid": runner.pid,
        "since": runner.started_at,
        "silent_seconds": runner.silent,
        "alive": alive(worker),
        "draining": worker.draining,
        "version": worker.version,
        "queues": worker.queues,
        "labels": worker.labels,
        "concurrency": worker.concurrency,
        "executions": worker.drives,
        "leaves": worker.leaves,
    }
