"""Which steps may start as far as their needs go."""

from __future__ import annotations

from cerebelum.core import runs
from cerebelum.core.chunks import Chunks
from cerebelum.core.graph import Graph
from cerebelum.core.model import Step
from cerebelum.core.step_state import NEW, Steps, StepState, StepStatus

_DONE: frozenset[StepStatus] = frozenset({"completed", "skipped"})


def settled(step: Step, at: StepState) -> bool:
    """Whether what needs this step may go on."""
    return at.status in _DONE or (at.status == "failed" and (at.diverted is not None or step.continue_on_error))


def order(graph: Graph, steps: Steps) -> tuple[Chunks[int], runs.Runs, int]:
    """`waits`, `ready` and `done` worked out from nothing."""
    standings = [*steps.in_order()]
    every = zip(graph.steps, standings, strict=True)
    # For most of them, their status says it without a call.
    over = {step.id for step, at in every if at.status in _DONE or (at.status == "failed" and settled(step, at))}
    settles = over.issuperset
    waits = [0 if settles(step.needs) else sum([need not in over for need in step.needs]) for step in graph.steps]
    new = (p for p, at in enumerate(standings) if waits[p] == 0 and at.status in NEW)
    low, high = graph.bounds["steps"]
    done = sum(step.id in over for step in graph.steps[low:high]) if over else 0
    return Chunks.of(waits), runs.of(new), done
