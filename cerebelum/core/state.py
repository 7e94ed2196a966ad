"""What the events of an execution add up to. `evolve` is the only place where an event gets its meaning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, assert_never

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
    Environment,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionPaused,
    ExecutionResumed,
    ExecutionStarted,
    LockAcquired,
    LockAwaited,
    PauseRequested,
    Queued,
    SleepCompleted,
    SleepStarted,
    StepCompleted,
    StepError,
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
from cerebelum.core.model import Concurrency, Group, Source, Workflow
from cerebelum.core.order import order, settled
from cerebelum.core.resuming import taken_up
from cerebelum.core.runs import Runs, joined, without
from cerebelum.core.status import Status
from cerebelum.core.step_state import BUSY, Call, Steps, StepState, answered, refused

__all__ = ["Call", "State", "StepState", "evolve", "reconstruct", "refused", "status"]

replace = msgspec.structs.replace

_NEW = ("pending", "interrupted")
"""What a step is at that may be started when what it needs is settled."""
_PENDING = StepState()


class State(msgspec.Struct, frozen=True):
    """An execution at one version of its log."""

    execution_id: str
    version: int
    workflow: Workflow
    graph: Graph
    source: Source
    inputs: dict[str, Any]
    environment: Environment
    steps: Steps
    started_at: datetime
    updated_at: datetime
    waits: Chunks[int]
    """By position: how many of a step's needs are not settled."""
    ready: Runs
    """Positions of steps that may start as far as their needs go."""
    done: int
    """How many steps of the main graph are settled."""
    active: Active
    """Steps that are running, answered, retrying, sleeping, or waiting for approval."""
    host: str | None = None
    """Where the present segment runs; None if the log does not say."""
    failed: tuple[str, ...] = ()
    """Steps whose failure is final in this segment, handlers included."""
    phase: Group = "steps"
    segment_at: datetime | None = None
    """When the present segment (a run or a resume) began."""
    ended: Literal["completed", "failed", "cancelled"] | None = None
    paused: ExecutionPaused | None = None
    pausing: PauseRequested | None = None
    """A request to pause that has not been met yet."""
    cancel: CancelRequested | None = None
    output: Any = None
    error: StepError | None = None
    tags: tuple[str, ...] = ()
    correlation_id: str | None = None
    parent: str | None = None
    queue: Queued | None = None
    """The queue that it was submitted to."""
    queued: bool = False
    """Nobody has taken it from there yet."""
    ended_at: datetime | None = None
    resumes: int = 0
    resurrections: int = 0
    """Resumes after a runner's death in a row, without a completed step in between."""
    concurrency: Concurrency | None = None
    awaiting_lock: datetime | None = None
    """Since when nothing may start because it has not got the lock of its group; None if it has, or needs none."""
    locked_at: datetime | None = None
    """When it got the lock of its group."""
    scheduled_for: datetime | None = None
    """The tick of its schedule that it was started for."""

    def running(self) -> int:
        """How many attempts are going on."""
        return self.active.busy()

    def hosts(self) -> tuple[str, ...]:
        """Every machine that had a part in it, as far as the log says, in the order of the steps."""
        ran = (at.host for at in self.steps.values())
        return tuple(dict.fromkeys(host for host in (self.environment.host, *ran, self.host) if host is not None))

    def main_failed(self) -> tuple[str, ...]:
        """Steps of the main graph whose failure is final."""
        graph = self.graph
        return tuple(s for s in self.failed if s not in graph.position or graph.group_of(s) == "steps")


def status(state: State) -> Status:
    """The one word that `status`, `list` and JSON show."""
    if state.ended is not None:
        return state.ended
    if state.paused is not None:
        return "paused"
    if state.queued:
        return "queued"
    if state.awaiting_lock is not None and not (state.cancel and not state.steps.begun()):
        return "waiting_for_lock"
    kinds = state.active.kinds(state.phase)
    if kinds & {"running", "answered", "reported"} or not kinds:
        return "running"
    if kinds & BUSY:
        return "waiting_for_worker"
    return "waiting_for_approval" if "waiting_for_approval" in kinds else "sleeping"


def reconstruct(execution_id: str, events: Iterable[AnyEvent], since: State | None = None) -> State | None:
    """The state that `events` add up to, from `since` on; None if there are none, nor that."""
    state = None if since is None else _draft(since)
    for event in events:
        state = evolve(state, event, execution_id)
        if isinstance(event, ExecutionStarted | ExecutionResumed):
            state = _draft(state)
    return None if state is None else _final(state)


def _draft(state: State) -> State:
    """The same, whose parts `evolve` changes instead of making others: a state that it has gone on from is spoilt."""
    return replace(state, steps=state.steps.draft(), waits=state.waits.draft(), active=state.active.draft())


