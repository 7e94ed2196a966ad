"""Which steps may start as far as their needs go."""

from __future__ import annotations

from cerebelum.core import runs
from cerebelum.core.chunks import Chunks
from cerebelum.core.graph import Graph
from cerebelum.core.step_state import Steps, StepState


def settled(graph: Graph, step_id: str, step: StepState) -> bool:
    """Whether what needs this step may go on."""
    return step.status in ("completed", "skipped") or (
        step.status == "failed" and (step.diverted is not None or graph.step(step_id).continue_on_error)
    )


def order(graph: Graph, steps: Steps) -> tuple[Chunks[int], runs.Runs, int]:
    """`waits`, `ready` and `done` worked out from nothing."""
    settled_ids = {s for s, st in steps.items() if settled(graph, s, st)}
    waits = tuple(sum(1 for need in step.needs if need not in settled_ids) for step in graph.steps)
    ready = runs.of(
        p for p, step in enumerate(graph.steps) if waits[p] == 0 and steps[step.id].status in ("pending", "interrupted")
    )
    low, high = graph.bounds["steps"]
    return Chunks.of(waits), ready, sum(1 for step in graph.steps[low:high] if step.id in settled_ids)
