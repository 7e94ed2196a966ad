"""What each event means: `evolve` is the only place where it gets that meaning, and says what it makes of a state.

What it means for a step is in `step_fold`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, assert_never, get_args

import msgspec

from cerebelum.core.active import ACTIVE, Active
from cerebelum.core.errors import StoreError
from cerebelum.core.events import (
    AnyEvent,
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
    StepCompleted,
    StepEvent,
    StepFailed,
    StepHandedOver,
    StepSkipped,
    StepStarted,
)
from cerebelum.core.graph import Graph
from cerebelum.core.order import order, settled
from cerebelum.core.resuming import taken_up
from cerebelum.core.runs import joined, without
from cerebelum.core.state import State
from cerebelum.core.step_fold import step_after
from cerebelum.core.step_state import NEW, Steps, StepState, StepStatus

if TYPE_CHECKING:
    from typing_extensions import TypeIs

replace = msgspec.structs.replace

_PENDING = StepState()
_OF_STEPS = frozenset(get_args(StepEvent))
_ANEW = (ExecutionStarted, ExecutionResumed)
"""What makes all of a state anew."""
_NOTHING: dict[str, Any] = {}


def reconstruct(
    execution_id: str, events: Iterable[AnyEvent], since: State | None = None, *, few: int = 64
) -> State | None:
    """The state that `events` add up to, from `since` on; None if there are none, nor that.

    So many as `few` events are sooner folded one by one than a draft is made and worked out.
    """
    state, draft, count = since, None, 0
    for event in events:
        if draft is not None:
            if draft.took(event):
                continue
            state, draft, count = draft.worked_out(), None, 0
        state = evolve(state, event, execution_id)
        count += 1
        if count > few:
            draft = _Draft(state)
    return state if draft is None else draft.worked_out()


class _Draft:
    """A state to which much is added: what follows from where all steps stand is worked out once, at the end."""

    def __init__(self, state: State) -> None:
        self._state = state
        """All but what is kept here."""
        self._last: AnyEvent | None = None
        self._steps = [*state.steps.in_order()]
        self._active: dict[str, StepStatus] = {**state.active}

    def took(self, event: AnyEvent) -> bool:
        """Add an event; False, and nothing is added, for one that makes all anew."""
        if not _is_of_step(event):
            if isinstance(event, _ANEW):
                return False
            self._last, self._state = event, evolve(self._state, event)
            return True
        self._last, state = event, self._state
        place = state.graph.position.get(event.step)
        if place is None:
            return True
        old = self._steps[place]
        new = self._steps[place] = step_after(old, event, state.host)
        if new.status in ACTIVE:
            self._active[event.step] = new.status
        else:
            self._active.pop(event.step, None)
        if fields := _bearing(state, event, place, old, new):
            self._state = replace(state, **fields)
        return True

    def worked_out(self) -> State:
        """The state after all that was added."""
        state, last = self._state, self._last
        graph = state.graph
        steps = Steps.of(graph.position, self._steps)
        waits, ready, done = order(graph, steps)
        return replace(
            state,
            version=state.version if last is None else last.version,
            updated_at=state.updated_at if last is None else last.at,
            steps=steps,
            waits=waits,
            ready=ready,
            done=done,
            active=Active.of((step, graph.group_of(step), kind) for step, kind in self._active.items()),
        )


def _is_of_step(event: AnyEvent) -> TypeIs[StepEvent]:
    return type(event) in _OF_STEPS


def evolve(state: State | None, event: AnyEvent, execution_id: str = "") -> State:
    """The state after `event`. Pure; never refuses an event, since what happened has happened."""
    if state is None:
        if not isinstance(event, ExecutionStarted):
            raise _damaged(f"the log begins with {type(event).__name__}, not with ExecutionStarted", execution_id)
        return _started(event, execution_id)
    if _is_of_step(event):
        return _of_step(state, event)
    match event:
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


def _of_step(state: State, event: StepEvent) -> State:
    """What an event means for its step, and for all that is derived from where the steps stand."""
    graph = state.graph
    place = graph.position.get(event.step)
    if place is None:
        # A later definition removed the step: the fact stays in the log and has no bearing any more.
        return _passed(state, event)
    old = state.steps.at(place)
    new = step_after(old, event, state.host)
    if new is old:
        return _passed(state, event)
    step, group, kind = graph.steps[place], graph.group[place], new.status
    waits, ready, done = state.waits, state.ready, state.done
    freed = []
    if settled(step, new) and not settled(step, old):
        done += group == "steps"
        for dependent in graph.dependents[place]:
            left = waits[dependent] - 1
            waits = waits.replaced(dependent, left)
            if left == 0 and state.steps.at(dependent).status in NEW:
                freed.append(dependent)
    if kind in NEW:
        if waits[place] == 0:
            freed.append(place)
    elif ready:
        ready = without(ready, place)
    for each in freed:
        ready = joined(ready, each)
    return replace(
        state,
        version=event.version,
        updated_at=event.at,
        steps=state.steps.replaced(place, new),
        waits=waits,
        ready=ready,
        done=done,
        active=state.active.replaced(event.step, group, kind),
        **_bearing(state, event, place, old, new),
    )


def _bearing(state: State, event: StepEvent, place: int, old: StepState, new: StepState) -> dict[str, Any]:
    """The fields of a state that an event of a step changes besides: whose turn it is, and how it goes on the whole."""
    match event:
        case StepCompleted():
            return {"resurrections": 0} if state.resurrections else _NOTHING
        case StepStarted() | StepSkipped() | StepHandedOver():
            turn = state.graph.group[place]
            return {"phase": turn} if turn != state.phase else _NOTHING
        case StepFailed() if new.status == "failed" and not settled(state.graph.steps[place], new):
            # A step that could not even start brings its group's turn, as its start would have.
            phase = state.phase if event.attempt == old.attempt else state.graph.group[place]
            return {"failed": (*state.failed, event.step), "phase": phase}
        case _:
            return _NOTHING
