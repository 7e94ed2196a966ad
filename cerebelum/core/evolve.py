"""What each event means: `evolve` is the only place where it gets that meaning, and says what it makes of a state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar, assert_never

import msgspec

from cerebelum.core.active import Active
from cerebelum.core.chunks import Chunks
from cerebelum.core.errors import StoreError
from cerebelum.core.events import (
    AnyEvent,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalTimedOut,
    CancelRequested,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionPaused,
    ExecutionResumed,
    ExecutionStarted,
    LockAcquired,
    LockAwaited,
    PauseRequested,
    SleepCompleted,
    SleepStarted,
    StepCompleted,
    StepEvent,
    StepFailed,
    StepHandedOver,
    StepInterrupted,
    StepReported,
    StepSkipped,
    StepStarted,
    StepTaken,
)
from cerebelum.core.graph import Graph
from cerebelum.core.handover import folded
from cerebelum.core.order import order, settled
from cerebelum.core.resuming import taken_up
from cerebelum.core.runs import joined, without
from cerebelum.core.state import State
from cerebelum.core.step_state import NEW, Call, Steps, StepState, answered

replace = msgspec.structs.replace

_PENDING = StepState()
_LATER: Chunks[int] = Chunks.of(())
"""In the place of a draft's `waits`: what follows from where all steps stand is worked out once, at the end."""
E = TypeVar("E", bound=StepEvent)


def reconstruct(
    execution_id: str, events: Iterable[AnyEvent], since: State | None = None, *, few: int = 64
) -> State | None:
    """The state that `events` add up to, from `since` on; None if there are none, nor that.

    So many as `few` events are sooner folded one by one than a draft is made and worked out.
    """
    state = since
    for count, event in enumerate(events):
        state = evolve(state, event, execution_id)
        # What begins an execution or goes on with it makes no drafts.
        if count >= few and state.waits is not _LATER:
            state = _draft(state)
    return _final(state) if state is not None and state.waits is _LATER else state


def _draft(state: State) -> State:
    """The same, whose parts `evolve` changes instead of making others: a state that it has gone on from is spoilt."""
    return replace(state, steps=state.steps.draft(), active=state.active.draft(), waits=_LATER)


def _final(state: State) -> State:
    graph, steps = state.graph, state.steps.final()
    waits, ready, done = order(graph, steps)
    active = Active.of((step, graph.group_of(step), kind) for step, kind in state.active.items())
    return replace(state, steps=steps, active=active, waits=waits, ready=ready, done=done)


def evolve(state: State | None, event: AnyEvent, execution_id: str = "") -> State:
    """The state after `event`. Pure; never refuses an event, since what happened has happened."""
    if state is None:
        if not isinstance(event, ExecutionStarted):
            raise _damaged(f"the log begins with {type(event).__name__}, not with ExecutionStarted", execution_id)
        return _started(event, execution_id)
    match event:
        case StepCompleted():
            return _of_step(state, event, _completed)
        case StepStarted():
            return _of_step(state, event, _begun)
        case StepFailed():
            return _of_step(state, event, _failed)
        case StepInterrupted():
            return _of_step(state, event, _interrupted)
        case StepSkipped():
            return _of_step(state, event, _skipped)
        case StepHandedOver() | StepTaken() | StepReported():
            return _of_step(state, event, _handover)
        case SleepStarted() | SleepCompleted() | ApprovalRequested():
            return _of_step(state, event, _call)
        case ApprovalGranted() | ApprovalRejected() | ApprovalTimedOut():
            return _of_step(state, event, _answer)
        case ExecutionStarted():
            raise _damaged("the log holds ExecutionStarted twice", state.execution_id)
        case ExecutionResumed():
            return _resumed(state, event)
        case LockAwaited():
            return _passed(state, event)
        case LockAcquired():
            # Waiting in line is no part of what the workflow's time limit is about.
            began = state.segment_at and state.segment_at + (event.at - (state.awaiting_lock or event.at))
            return _passed(state, event, segment_at=began, awaiting_lock=None, locked_at=event.at)
        case ExecutionPaused():
            return _passed(state, event, paused=event, pausing=None)
        case PauseRequested():
            return _passed(state, event, pausing=event)
        case CancelRequested():
            return _passed(state, event, cancel=state.cancel or event)
        case ExecutionCancelled():
            return _ended(state, event, "cancelled")
        case ExecutionFailed():
            return _ended(state, event, "failed", error=event.error)
        case ExecutionCompleted():
            return _ended(state, event, "completed", output=event.output)
        case _:
            assert_never(event)


