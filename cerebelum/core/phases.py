"""Which group of steps has its turn, and what may still happen in it, after failures, a cancellation, a time limit.

`late` says, throughout, that the workflow's own time limit has passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Literal

from cerebelum.core import runs
from cerebelum.core.events import StepError
from cerebelum.core.model import Group
from cerebelum.core.state import State
from cerebelum.core.step_state import BUSY, StepStatus

_HANDLERS: dict[str, Group] = {"completed": "on_success", "failed": "on_failure", "cancelled": "on_cancel"}
CANCELLABLE: tuple[Group, ...] = ("steps", "on_failure", "on_success")
"""Groups that a cancellation cuts off; the others are what it leads to."""
_FINISHING = BUSY | {"retrying"}
"""What comes to its end even after a failure that is final."""


def outcome(state: State, late: bool) -> Literal["completed", "failed", "cancelled"]:
    """How the segment ends, as far as is known now."""
    if state.cancel:
        return "cancelled"
    # If handlers have their turn before the main graph is finished, it was cut off, whatever the clock says now.
    short = unfinished(state) and (late or state.phase != "steps")
    return "failed" if short or state.main_failed() else "completed"


def unfinished(state: State) -> bool:
    """Whether the main graph has steps that are not settled."""
    low, high = state.graph.bounds["steps"]
    return state.done < high - low


def overtime(state: State) -> StepError:
    """Why an execution failed that was cut off by its workflow's own time limit."""
    limit = state.workflow.timeout
    # The limit may have been taken out of the definition since.
    text = "the workflow's time limit cut it off" if limit is None else f"the workflow took longer than {limit:g} s"
    return StepError("timeout", text)


def turn_of(state: State, late: bool) -> Group | None:
    """The group whose turn it is; None when all that had to run is over."""
    if state.phase == "steps" and not over(state, "steps", late):
        # Which handlers come next does not matter yet.
        return "steps"
    handlers = _HANDLERS[outcome(state, late)]
    order: tuple[Group, ...] = ("steps", handlers, "finally")
    current = state.phase
    if current not in order:
        # A cancellation came while other handlers ran: they are wound down, then the ones for cancelling follow.
        if not over(state, current, late):
            return current
        current = handlers
    for group in order[order.index(current) :]:
        if not over(state, group, late):
            return group
    return None


def over(state: State, group: Group, late: bool) -> bool:
    """Whether nothing is left of this group that has to be waited for."""
    kinds = state.active.kinds(group)
    if not doomed(state, group, late):
        return not kinds and not runs.any_within(state.ready, *state.graph.bounds[group])
    if abandoned(state, group, late):
        return not kinds & BUSY
    return not kinds & _FINISHING and not cut_off(state, group)


def doomed(state: State, group: Group, late: bool) -> bool:
    """Whether nothing new may start in this group; what has begun may finish, unless it is `abandoned`."""
    if not state.failed and state.cancel is None and not late:
        return False
    graph = state.graph
    return abandoned(state, group, late) or any(
        (graph.group_of(s) if s in graph.position else "steps") == group for s in state.failed
    )


def abandoned(state: State, group: Group, late: bool) -> bool:
    """Whether this group is cut off, so that retries and interrupted attempts are not taken up either."""
    if state.cancel is not None and group in CANCELLABLE:
        return True
    return late and group == "steps" and unfinished(state)


def ready(state: State, group: Group) -> Iterator[int]:
    """Positions of the group's steps that may start as far as their needs go."""
    return runs.within(state.ready, *state.graph.bounds[group])


def cut_off(state: State, group: Group) -> list[int]:
    """Those of the group's ready steps whose attempt was interrupted: they had begun, so they come first."""
    steps = state.graph.steps
    return [p for p in ready(state, group) if state.steps[steps[p].id].status == "interrupted"]


def awaited_kinds(state: State) -> AbstractSet[StepStatus]:
    """What active steps of the present group are at that the segment really waits for; others stay until a resume."""
    kinds = state.active.kinds(state.phase)
    if not state.failed and state.cancel is None:
        return kinds
    if abandoned(state, state.phase, late=False):
        return kinds & BUSY
    if doomed(state, state.phase, late=False):
        return kinds & _FINISHING
    return kinds


def awaited(state: State) -> list[str]:
    """Active steps that the segment really waits for."""
    kinds, group_of = awaited_kinds(state), state.graph.group_of
    return [s for s, kind in state.active.items() if kind in kinds and group_of(s) == state.phase]
