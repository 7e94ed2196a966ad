"""What a resume would do to each step, by comparing the recorded definition with the one at hand."""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterable, Sequence
from typing import Literal

import msgspec

from cerebelum.core.elsewhere import Elsewhere, left_elsewhere
from cerebelum.core.errors import DefinitionChanged, UsageError
from cerebelum.core.graph import Graph
from cerebelum.core.model import Step, Workflow
from cerebelum.core.order import settled
from cerebelum.core.phases import unfinished
from cerebelum.core.state import State, StepState

Action = Literal["KEEP", "RERUN", "CHANGED", "NEW", "REMOVED"]


class Row(msgspec.Struct, frozen=True):
    """One step's fate."""

    step: str
    action: Action
    why: str


class Plan(msgspec.Struct, frozen=True):
    """All steps' fates, and what they add up to."""

    execution_id: str
    rows: tuple[Row, ...]
    changed: bool
    """Whether the definition differs from the recorded one."""
    blocked: tuple[str, ...]
    """Completed steps that changed and need a decision."""
    accepted: tuple[str, ...]
    """Completed steps that changed, whose old outputs are kept because the operator said so."""
    rerun: tuple[str, ...]
    """Settled steps that run again."""
    handlers_ran: tuple[str, ...]
    """Handlers that completed in the last segment."""
    continues_handlers: bool
    """The interruption was inside handlers: those go on, then the execution ends."""
    elsewhere: tuple[Elsewhere, ...] = ()
    """Completed steps that are kept and ran on other machines, by machine; none where the workflow is portable."""

    def refusal(self) -> DefinitionChanged:
        """The error for a resume that needs a decision."""
        steps = ", ".join(self.blocked)
        return DefinitionChanged(
            f"completed steps have changed: {steps}",
            where=self.execution_id,
            hint=f"keep their old outputs with --accept-changes, or run them again with --from {self.blocked[0]}",
        )


def make_plan(
    state: State,
    now: Workflow,
    *,
    from_step: str | None = None,
    anew: bool = False,
    accept_changes: bool = False,
    here: str | None = None,
    leaving_nothing: Container[str] = (),
) -> Plan:
    """Compare `state` with the definition `now`. Raises UsageError if `from_step` is no step of the main graph.

    `from_step`: it runs again, with what follows from it; `anew`: every step of the main graph does.
    `here` is the machine it goes on on, `leaving_nothing` are executors whose steps leave no files behind.
    """
    graph = Graph.of(now)
    if from_step is not None:
        _check_from(graph, from_step)
    low, high = graph.bounds["steps"]
    first = [s.id for s in graph.steps[low:high]] if anew else [] if from_step is None else [from_step]
    continues = not first and _goes_on_in_handlers(state, graph)
    again = {} if continues else _again(state, graph, first, _undone(state, graph))
    rows = [_row(state, graph, step, again, accept_changes) for step in graph.steps[low:high]]
    rows += [
        Row(s, "REMOVED", "no longer in the definition")
        for s in state.steps
        if state.graph.group_of(s) == "steps" and (s not in graph.position or graph.group_of(s) != "steps")
    ]
    changed = tuple(r.step for r in rows if r.action == "CHANGED")
    rerun = tuple(s.id for s in graph.steps if s.id in again)
    # A new segment begins with handlers that have not run.
    runs = (*rerun, *(s for s in state.steps if not continues and state.graph.group_of(s) != "steps"))
    return Plan(
        execution_id=state.execution_id,
        rows=tuple(rows),
        changed=now != state.workflow,
        blocked=() if accept_changes else changed,
        accepted=changed if accept_changes else (),
        rerun=rerun,
        handlers_ran=_handlers_ran(state),
        continues_handlers=continues,
        elsewhere=() if here is None else left_elsewhere(state, now, here, leaving_nothing, runs),
    )


def continues_handlers(state: State) -> bool:
    """Whether the segment was cut off inside handlers (or on its way to cancelled), and has to be finished first."""
    return state.ended is None and (state.phase != "steps" or state.cancel is not None)


def _goes_on_in_handlers(state: State, graph: Graph) -> bool:
    if not continues_handlers(state) or state.cancel or state.main_failed() or unfinished(state):
        return continues_handlers(state)
    # All went well so far. Where the definition now has more to do, the handlers of the success have to wait for that.
    low, high = graph.bounds["steps"]
    again = _again(state, graph, [], [])
    stands = [s.id in state.steps and settled(s, state.steps[s.id]) for s in graph.steps[low:high]]
    return all(stands) and not any(graph.group_of(s) == "steps" for s in again)


