"""What `/metrics` tells of the store: how many executions there are, what is late, and how steps fare."""

from __future__ import annotations

import asyncio
import platform
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime

import msgspec

from cerebelum.core.errors import CerebelumError
from cerebelum.core.events import AnyEvent, StepCompleted, StepFailed
from cerebelum.core.status import GOING_ON, STATUSES
from cerebelum.sdk.pool import Overview, overview
from cerebelum.sdk.verbs import Verbs
from cerebelum.service.tails import Tails
from cerebelum.service.web.metrics import Metrics, gauge
from cerebelum.store import Query, lookup

_FRESH = 10.0
"""Seconds for which what was counted is told again."""
_COUNT_TO = 10_000_000
_MOST_DUE = 500
"""Executions whose time has come that are looked at, the newest first."""
_MOST_WORKFLOWS = 50
"""With a name of their own; what more there are is `other`."""
_MOST_KNOWN = 10_000
"""Executions of which it is known up to where they were counted."""


class _Found(msgspec.Struct, frozen=True):
    """What there is in the store."""

    at: float
    executions: dict[tuple[str, ...], float]
    lag: float
    pool: Overview


class Observer:
    """Finds out what the metrics tell. It looks at nothing before they are asked for the first time."""

    def __init__(self, tails: Tails, metrics: Metrics) -> None:
        self._tails = tails
        self._metrics = metrics
        self._found: _Found | None = None
        self._looking = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
        self._follows = False
        self._workflows: set[str] = set()
        self._known: OrderedDict[str, int] = OrderedDict()

    @property
    def follows(self) -> bool:
        """Whether steps are being counted."""
        return self._follows

    async def text(self, streams: int) -> str:
        """All metrics in the text format of Prometheus. Raises StoreError."""
        self._follow()
        async with self._looking:
            if self._found is None or time.monotonic() - self._found.at > _FRESH:
                self._found = await self._tails.read(_found)
        lines = [*self._of_store(self._found), *self._of_service(streams), *self._metrics.lines()]
        return "\n".join(lines) + "\n"

    async def close(self) -> None:
        """Look at nothing any more."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    def _of_store(self, found: _Found) -> Iterator[str]:
        yield from gauge("cerebelum_executions", "Executions, as they are shown.", found.executions, ("status",))
        about = "Seconds since the oldest timer was due that nobody has heeded (0: none is late)."
        yield from gauge("cerebelum_timer_lag_seconds", about, {(): found.lag})
        yield from _of_pool(found.pool)

    def _of_service(self, streams: int) -> Iterator[str]:
        from cerebelum import __version__

        yield from gauge("cerebelum_http_streams", "Streams that are open.", {(): streams})
        yield from gauge("cerebelum_watched_executions", "Executions followed.", {(): self._tails.watched})
        build = (__version__, platform.python_version())
        yield from gauge("cerebelum_build_info", "Which version this is.", {build: 1}, ("version", "python"))

    # -- how steps fare -----------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._hear())

    async def _hear(self) -> None:
        since = await self._tails.read(lambda verbs: verbs.clock.now())
        async with self._tails.changes() as changes:
            self._follows = True
            async for told in changes:
                for name in dict.fromkeys(change.execution_id for change in told if change.kind == "events"):
                    # One that was pruned, or a store that is away: what is not seen is not counted.
                    with suppress(CerebelumError):
                        await self._count(name, since)

    async def _count(self, name: str, since: datetime) -> None:
        after = self._known.get(name, 0)
        workflow, events = await self._tails.read(lambda verbs: _news(verbs, name, after))
        label = self._label(workflow)
        for event in events:
            if event.at >= since:
                self._take(event, label)
        self._known[name] = events[-1].version if events else after
        self._known.move_to_end(name)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    def _take(self, event: AnyEvent, workflow: str) -> None:
        match event:
            case StepCompleted():
                self._metrics.steps.add(event.duration, workflow)
            case StepFailed():
                self._metrics.failures.add(workflow)
                if event.retry_at is not None:
                    self._metrics.retries.add(workflow)
            case _:
                pass

    def _label(self, workflow: str) -> str:
        if len(self._workflows) < _MOST_WORKFLOWS:
            self._workflows.add(workflow)
        return workflow if workflow in self._workflows else "other"


def _of_pool(pool: Overview) -> Iterator[str]:
    of = ("queue",)
    depths = {(queue.depth.queue,): queue.depth for queue in pool.queues}
    if not depths:
        return
    waiting: dict[tuple[str, ...], float] = {name: depth.waiting for name, depth in depths.items()}
    yield from gauge("cerebelum_queue_waiting", "Executions that a worker could take now.", waiting, of)
    oldest: dict[tuple[str, ...], float] = {name: depth.oldest or 0.0 for name, depth in depths.items()}
    about = "Seconds for which the oldest of them could have been taken (0: none waits)."
    yield from gauge("cerebelum_queue_oldest_seconds", about, oldest, of)
    later: dict[tuple[str, ...], float] = {name: depth.later for name, depth in depths.items()}
    yield from gauge("cerebelum_queue_later", "Executions that wait for their time, or for a person.", later, of)
    taken: dict[tuple[str, ...], float] = {name: depth.taken for name, depth in depths.items()}
    yield from gauge("cerebelum_queue_taken", "Executions that workers have.", taken, of)
    workers: dict[tuple[str, ...], float] = {(queue.depth.queue,): queue.workers for queue in pool.queues}
    yield from gauge("cerebelum_queue_workers", "Live workers that take from the queue.", workers, of)


def _news(verbs: Verbs, name: str, after: int) -> tuple[str, Sequence[AnyEvent]]:
    """The workflow of an execution, and its events after a version."""
    return lookup.present(verbs.store, name).summary.workflow, verbs.history(name, after)


def _found(verbs: Verbs) -> _Found:
    store, now = verbs.store, verbs.clock.now()
    dead = lookup.dead_runners(store)
    executions: dict[tuple[str, ...], float] = {
        (status,): store.find(Query(status=(status,), dead_runners=dead, limit=0, count_to=_COUNT_TO)).total or 0
        for status in STATUSES
    }
    rows = store.find(Query(due_before=now, limit=_MOST_DUE)).rows
    due = [row.summary.due_at for row in rows if row.summary.due_at and row.summary.status in GOING_ON]
    lag = max(((now - at).total_seconds() for at in due), default=0.0)
    return _Found(time.monotonic(), executions, max(0.0, lag), overview(verbs))
