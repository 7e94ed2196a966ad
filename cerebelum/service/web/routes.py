"""Every address of the API: what may be said to it, what it answers, and who does that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from cerebelum.render import contract as shapes
from cerebelum.render.pool_contract import Pool
from cerebelum.sdk.verbs import Verbs
from cerebelum.service.operations import Again
from cerebelum.service.tails import Tails
from cerebelum.service.web import acting, asked, contract, looking
from cerebelum.service.web.looking import Call

Look = Callable[[Verbs, Call], Any]
Act = Callable[[Tails, Call], Awaitable[Any]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one address. `look`, `act`, or else something special is done."""

    method: str
    path: str
    about: str
    answer: type[Any] | str
    """The type of the answer's JSON, or its content type."""
    query: type[msgspec.Struct] = asked.Nothing
    body: type[msgspec.Struct] | None = None
    code: int = 200
    look: Look | None = None
    act: Act | None = None
    is_open: bool = False
    """Whether it is answered without a token."""


_API = "/api/v1"
_ONE = f"{_API}/executions/{{id}}"

STREAM = f"{_ONE}/stream"
STREAM_OF_ALL = f"{_API}/stream"
METRICS = "/metrics"
HEALTH = "/healthz"
OPENAPI = "/openapi.json"


def _get(path: str, about: str, answer: type[Any], look: Look, **more: Any) -> Route:
    return Route(method="GET", path=path, about=about, answer=answer, look=look, **more)


def _post(path: str, about: str, answer: type[Any], act: Act, body: type[msgspec.Struct], code: int = 200) -> Route:
    return Route(method="POST", path=path, about=about, answer=answer, act=act, body=body, code=code)


ROUTES: tuple[Route, ...] = (
    _get(f"{_API}/service", "The service, and who you are to it.", contract.Service, looking.service),
    _get(f"{_API}/workflows", "Workflows.", contract.WorkflowsOfStore, looking.workflows),
    _get(f"{_API}/pool", "Queues and workers.", Pool, looking.pool),
    _get(f"{_API}/executions", "Executions, newest first.", shapes.List, looking.executions, query=asked.Which),
    _post(f"{_API}/executions", "Start a workflow.", shapes.Detached, acting.start, asked.Started, 201),
    _get(_ONE, "How an execution stands, or stood.", shapes.Status, looking.status, query=asked.When),
    _get(f"{_ONE}/graph", "Its steps, and what they follow.", contract.Graph, looking.graph),
    _get(f"{_ONE}/timeline", "What its steps did when.", contract.Timeline, looking.timeline, query=asked.When),
    _get(f"{_ONE}/events", "Its events.", contract.EventsAfter, looking.events, query=asked.EventsFrom),
    _get(f"{_ONE}/logs", "What its steps printed.", contract.OutputAfter, looking.logs, query=asked.OutputFrom),
    _get(f"{_ONE}/plan", "What a resume would do.", shapes.Plan, looking.plan, query=Again),
    _post(f"{_ONE}/resume", "Go on with it.", shapes.Detached, acting.resume, Again, 202),
    _post(f"{_ONE}/fork", "Start anew in its middle.", shapes.Detached, acting.fork, asked.Forked, 201),
    _post(f"{_ONE}/cancel", "Cancel it.", shapes.Status, acting.cancel, asked.Reasoned),
    _post(f"{_ONE}/pause", "Have it paused.", shapes.Status, acting.pause, asked.Reasoned),
    _post(f"{_ONE}/approve", "Grant what it waits for.", shapes.Status, acting.approve, asked.Approved),
    _post(f"{_ONE}/reject", "Refuse what it waits for.", shapes.Status, acting.reject, asked.Rejected),
    Route(
        method="GET",
        path=STREAM,
        about="What happens in it: `event`, `output`, `status`, and `end` when it does not go on.",
        answer="text/event-stream",
        query=asked.Streamed,
    ),
    Route(method="GET", path=STREAM_OF_ALL, about="What changes anywhere: `change`.", answer="text/event-stream"),
    Route(method="GET", path=HEALTH, about="Whether the store can be reached.", answer=contract.Health, is_open=True),
    Route(method="GET", path=METRICS, about="For Prometheus.", answer="text/plain"),
    Route(method="GET", path=OPENAPI, about="This.", answer="application/json", is_open=True),
)