def _check_from(graph: Graph, from_step: str) -> None:
    low, high = graph.bounds["steps"]
    names = [s.id for s in graph.steps[low:high]]
    if from_step not in names:
        near = difflib.get_close_matches(from_step, names, 1)
        hint = f"did you mean {near[0]}?" if near else "the steps are " + ", ".join(names[:20])
        raise UsageError(f"there is no step {from_step!r} to resume from", hint=hint)


def _undone(state: State, graph: Graph) -> list[str]:
    """Steps whose effect a handler took back."""
    undone = []
    for step in state.graph.steps:
        if step.undoes and state.steps[step.id].status == "completed":
            undone += [s for s in step.undoes if s in graph.position]
    return undone


def _handlers_ran(state: State) -> tuple[str, ...]:
    low = state.graph.bounds["steps"][1]
    return tuple(s.id for s in state.graph.steps[low:] if state.steps[s.id].status == "completed")


def _again(state: State, graph: Graph, first: Sequence[str], undone: Iterable[str]) -> dict[str, str]:
    """Settled steps that run again, each with the reason."""
    again: dict[str, str] = {}

    def mark(step_ids: Iterable[str], why: str) -> None:
        for step_id in step_ids:
            at = state.steps.get(step_id)
            if at is not None and (settled(state.graph.step(step_id), at) or at.status != "pending"):
                again.setdefault(step_id, why)

    if first:
        mark(graph.downstream(first), f"from {first[0]}")
    if undone:
        mark(graph.downstream(undone), "its effect was undone by a handler")
    for step in graph.steps:
        at, old = state.steps.get(step.id), _old(state, step.id)
        if at is None or old is None:
            continue
        if graph.group_of(step.id) != state.graph.group_of(step.id):
            mark([step.id], "moved between steps and handlers")
        elif at.status == "skipped" and _conditions(old) != _conditions(step):
            mark([step.id], _AGAIN)
        elif at.status == "failed" and settled(old, at) and old.digest != step.digest:
            mark([step.id], "failed, and its definition changed")
    _mark_skipped_with(state, graph, again)
    return again


_AGAIN = "was skipped; looked at again"


def _conditions(step: Step) -> tuple[object, ...]:
    """What a step's being skipped hung on, and what it would do otherwise."""
    return step.digest, step.when, step.needs, step.explicit_needs


def _mark_skipped_with(state: State, graph: Graph, again: dict[str, str]) -> None:
    """Look again at steps that were skipped because what they need was, where that is looked at again."""
    todo = list(again)
    while todo:
        for position in graph.dependents[graph.position[todo.pop()]]:
            step_id = graph.steps[position].id
            at = state.steps.get(step_id)
            if at is not None and at.skipped == "dependency" and step_id not in again:
                again[step_id] = _AGAIN
                todo.append(step_id)


def _old(state: State, step_id: str) -> Step | None:
    return state.graph.step(step_id) if step_id in state.graph.position else None


def _row(state: State, graph: Graph, step: Step, again: dict[str, str], accept: bool) -> Row:
    at = state.steps.get(step.id)
    if at is None:
        return Row(step.id, "NEW", "not in the recorded definition")
    if step.id in again:
        return Row(step.id, "RERUN", again[step.id])
    old = state.graph.step(step.id)
    changed = old.digest != step.digest
    if at.status == "completed" and changed:
        kept = "the old output is kept" if accept else "completed, and its definition has changed since"
        return Row(step.id, "CHANGED", kept)
    if settled(old, at) and settled(step, at):
        return Row(step.id, "KEEP", _kept(at))
    return Row(step.id, "RERUN", _rerun(at, changed))


def _kept(at: StepState) -> str:
    if at.status == "completed":
        return "completed"
    if at.status == "skipped":
        return f"skipped ({at.skipped})"
    return "failed, with continue_on_error" if at.diverted is None else f"failed, which led to {at.diverted}"


def _rerun(at: StepState, changed: bool) -> str:
    match at.status:
        case "pending":
            why = "not reached yet" if at.attempt == 0 else f"attempt {at.attempt} did not complete"
        case "running":
            why = f"attempt {at.attempt} was interrupted"
        case "waiting_for_worker" | "on_worker" | "reported":
            where = f" on {at.host}" if at.host else ""
            why = f"attempt {at.attempt} is given up" if changed else f"{at.status.replace('_', ' ')}{where}: goes on"
        case "sleeping" | "waiting_for_approval" if changed:
            why = f"{at.status.replace('_', ' ')}: begins anew"
        case "sleeping" | "waiting_for_approval" | "retrying":
            why = f"{at.status.replace('_', ' ')}: goes on waiting"
        case _:
            why = f"attempt {at.attempt} {at.status}"
    return f"{why}, definition changed" if changed else why