def _damaged(what: str, execution_id: str) -> StoreError:
    return StoreError(what, where=execution_id or None, hint="run 'cerebelum store verify'")


def _ended(state: State, event: AnyEvent, how: Literal["completed", "failed", "cancelled"], **fields: Any) -> State:
    return _passed(state, event, ended_at=event.at, ended=how, **fields)


def _started(event: ExecutionStarted, execution_id: str) -> State:
    graph = Graph.of(event.definition)
    reused = event.reused
    steps = Steps.of(
        graph.position,
        (
            StepState(status="completed", output=reused[s.id], ended_at=event.at) if s.id in reused else _PENDING
            for s in graph.steps
        ),
    )
    waits, ready, done = order(graph, steps)
    return State(
        execution_id=execution_id,
        version=event.version,
        workflow=event.definition,
        graph=graph,
        source=event.source,
        inputs=event.inputs,
        environment=event.environment,
        steps=steps,
        waits=waits,
        ready=ready,
        done=done,
        active=Active.of(()),
        host=event.environment.host,
        segment_at=event.at,
        tags=event.tags,
        correlation_id=event.correlation_id,
        parent=event.parent,
        queue=event.queue,
        queued=event.queue is not None,
        started_at=event.at,
        updated_at=event.at,
        concurrency=event.concurrency,
        awaiting_lock=None if event.concurrency is None else event.at,
        scheduled_for=event.scheduled_for,
    )


def _resumed(state: State, event: ExecutionResumed) -> State:
    workflow = event.definition or state.workflow
    graph = Graph.of(workflow) if event.definition else state.graph
    steps = Steps.of(
        graph.position, (taken_up(state.steps.get(s.id), state.graph, graph, s, event) for s in graph.steps)
    )
    waits, ready, done = order(graph, steps)
    return replace(
        state,
        version=event.version,
        updated_at=event.at,
        workflow=workflow,
        graph=graph,
        steps=steps,
        waits=waits,
        ready=ready,
        done=done,
        active=Active.of((s, graph.group_of(s), st.status) for s, st in steps.items()),
        failed=state.failed if event.continues else (),
        phase=state.phase if event.continues else "steps",
        segment_at=state.segment_at if event.continues else event.at,
        environment=replace(state.environment, cwd=event.environment.cwd) if event.environment else state.environment,
        host=event.environment.host if event.environment else None,
        source=event.source or state.source,
        inputs=state.inputs if event.inputs is None else event.inputs,
        ended=None,
        ended_at=None,
        paused=None,
        pausing=None if event.reason == "manual" else state.pausing,
        cancel=state.cancel if event.continues else None,
        output=None,
        error=None,
        queued=False,
        awaiting_lock=None if state.concurrency is None else event.at,
        locked_at=None,
        resumes=state.resumes + (event.reason != "taken"),
        resurrections=0 if event.reason == "manual" else state.resurrections + (event.reason == "resurrected"),
    )


def _passed(state: State, event: AnyEvent, **fields: Any) -> State:
    """The state after an event, with `fields` changed."""
    return replace(state, version=event.version, updated_at=event.at, **fields)


def _of_step(state: State, event: E, meaning: Callable[[State, E, int, StepState], State]) -> State:
    """What an event means for the step at its place, which is as it was until then."""
    place = state.graph.position.get(event.step)
    if place is None:
        # A later definition removed the step: the fact stays in the log and has no bearing any more.
        return _passed(state, event)
    return meaning(state, event, place, state.steps.at(place))


def _set(
    state: State, event: StepEvent, place: int, step: StepState, freed: Sequence[int] = (), **fields: Any
) -> State:
    """The state with one step replaced, and everything derived from that step's status brought along.

    `freed` are the places of steps that became ready.
    """
    kind, graph, ready = step.status, state.graph, state.ready
    if state.waits is _LATER:
        pass
    elif kind in NEW:
        freed = (place,) if state.waits[place] == 0 else ()
    elif ready:
        ready = without(ready, place)
    for each in freed:
        ready = joined(ready, each)
    return replace(
        state,
        version=event.version,
        updated_at=event.at,
        steps=state.steps.replaced(place, step),
        active=state.active.replaced(event.step, graph.group[place], kind),
        ready=ready,
        **fields,
    )


