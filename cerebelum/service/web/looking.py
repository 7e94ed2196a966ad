"""What GET answers: shapes of what is in the store. Each function is called in a thread, and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from cerebelum import render
from cerebelum.core.events import Entry
from cerebelum.core.model import GROUPS
from cerebelum.core.status import GOING_ON
from cerebelum.render.timeline import timeline as over_time
from cerebelum.sdk.statuses import COUNT_TO, wanted
from cerebelum.service.operations import Again, Operations
from cerebelum.service.web.asked import EventsFrom, OutputFrom, When, Which, moment, since
from cerebelum.store import Chunk, Query, lookup

if TYPE_CHECKING:
    from cerebelum.render import contract, pool_contract
    from cerebelum.sdk.verbs import Verbs
    from cerebelum.service.web.contract import (
        Graph,
        OutputAfter,
        Service,
        Span,
        Timeline,
        WorkflowOfStore,
        WorkflowsOfStore,
    )
    from cerebelum.store.lookup import View

_PAGE_CHUNKS = 100
_MOST_BYTES = 1 << 20
"""Of output, or events, in one answer, and a page (or an event) more."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was let in and read."""

    operations: Operations
    execution_id: str = ""
    """As it is in the address: it may be a prefix, or `last`."""
    query: Any = None
    body: Any = None
    by: str
    """In whose name something is done."""
    owner: str | None = None
    """Whom the token was given to."""
    needs_token: bool = False


class Encoded(msgspec.Struct, frozen=True):
    """An answer that is JSON already."""

    body: bytes


def service(verbs: Verbs, call: Call) -> Service:
    """What the page begins with."""
    from cerebelum import __version__

    return {
        "version": __version__,
        "read_only": call.operations.read_only,
        "authenticated_as": call.owner,
        "needs_token": call.needs_token,
        "store": verbs.store.describe().where,
        "workflows": call.operations.workflows.names(),
    }


def workflows(verbs: Verbs, call: Call) -> WorkflowsOfStore:
    """Those of the store, and those that may be started."""
    startable = set(call.operations.workflows.names())
    found: dict[str, WorkflowOfStore] = {
        name: {"name": name, "executions": 0, "last_started_at": None, "startable": True} for name in startable
    }
    for known in verbs.store.workflows():
        found[known.workflow] = {
            "name": known.workflow,
            "executions": known.executions,
            "last_started_at": known.last,
            "startable": known.workflow in startable,
        }
    return {"workflows": [found[name] for name in sorted(found)]}


def pool(verbs: Verbs, call: Call) -> pool_contract.Pool:
    """Queues and workers."""
    from cerebelum.render.pool import pool_shape
    from cerebelum.sdk.pool import overview

    return pool_shape(overview(verbs))


def executions(verbs: Verbs, call: Call) -> contract.List:
    """A page of executions, newest first. Raises UsageError."""
    which: Which = call.query
    query = Query(
        workflow=which.workflow,
        status=wanted([name for name in which.status if name]),
        tag=tuple(which.tag),
        since=None if which.since is None else since(which.since, datetime.now(UTC)),
        id_prefix=which.id_prefix,
        limit=which.limit,
        offset=which.offset,
        count_to=COUNT_TO + 1,
    )
    return render.listing(verbs.list(query), query)


def status(verbs: Verbs, call: Call) -> contract.Status:
    """How an execution stands, or stood."""
    return render.status_shape(_view(verbs, call))


def graph(verbs: Verbs, call: Call) -> Graph:
    """Its steps, and what they follow."""
    workflow = verbs.status(call.execution_id).state.workflow
    return {
        "steps": [
            {
                "id": step.id,
                "group": group,
                "executor": step.executor,
                "description": step.description,
                "needs": step.needs,
                "when": step.when,
            }
            for group in GROUPS
            for step in workflow.group(group)
        ]
    }


def timeline(verbs: Verbs, call: Call) -> Timeline:
    """What its steps did when."""
    view = _view(verbs, call)
    name, version = view.state.execution_id, view.state.version
    events = [event for event in verbs.history(name) if event.version <= version]
    now = verbs.clock.now() if call.query.at is None else view.state.updated_at
    line = over_time(view, events, now)
    spans: list[Span] = [
        {
            "step": track.step,
            "kind": span.kind,
            "attempt": span.attempt,
            "begin": span.begin,
            "end": span.end,
            "note": span.said or None,
        }
        for track in line.tracks
        for span in track.spans
    ]
    return {"began": line.begin, "end": line.end, "going_on": view.status in GOING_ON, "spans": spans}


def _view(verbs: Verbs, call: Call) -> View:
    when: When = call.query
    return verbs.status(call.execution_id, None if when.at is None else moment(when.at))


def events(verbs: Verbs, call: Call) -> Encoded:
    """Its events after a version: they are in the store as they are printed."""
    wanted_: EventsFrom = call.query
    name = verbs.resolve(call.execution_id)
    entries = verbs.store.read_page(name, wanted_.after, size=_MOST_BYTES)[: wanted_.limit]
    version = entries[-1].version if entries else wanted_.after
    has_more = b"true" if version < lookup.present(verbs.store, name).summary.version else b"false"
    lines = b",".join(event_lines(name, entries))
    return Encoded(b'{"events":[%s],"version":%d,"has_more":%s}' % (lines, version, has_more))


def event_lines(name: str, entries: Sequence[Entry]) -> list[bytes]:
    """Events as `history --json` prints them."""
    return [render.event_line(name, entry.text.encode(), entry.digest) for entry in entries]


def logs(verbs: Verbs, call: Call) -> OutputAfter:
    """Output of its steps after a position. Raises NotFound, also for a step or an attempt that is not there."""
    asked: OutputFrom = call.query
    name = verbs.resolve(call.execution_id)
    if asked.step is not None or asked.attempt is not None:
        lookup.check_attempt(lookup.read(verbs.store, name).state, asked.step, asked.attempt)
    found: list[Chunk] = []
    position, size = asked.after, 0
    while len(found) < asked.limit and size < _MOST_BYTES:
        limit = min(_PAGE_CHUNKS, asked.limit - len(found))
        page = verbs.store.read_log(name, step=asked.step, attempt=asked.attempt, after=position, limit=limit)
        found += page.chunks
        position, size = page.position, size + sum(len(chunk.data) for chunk in page.chunks)
        if len(page.chunks) < limit:
            break
    return output_shape(found, position)


def output_shape(chunks: Sequence[Chunk], position: int) -> OutputAfter:
    """Output, and where it goes on."""
    return {"lines": [render.log_line(chunk) for chunk in chunks], "position": position}


def plan(verbs: Verbs, call: Call) -> contract.Plan:
    """What a resume would do to each step."""
    return plan_of(verbs, call.execution_id, call.query)


def plan_of(verbs: Verbs, execution_id: str, how: Again) -> contract.Plan:
    """The same, for a resume or fork that was asked for."""
    choice: Mapping[str, Any] = {"from_step": how.from_step, "anew": not how.skip_completed_steps}
    return render.plan_shape(
        verbs.plan(execution_id, accept_changes=how.accept_changes, recorded=how.recorded, **choice)
    )
