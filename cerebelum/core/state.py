"""Where an execution stands at one version of its log: what its events add up to."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from cerebelum.core.active import Active
from cerebelum.core.chunks import Chunks
from cerebelum.core.events import (
    CancelRequested,
    Environment,
    ExecutionPaused,
    PauseRequested,
    Queued,
    StepError,
)
from cerebelum.core.graph import Graph
from cerebelum.core.model import Concurrency, Group, Source, Workflow
from cerebelum.core.runs import Runs
from cerebelum.core.status import Status
from cerebelum.core.step_state import BUSY, Call, Steps, StepState, refused

__all__ = ["Call", "State", "StepState", "refused", "status"]


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