def _final(state: State) -> State:
    return replace(state, steps=state.steps.final(), waits=state.waits.final(), active=state.active.final())


def evolve(state: State | None, event: AnyEvent, execution_id: str = "") -> State:
    """The state after `event`. Pure; never refuses an event, since what happened has happened."""
    if state is None:
        if not isinstance(event, ExecutionStarted):
            raise _damaged(f"the log begins with {type(event).__name__}, not with ExecutionStarted", execution_id)
        return _started(event, execution_id)
    match event:
        case StepCompleted():
            return _completed(state, event)
        case StepStarted():
            return _begun(state, event)
        case StepFailed():
            return _failed(state, event)
        case StepInterrupted():
            return _interrupted(state, event)
        case StepSkipped():
            return _skipped(state, event)
        case StepHandedOver() | StepTaken() | StepReported():
            return _handover(state, event)
        case SleepStarted() | SleepCompleted() | ApprovalRequested():
            return _call(state, event)
        case ApprovalGranted() | ApprovalRejected() | ApprovalTimedOut():
            return _answer(state, event)
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


def _set(state: State, event: AnyEvent, place: int, step: StepState, freed: Sequence[int] = (), **fields: Any) -> State:
    """The state with one step replaced, and everything derived from that step's status brought along.

    `freed` are the places of steps that became ready.
    """
    kind, graph, ready = step.status, state.graph, state.ready
    if kind in _NEW:
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
        active=state.active.replaced(graph.steps[place].id, graph.group[place], kind),
        ready=ready,
        **fields,
    )


def _settle(state: State, event: AnyEvent, place: int, step: StepState, **fields: Any) -> State:
    """`_set`, with what follows the step having one need less to wait for."""
    waits = state.waits
    freed = []
    for dependent in state.graph.dependents[place]:
        left = waits[dependent] - 1
        waits = waits.replaced(dependent, left)
        if left == 0 and state.steps.at(dependent).status in _NEW:
            freed.append(dependent)
    done = state.done + (state.graph.group[place] == "steps")
    return _set(state, event, place, step, freed, done=done, waits=waits, **fields)


# A step that a later definition removed: the fact stays in the log and has no bearing any more.


def _begun(state: State, event: StepStarted) -> State:
    place = state.graph.position.get(event.step)
    if place is None:
        return _passed(state, event)
    old = state.steps.at(place)
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


def _completed(state: State, event: StepCompleted) -> State:
    place = state.graph.position.get(event.step)
    if place is None:
        return _passed(state, event)
    new = replace(
        state.steps.at(place),
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


def _failed(state: State, event: StepFailed) -> State:
    place = state.graph.position.get(event.step)
    if place is None:
        return _passed(state, event)
    old = state.steps.at(place)
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


def _interrupted(state: State, event: StepInterrupted) -> State:
    place = state.graph.position.get(event.step)
    if place is None:
        return _passed(state, event)
    old = state.steps.at(place)
    if event.why == "withdrawn":
        new = replace(old, status="pending", ended_at=event.at)
    else:
        deaths = old.deaths + (old.taken is not None) if event.why == "runner_died" else 0
        new = replace(old, status="interrupted", interrupted=event.why, ended_at=event.at, deaths=deaths)
    return _set(state, event, place, new)


def _skipped(state: State, event: StepSkipped) -> State:
    place = state.graph.position.get(event.step)
    if place is None:
        return _passed(state, event)
    new = replace(state.steps.at(place), status="skipped", skipped=event.why, ended_at=event.at)
    return _settle(state, event, place, new, phase=state.graph.group[place])


def _handover(state: State, event: StepHandedOver | StepTaken | StepReported) -> State:
    place = state.graph.position.get(event.step)
    new = None if place is None else folded(state.steps.at(place), event)
    if place is None or new is None:
        return _passed(state, event)
    if isinstance(event, StepHandedOver):
        return _set(state, event, place, new, phase=state.graph.group[place])
    return _set(state, event, place, new)


def _call(state: State, event: SleepStarted | SleepCompleted | ApprovalRequested) -> State:
    place = state.graph.position.get(event.step)
    if place is None:
        return _passed(state, event)
    old = state.steps.at(place)
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


def _answer(state: State, event: ApprovalGranted | ApprovalRejected | ApprovalTimedOut) -> State:
    place = state.graph.position.get(event.step)
    old = None if place is None else state.steps.at(place)
    if place is None or old is None or old.status != "waiting_for_approval":
        return _passed(state, event)
    calls = (*old.calls[:-1], answered(old.calls[-1], event))
    return _set(state, event, place, replace(old, status="answered", calls=calls))
