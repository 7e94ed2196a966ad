"""Everything that can be asked of an execution and of the store it is in, over gRPC."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from cerebelum import __version__, render
from cerebelum.core import strict_json
from cerebelum.core.errors import DefinitionChanged, UsageError
from cerebelum.core.events import Entry
from cerebelum.core.status import STATUSES, Status
from cerebelum.sdk.statuses import ExecutionStatus
from cerebelum.service.operations import Again, Operations
from cerebelum.service.rpc import rows
from cerebelum.service.rpc.callers import Caller
from cerebelum.service.rpc.errors import Changed, InvalidArgument, NotNow
from cerebelum.service.rpc.worker import found, resumed
from cerebelum.service.tails import Tails
from cerebelum.store import PAGE_SIZE, Change, EventStore, LogPage, Query, lookup
from cerebelum.wire import execution_pb2 as wire

T = TypeVar("T")
_MOST_ROWS = 200
"""Executions of a page."""
_MOST_FOUND = 10_000
"""Executions, or tombstones, that one call gives."""
_FEW_CHUNKS, _MOST_CHUNKS = 8, 500
"""Pieces of output that are read at once."""
_SMALL_BYTES = 128 << 10


class Executions:
    """The methods of ExecutionService."""

    def __init__(self, operations: Operations, tails: Tails) -> None:
        self._operations = operations
        self._tails = tails
        self._read = tails.read

    async def _store(self, look: Callable[[EventStore], T]) -> T:
        return await self._read(lambda verbs: look(verbs.store))

    # -- driving ------------------------------------------------------------------------------------------------------

    async def StartExecution(self, request: wire.StartExecutionRequest, caller: Caller) -> wire.ExecutionHandle:
        """Start a workflow that the service was given."""
        if not request.workflow_name:
            raise InvalidArgument("workflow_name is empty", hint="it names a workflow that the service was given")
        started = await self._operations.start(
            request.workflow_name,
            _object("inputs_json", request.inputs_json),
            texts=request.inputs_text,
            execution_id=request.execution_id if request.HasField("execution_id") else None,
            correlation_id=request.correlation_id if request.HasField("correlation_id") else None,
            tags=request.tags,
            lock=request.lock if request.HasField("lock") else None,
            by=caller.by(request.by),
        )
        return wire.ExecutionHandle(execution_id=started)

    async def ResumeExecution(self, request: wire.ResumeExecutionRequest, caller: Caller) -> wire.ExecutionHandle:
        """Go on with an execution."""
        how = _again(request)
        try:
            name = await resumed(self._operations, request.execution_id, how, caller.by(request.by))
        except DefinitionChanged as error:
            raise Changed(error, await self._plan(request.execution_id, how)) from None
        return wire.ExecutionHandle(execution_id=name)

    async def PlanResume(self, request: wire.ResumeExecutionRequest, caller: Caller) -> wire.ResumePlan:
        """What a resume would do."""
        at = await found(self._operations.client, request.execution_id)
        return wire.ResumePlan(json=json.dumps(await self._plan(at.execution_id, _again(request))))

    async def _plan(self, execution_id: str, how: Again) -> Any:
        plan = await self._operations.client.plan_resume(
            execution_id,
            how.skip_completed_steps,
            from_step=how.from_step,
            accept_changes=how.accept_changes,
            recorded=how.recorded,
        )
        return render.plan_shape(plan)

    async def Fork(self, request: wire.ForkRequest, caller: Caller) -> wire.ExecutionHandle:
        """Start a new execution in the middle of an old one."""
        if not request.from_step:
            raise InvalidArgument("from_step is empty", hint="it names the first step that is to run")
        at = await found(self._operations.client, request.execution_id)
        started = await self._operations.fork(
            at.execution_id,
            request.from_step,
            _object("inputs_json", request.inputs_json),
            texts=request.inputs_text,
            new_id=request.new_execution_id if request.HasField("new_execution_id") else None,
            accept_changes=request.accept_changes,
            recorded=request.recorded,
            by=caller.by(request.by),
        )
        return wire.ExecutionHandle(execution_id=started)

    # -- asking -------------------------------------------------------------------------------------------------------

    async def Approve(self, request: wire.ApproveRequest, caller: Caller) -> wire.Execution:
        """Grant what a step waits for."""
        return await self._asked(
            request.execution_id,
            lambda name: self._operations.approve(
                name,
                request.step if request.HasField("step") else None,
                comment=request.comment if request.HasField("comment") else None,
                response=_object("response_json", request.response_json),
                by=caller.by(request.by),
            ),
        )

    async def Reject(self, request: wire.RejectRequest, caller: Caller) -> wire.Execution:
        """Refuse what a step waits for."""
        return await self._asked(
            request.execution_id,
            lambda name: self._operations.reject(
                name,
                request.step if request.HasField("step") else None,
                comment=request.comment if request.HasField("comment") else None,
                by=caller.by(request.by),
            ),
        )

    async def Cancel(self, request: wire.CancelRequest, caller: Caller) -> wire.Execution:
        """Cancel an execution."""
        why = request.why if request.HasField("why") else None
        return await self._asked(
            request.execution_id, lambda name: self._operations.cancel(name, why=why, by=caller.by(request.by))
        )

    async def Pause(self, request: wire.PauseRequest, caller: Caller) -> wire.Execution:
        """Have an execution paused."""
        why = request.why if request.HasField("why") else None
        return await self._asked(
            request.execution_id, lambda name: self._operations.pause(name, why=why, by=caller.by(request.by))
        )

    async def _asked(self, execution_id: str, ask: Callable[[str], Awaitable[ExecutionStatus]]) -> wire.Execution:
        at = await found(self._operations.client, execution_id)
        try:
            await ask(at.execution_id)
        except UsageError as error:
            raise NotNow(error.message, where=error.where, hint=error.hint) from None
        [row] = (await self._read(lambda verbs: verbs.list(Query(id=at.execution_id)))).rows
        self._tails.tell(Change("request", at.execution_id))
        return rows.execution(row)

    # -- looking ------------------------------------------------------------------------------------------------------

    async def WatchExecution(
        self, request: wire.WatchExecutionRequest, caller: Caller
    ) -> AsyncIterator[wire.ExecutionEvent]:
        """The events after a version, and those to come."""
        name = await self._named(request.execution_id)
        after = _not_negative("after_version", request.after_version)
        async with self._tails.watch(name, after=after) as looks:
            async for look in looks:
                for entry in look.events:
                    yield rows.event(name, entry)

    async def GetHistory(self, request: wire.GetHistoryRequest, caller: Caller) -> AsyncIterator[wire.ExecutionEvent]:
        """The events after a version that there are."""
        name = await self._named(request.execution_id)
        after = _not_negative("after_version", request.after_version)
        most = _not_negative("size", request.size)
        size = min(most, PAGE_SIZE) if most else _SMALL_BYTES
        while page := await self._store(partial(_events, name, after, size)):
            for entry in page:
                yield rows.event(name, entry)
            if most:
                return
            after = page[-1].version

    async def GetLogs(self, request: wire.GetLogsRequest, caller: Caller) -> AsyncIterator[wire.LogPage]:
        """What the steps printed."""
        name = await self._named(request.execution_id)
        step = request.step if request.HasField("step") else None
        attempt = request.attempt if request.HasField("attempt") else None
        position = _not_negative("after_position", request.after_position)
        left = _not_negative("limit", request.limit)
        if step is not None or attempt is not None:
            known = None if request.follow else attempt
            await self._store(lambda store: lookup.check_attempt(lookup.read(store, name).state, step, known))
        most = _FEW_CHUNKS
        while True:
            wanted = min(left, most) if request.limit else most
            found = await self._store(partial(_log_page, name, step, attempt, position, wanted))
            for page in rows.log_pages(found, position) if found.chunks or request.limit else ():
                yield page
            position, left = found.position, left - len(found.chunks)
            if len(found.chunks) < wanted or (request.limit and not left):
                break
            # What a stream holds while nobody reads it stays small, whatever the size of the pieces.
            small = sum(len(chunk.data) for chunk in found.chunks) < _SMALL_BYTES
            most = min(2 * most, _MOST_CHUNKS) if small else _FEW_CHUNKS
        if request.follow and not request.limit:
            async for more in self._printed(name, step, attempt, position):
                yield more

    async def _printed(
        self, name: str, step: str | None, attempt: int | None, position: int
    ) -> AsyncIterator[wire.LogPage]:
        async with self._tails.watch(name, output_after=position) as looks:
            async for look in looks:
                chunks = [
                    chunk
                    for chunk in look.chunks
                    if (step is None or chunk.step == step) and (attempt is None or chunk.attempt == attempt)
                ]
                for page in rows.log_pages(LogPage(chunks, look.position), position) if chunks else ():
                    yield page
                position = look.position

    async def FindExecutions(
        self, request: wire.FindExecutionsRequest, caller: Caller
    ) -> AsyncIterator[wire.ExecutionPage]:
        """Executions by every filter."""
        query = _query(request)
        page = await self._read(lambda verbs: verbs.store.find(query) if request.stored else verbs.list(query))
        for start in range(0, max(len(page.rows), 1), _MOST_ROWS):
            part = page.rows[start : start + _MOST_ROWS]
            last = start + _MOST_ROWS >= len(page.rows)
            yield wire.ExecutionPage(
                executions=[rows.execution(row) for row in part],
                has_more=page.has_more and last,
                total=page.total if last else None,
            )

    async def WatchChanges(self, request: wire.WatchChangesRequest, caller: Caller) -> AsyncIterator[wire.Change]:
        """That something has changed."""
        name = await self._named(request.execution_id) if request.HasField("execution_id") else None
        async with self._tails.changes() as told:
            async for changes in told:
                for change in changes:
                    if name is None or change.execution_id in ("", name):
                        yield wire.Change(kind=change.kind, execution_id=change.execution_id)

    async def GetTombstones(self, request: wire.GetTombstonesRequest, caller: Caller) -> AsyncIterator[wire.Tombstone]:
        """What stays of executions that were pruned."""
        name = request.execution_id if request.HasField("execution_id") else None
        after = request.after_execution_id
        most = min(_not_negative("limit", request.limit) or _MOST_ROWS, _MOST_FOUND)
        for stone in await self._store(lambda store: store.tombstones(name, after=after, limit=most)):
            yield rows.tombstone(stone)

    async def GetStore(self, request: wire.GetStoreRequest, caller: Caller) -> wire.Store:
        """Facts about the store and the service."""
        return wire.Store(
            version=__version__,
            read_only=self._operations.read_only,
            description_json=rows.text(await self._store(lambda store: store.describe())),
            totals_json=rows.text(await self._store(lambda store: store.totals())) if request.totals else "",
            workflows_json=rows.text(await self._store(lambda store: store.workflows())) if request.workflows else "",
            startable=self._operations.workflows.names(),
            claims_json=rows.text(await self._store(lambda store: store.claims())) if request.claims else "",
        )

    async def GetPool(self, request: wire.GetPoolRequest, caller: Caller) -> wire.Pool:
        """Queues and workers."""
        return await self._store(lambda store: rows.pool(store, request.execution_id, request.queue))

    async def _named(self, execution_id: str) -> str:
        if not execution_id:
            raise InvalidArgument("execution_id is empty", hint="an id, the beginning of one, or `last`")
        return await self._read(lambda verbs: verbs.resolve(execution_id))


def _events(name: str, after: int, size: int, store: EventStore) -> list[Entry]:
    return store.read_page(name, after, size=size)


def _log_page(name: str, step: str | None, attempt: int | None, after: int, limit: int, store: EventStore) -> LogPage:
    return store.read_log(name, step=step, attempt=attempt, after=after, limit=limit)


def _again(request: wire.ResumeExecutionRequest) -> Again:
    how = Again(
        skip_completed_steps=request.skip_completed_steps if request.HasField("skip_completed_steps") else True,
        from_step=request.from_step if request.HasField("from_step") else None,
        accept_changes=request.accept_changes,
        recorded=request.recorded,
    )
    if how.from_step is not None and not how.skip_completed_steps:
        raise InvalidArgument("from_step says which steps are skipped", hint="leave out skip_completed_steps")
    return how


def _object(name: str, text: str) -> dict[str, Any]:
    """A JSON object that was sent. Raises InvalidArgument."""
    try:
        found = strict_json.loads(text) if text else {}
    except ValueError as error:
        raise InvalidArgument(f"{name} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidArgument(f"{name} is no JSON object", hint='write it like {"replicas": 3}')
    return found


def _not_negative(name: str, value: int) -> int:
    if value < 0:
        raise InvalidArgument(f"{name} is not negative ({value})")
    return value


def _query(request: wire.FindExecutionsRequest) -> Query:
    unknown = [name for name in request.status if name not in STATUSES]
    if unknown:
        raise InvalidArgument(f"there is no status {unknown[0]!r}", hint="one of " + ", ".join(STATUSES))
    status: tuple[Status, ...] = tuple(name for name in STATUSES if name in request.status)
    after = None
    if request.after_execution_id:
        after = (_moment(request.after_started_at), request.after_execution_id)
    return Query(
        id=request.execution_id if request.HasField("execution_id") else None,
        id_prefix=request.id_prefix if request.HasField("id_prefix") else None,
        status=status,
        workflow=request.workflow_name if request.HasField("workflow_name") else None,
        tag=tuple(request.tags),
        since=_moment(request.since) if request.HasField("since") else None,
        after=after,
        dead_runners=tuple(request.dead_runners),
        limit=min(_not_negative("limit", request.limit), _MOST_FOUND),
        offset=_not_negative("offset", request.offset),
        count_to=_not_negative("count_to", request.count_to),
    )


def _moment(stamp: Timestamp) -> datetime:
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument("a time is out of range") from None