def _settle(state: State, event: StepEvent, place: int, step: StepState, **fields: Any) -> State:
    """`_set`, with what follows the step having one need less to wait for."""
    waits = state.waits
    if waits is _LATER:
        return _set(state, event, place, step, **fields)
    freed = []
    for dependent in state.graph.dependents[place]:
        left = waits[dependent] - 1
        waits = waits.replaced(dependent, left)
        if left == 0 and state.steps.at(dependent).status in NEW:
            freed.append(dependent)
    done = state.done + (state.graph.group[place] == "steps")
    return _set(state, event, place, step, freed, done=done, waits=waits, **fields)


def _begun(state: State, event: StepStarted, place: int, old: StepState) -> State:
    began = old.began_at if old.status in ("retrying", "answered") else None
    new = replace(
        old,
        status="running",
        attempt=event.attempt,
        host=state.host,
        began_at=began or event.at,
        started_at=event.at,
        ended_at=None,
        retry_at=None,
        handed=None,
        taken=None,
        reported=None,
    )
    return _set(state, event, place, new, phase=state.graph.group[place])


def _completed(state: State, event: StepCompleted, place: int, old: StepState) -> State:
    new = replace(
        old,
        status="completed",
        output=event.output,
        error=None,
        ended_at=event.at,
        duration=event.duration,
        interrupted=None,
        verified=event.verified,
        deaths=0,
    )
    return _settle(state, event, place, new, resurrections=0)


def _failed(state: State, event: StepFailed, place: int, old: StepState) -> State:
    retrying = event.retry_at is not None
    new = replace(
        old,
        status="retrying" if retrying else "failed",
        attempt=event.attempt,
        host=old.host if old.taken is not None else state.host,
        deaths=0,
        used=old.used + 1,
        error=event.error,
        diverted=event.diverted,
        retry_at=event.retry_at,
        retry_in=(event.retry_at - event.at).total_seconds() if event.retry_at else None,
        ended_at=event.at,
        duration=event.duration,
        interrupted=None,
    )
    if retrying:
        return _set(state, event, place, new)
    if settled(state.graph.steps[place], new):
        return _settle(state, event, place, new)
    # A step that could not even start brings its group's turn, as its start would have.
    phase = state.phase if event.attempt == old.attempt else state.graph.group[place]
    return _set(state, event, place, new, failed=(*state.failed, event.step), phase=phase)


def _interrupted(state: State, event: StepInterrupted, place: int, old: StepState) -> State:
    if event.why == "withdrawn":
        new = replace(old, status="pending", ended_at=event.at)
    else:
        deaths = old.deaths + (old.taken is not None) if event.why == "runner_died" else 0
        new = replace(old, status="interrupted", interrupted=event.why, ended_at=event.at, deaths=deaths)
    return _set(state, event, place, new)


def _skipped(state: State, event: StepSkipped, place: int, old: StepState) -> State:
    new = replace(old, status="skipped", skipped=event.why, ended_at=event.at)
    return _settle(state, event, place, new, phase=state.graph.group[place])


def _handover(state: State, event: StepHandedOver | StepTaken | StepReported, place: int, old: StepState) -> State:
    new = folded(old, event)
    if new is None:
        return _passed(state, event)
    if isinstance(event, StepHandedOver):
        return _set(state, event, place, new, phase=state.graph.group[place])
    return _set(state, event, place, new)


def _call(state: State, event: SleepStarted | SleepCompleted | ApprovalRequested, place: int, old: StepState) -> State:
    match event:
        case SleepStarted():
            call = Call("sleep", event.at, event.until, event.seconds)
            new = replace(old, status="sleeping", interrupted=None, calls=(*old.calls, call))
        case SleepCompleted():
            if not old.calls:
                return _passed(state, event)
            slept = (*old.calls[:-1], replace(old.calls[-1], result="slept"))
            new = replace(old, status="running", host=state.host, calls=slept, handed=None, taken=None, reported=None)
        case ApprovalRequested():
            call = Call("approval", event.at, event.expires_at, event.seconds, event)
            new = replace(old, status="waiting_for_approval", interrupted=None, calls=(*old.calls, call))
        case _:
            assert_never(event)
    return _set(state, event, place, new)


def _answer(
    state: State, event: ApprovalGranted | ApprovalRejected | ApprovalTimedOut, place: int, old: StepState
) -> State:
    if old.status != "waiting_for_approval":
        return _passed(state, event)
    calls = (*old.calls[:-1], answered(old.calls[-1], event))
    return _set(state, event, place, replace(old, status="answered", calls=calls))
