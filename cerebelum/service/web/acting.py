"""What POST does: each function has an operation performed, in the name of who asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cerebelum import render
from cerebelum.core.errors import CerebelumError, DefinitionChanged, NotFound, UsageError
from cerebelum.service.operations import Again
from cerebelum.service.tails import Tails
from cerebelum.service.web.asked import Approved, Forked, Reasoned, Rejected, Started
from cerebelum.service.web.errors import NotNow
from cerebelum.service.web.looking import Call, plan_of
from cerebelum.store import Change, lookup

if TYPE_CHECKING:
    from cerebelum.render import contract
    from cerebelum.sdk.statuses import ExecutionStatus


async def start(tails: Tails, call: Call) -> contract.Detached:
    """Start a workflow. Raises UsageError (DefinitionError), NotFound, and NotNow for an id that there is."""
    asked: Started = call.body
    async with _new(tails, asked.execution_id):
        execution_id = await call.operations.start(
            asked.workflow,
            asked.inputs,
            execution_id=asked.execution_id,
            tags=asked.tags,
            lock=asked.lock,
            by=call.by,
        )
    return _told(tails, execution_id)


async def resume(tails: Tails, call: Call) -> contract.Detached:
    """Go on with an execution. Raises NotFound, OwnedElsewhere, and NotNow if that is not possible."""
    how: Again = call.body
    async with _now(tails, call.execution_id, how):
        execution_id = await call.operations.resume(call.execution_id, how, by=call.by)
    return _told(tails, execution_id)


async def fork(tails: Tails, call: Call) -> contract.Detached:
    """Start in the middle of an old execution. Raises what `start` and `resume` raise."""
    asked: Forked = call.body
    how = Again(from_step=asked.from_step, accept_changes=asked.accept_changes, recorded=asked.recorded)
    async with _new(tails, asked.execution_id, call.execution_id, how):
        execution_id = await call.operations.fork(
            call.execution_id,
            asked.from_step,
            asked.inputs,
            new_id=asked.execution_id,
            accept_changes=asked.accept_changes,
            recorded=asked.recorded,
            by=call.by,
        )
    return _told(tails, execution_id)


async def cancel(tails: Tails, call: Call) -> contract.Status:
    """Cancel an execution. Raises NotFound, NotNow if it has ended."""
    asked: Reasoned = call.body
    async with _now(tails, call.execution_id):
        return await _status(tails, await call.operations.cancel(call.execution_id, why=asked.why, by=call.by))


async def pause(tails: Tails, call: Call) -> contract.Status:
    """Have an execution paused. Raises NotFound, NotNow if it has ended or is paused."""
    asked: Reasoned = call.body
    async with _now(tails, call.execution_id):
        return await _status(tails, await call.operations.pause(call.execution_id, why=asked.why, by=call.by))


async def approve(tails: Tails, call: Call) -> contract.Status:
    """Grant what a step waits for. Raises NotFound, NotNow if nothing waits or it was decided."""
    asked: Approved = call.body
    async with _now(tails, call.execution_id):
        return await _status(
            tails,
            await call.operations.approve(
                call.execution_id, asked.step, comment=asked.comment, response=asked.response, by=call.by
            ),
        )


async def reject(tails: Tails, call: Call) -> contract.Status:
    """Refuse what a step waits for. Raises what `approve` raises."""
    asked: Rejected = call.body
    async with _now(tails, call.execution_id):
        done = await call.operations.reject(call.execution_id, asked.step, comment=asked.comment, by=call.by)
        return await _status(tails, done)


def _told(tails: Tails, execution_id: str) -> contract.Detached:
    tails.tell(Change("events", execution_id))
    return {"execution_id": execution_id}


async def _status(tails: Tails, now: ExecutionStatus) -> contract.Status:
    _told(tails, now.execution_id)
    return render.status_shape(await tails.read(lambda verbs: verbs.status(now.execution_id)))


@asynccontextmanager
async def _now(tails: Tails, execution_id: str, how: Again | None = None) -> AsyncIterator[None]:
    """Turns what an execution does not allow as it stands into NotNow; with the plan, where steps have changed."""
    try:
        yield
    except DefinitionChanged as error:
        if how is None:
            raise
        again = how
        plan = await tails.read(lambda verbs: plan_of(verbs, execution_id, again))
        raise NotNow(error, plan) from None
    except UsageError as error:
        # An id that could be several, or a step that there is not, is wrong by itself.
        steps = await tails.read(lambda verbs: verbs.status(execution_id).state.steps)
        if how is not None and how.from_step and (how.from_step not in steps or not how.skip_completed_steps):
            raise
        raise NotNow(error) from None


@asynccontextmanager
async def _new(
    tails: Tails, new_id: str | None, old_id: str | None = None, how: Again | None = None
) -> AsyncIterator[None]:
    """Turns what fails because there is (or was) an execution with the new id into NotNow; see `_now`."""
    try:
        yield
    except DefinitionChanged as error:
        if how is None or old_id is None:
            raise
        name, again = old_id, how
        raise NotNow(error, await tails.read(lambda verbs: plan_of(verbs, name, again))) from None
    except UsageError as error:
        if new_id is not None and await _is_used(tails, new_id):
            raise NotNow(error) from None
        raise


async def _is_used(tails: Tails, execution_id: str) -> bool:
    try:
        await tails.read(lambda verbs: lookup.present(verbs.store, execution_id))
    except NotFound:
        return bool(await tails.read(lambda verbs: verbs.store.tombstones(execution_id)))
    except CerebelumError:
        return False
    return True
