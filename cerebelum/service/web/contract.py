"""What only HTTP answers with, as types; everything else are shapes of `cerebelum.render.contract`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NotRequired, TypedDict

from cerebelum.core.error_facts import ErrorFacts
from cerebelum.core.events import AnyEvent
from cerebelum.core.model import Group
from cerebelum.core.status import Status as ExecutionStatus
from cerebelum.render.contract import LogLine, Plan
from cerebelum.render.timeline import Kind as SpanKind
from cerebelum.store.contract import ChangeKind


class Health(TypedDict):
    """That the store can be reached."""

    ok: bool


class Service(TypedDict):
    """The service, and who it takes the asker for."""

    version: str
    read_only: bool
    authenticated_as: str | None
    needs_token: bool
    store: str
    workflows: Sequence[str]


class WorkflowOfStore(TypedDict):
    """A workflow that has executions, or may be started here."""

    name: str
    executions: int
    last_started_at: datetime | None
    startable: bool


class WorkflowsOfStore(TypedDict):
    """All of them, by name."""

    workflows: Sequence[WorkflowOfStore]


class GraphStep(TypedDict):
    """A step, and what it follows."""

    id: str
    group: Group
    executor: str
    description: str | None
    needs: Sequence[str]
    when: str | bool | None


class Graph(TypedDict):
    """The steps of an execution: the main graph, then the handlers."""

    steps: Sequence[GraphStep]


class Span(TypedDict):
    """A stretch of time in which a step did one thing."""

    step: str
    kind: SpanKind
    attempt: int
    begin: datetime
    end: datetime
    note: str | None


class Timeline(TypedDict):
    """An execution over time."""

    began: datetime
    end: datetime
    going_on: bool
    spans: Sequence[Span]


class EventsAfter(TypedDict):
    """Events as `history --json` prints them; `version` is `after` of the next call.

    There are fewer than `limit`, although more follow, where they are large.
    """

    events: Sequence[AnyEvent]
    version: int
    has_more: bool


class OutputAfter(TypedDict):
    """Output of steps; `position` is `after` of the next call. Data of the stream's `output`."""

    lines: Sequence[LogLine]
    position: int


class StandingChanged(TypedDict):
    """Data of the stream's `status` and `end`: how the execution is shown now."""

    status: ExecutionStatus
    reason: str | None


class ChangeTold(TypedDict):
    """Data of the stream of all executions; without an id, anything may have changed."""

    execution_id: str | None
    kind: ChangeKind


class Refusal(TypedDict):
    """Why a request was not met. `plan` is there where completed steps have changed."""

    error: ErrorFacts
    plan: NotRequired[Plan]


ANSWERS: tuple[type, ...] = (
    Health,
    Service,
    WorkflowsOfStore,
    Graph,
    Timeline,
    EventsAfter,
    OutputAfter,
    StandingChanged,
    ChangeTold,
    Refusal,
)
