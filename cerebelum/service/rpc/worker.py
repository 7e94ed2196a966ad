"""The published status service, as programs in the field know it."""

from __future__ import annotations

from typing import NoReturn

from cerebelum.core.errors import UsageError
from cerebelum.sdk.client import ExecutionClient
from cerebelum.sdk.statuses import ExecutionState, ExecutionStatus
from cerebelum.service.operations import Again, Operations
from cerebelum.service.rpc import messages
from cerebelum.service.rpc.callers import Caller
from cerebelum.service.rpc.errors import InvalidArgument, NotNow, Unserved
from cerebelum.service.rpc.structs import plain, stamp
from cerebelum.wire import worker_pb2 as wire

_LIMIT, _MOST = 50, 100


class Worker:
    """The methods of WorkerService."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    @property
    def _client(self) -> ExecutionClient:
        return self._operations.client

    async def GetExecutionStatus(self, request: wire.GetExecutionStatusRequest, caller: Caller) -> wire.ExecutionStatus:
        """How an execution stands."""
        return messages.status(await found(self._client, request.execution_id))

    async def ListExecutions(self, request: wire.ListExecutionsRequest, caller: Caller) -> wire.ListExecutionsResponse:
        """A page of executions, from what lists know."""
        if request.limit < 0 or request.offset < 0:
            raise InvalidArgument(f"limit and offset are not negative ({request.limit}, {request.offset})")
        page = await self._client.list_executions(
            request.workflow_name if request.HasField("workflow_name") else None,
            messages.wanted(request.status) if request.HasField("status") else None,
            min(request.limit or _LIMIT, _MOST),
            request.offset,
        )
        return wire.ListExecutionsResponse(
            executions=[messages.status(each) for each in page.executions],
            total_count=page.total_count,
            has_more=page.has_more,
        )

    async def ResumeExecution(self, request: wire.ResumeExecutionRequest, caller: Caller) -> wire.ExecutionHandle:
        """Go on with an execution."""
        how = Again(skip_completed_steps=request.skip_completed_steps)
        return await self._handle(await resumed(self._operations, request.execution_id, how, caller.by(None)))

    async def ExecuteWorkflow(self, request: wire.ExecuteRequest, caller: Caller) -> wire.ExecutionHandle:
        """Start a workflow that the service was given."""
        if not request.workflow_module:
            raise InvalidArgument("workflow_module is empty", hint="it names a workflow that the service was given")
        options = request.options
        if options.timeout_ms:
            raise InvalidArgument("timeout_ms is not heeded here", hint="the workflow itself says how long it may take")
        started = await self._operations.start(
            request.workflow_module,
            plain(request.inputs),
            execution_id=options.execution_id or None,
            correlation_id=options.correlation_id or None,
            tags=options.tags,
            by=caller.by(None),
        )
        return await self._handle(started)

    async def _handle(self, execution_id: str) -> wire.ExecutionHandle:
        at = await self._client.get_execution_status(execution_id)
        return wire.ExecutionHandle(execution_id=execution_id, status=at.status, started_at=stamp(at.started_at))

    async def _unserved(self, request: object, caller: Caller) -> NoReturn:
        raise Unserved(
            "this service has no remote workers: every execution is driven by a process of its own",
            hint="start workflows with ExecuteWorkflow; steps in Python run without a worker",
        )

    SubmitBlueprint = Register = Heartbeat = Unregister = PollForTask = SubmitResult = _unserved


async def found(client: ExecutionClient, execution_id: str) -> ExecutionStatus:
    """How an execution stands. Raises InvalidArgument for an id that names none by its form, NotFound."""
    if not execution_id:
        raise InvalidArgument("execution_id is empty", hint="an id, the beginning of one, or `last`")
    return await client.get_execution_status(execution_id)


async def resumed(operations: Operations, execution_id: str, how: Again, by: str) -> str:
    """Go on with an execution; its whole id. Raises NotNow if it cannot be gone on with as it stands."""
    at = await found(operations.client, execution_id)
    if at.status == ExecutionState.RUNNING:
        owner = at.owner
        who = f"process {owner.pid} on {owner.host}" if owner is not None else "another process"
        raise NotNow(f"{at.execution_id} is running; {who} drives it", hint="watch it, or pause it first")
    try:
        return await operations.resume(at.execution_id, how, by=by)
    except UsageError as error:
        raise NotNow(error.message, where=error.where, hint=error.hint) from None
