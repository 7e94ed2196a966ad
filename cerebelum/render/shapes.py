"""The JSON that `--json` prints. Its shape is a contract (contract.py): keys may be added, none goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cerebelum.core.events import AnyEvent, Environment, StepError
from cerebelum.core.model import GROUPS, Concurrency, Group
from cerebelum.core.state import Call, State, StepState
from cerebelum.core.status import GOING_ON
from cerebelum.render.workers import handed_shape, left_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cerebelum.core.plan import Plan
    from cerebelum.engine.preflight import Checked
    from cerebelum.render import contract
    from cerebelum.store import Chunk, Page, Query, Row
    from cerebelum.store.lookup import View
    from cerebelum.store.pooling import Takers

_encode = msgspec.json.Encoder(order="deterministic").encode


def event_line(execution_id: str, text: bytes | AnyEvent, digest: str | None = None) -> bytes:
    """An event's canonical JSON with the execution's id (and the entry's digest) put in front; no newline."""
    body = text if isinstance(text, bytes) else _encode(text)
    front = {"execution_id": execution_id} if digest is None else {"execution_id": execution_id, "digest": digest}
    return _encode(front)[:-1] + b"," + body[1:]


def status_shape(view: View) -> contract.Status:
    """An execution as `status --json` shows it."""
    state, row = view.state, view.row
    return {
        "execution_id": state.execution_id,
        "workflow": state.workflow.name,
        "status": view.status,
        "reason": view.reason,
        "version": state.version,
        "digest": row.summary.digest,
        "started_at": state.started_at,
        "updated_at": state.updated_at,
        "ended_at": state.ended_at,
        "due_at": row.summary.due_at,
        "inputs": state.inputs,
        "tags": state.tags,
        "correlation_id": state.correlation_id,
        "parent": state.parent,
        "queue": _queue(view),
        "scheduled_for": state.scheduled_for,
        "resumes": state.resumes,
        "source": {"kind": state.source.kind, "path": state.source.path, "digest": state.source.digest},
        "environment": _environment(state.environment),
        "steps_total": row.summary.steps_total,
        "steps_done": row.summary.steps_done,
        "steps": steps_shape(state, view.takers),
        "failed_steps": state.failed,
        "output": state.output,
        "error": _error(state.error),
        "owner": owner_shape(row),
        "concurrency": _limit(view),
    }


def _queue(view: View) -> contract.InQueue | None:
    queue, standing = view.state.queue, view.standing
    if queue is None:
        return None
    return {
        "name": queue.name,
        "priority": queue.priority,
        "not_before": queue.at,
        "workers": None if standing is None else standing.workers,
        "ahead": None if standing is None else standing.ahead,
        "left": left_shape(standing.left if standing else ()),
    }


def steps_shape(state: State, takers: Mapping[str, Takers]) -> list[contract.StepOfStatus]:
    """All steps, the main graph first, then the handlers."""
    return [
        _step(state.steps[step.id], step.id, group, step.executor, step.description, takers.get(step.id))
        for group in GROUPS
        for step in state.workflow.group(group)
    ]


def _step(
    at: StepState, step_id: str, group: Group, executor: str, description: str | None, found: Takers | None
) -> contract.StepOfStatus:
    return {
        "id": step_id,
        "group": group,
        "executor": executor,
        "description": description,
        "status": at.status,
        "attempt": at.attempt,
        "host": at.host,
        "handed_over": handed_shape(at, found),
        "output": at.output,
        "error": _error(at.error),
        "started_at": at.started_at,
        "ended_at": at.ended_at,
        "duration": at.duration,
        "total_duration": at.whole(),
        "diverted": at.diverted,
        "retry_at": at.retry_at,
        "skipped": at.skipped,
        "interrupted": at.interrupted,
        "verified": at.verified,
        "waits": [_call(call) for call in at.calls],
    }


def _call(call: Call) -> contract.Wait:
    return {
        "kind": call.kind,
        "since": call.at,
        "due_at": call.due_at,
        "message": call.request.message if call.request else None,
        "data": call.request.data if call.request else None,
        "result": call.result,
        "by": call.by,
        "comment": call.comment,
        "response": call.response,
    }


def _error(error: StepError | None) -> contract.Failure | None:
    if error is None:
        return None
    return {
        "kind": error.kind,
        "message": error.message,
        "exit_code": error.exit_code,
        "traceback": error.traceback,
        "tail": error.tail,
    }


def _environment(at: Environment) -> contract.Surroundings:
    return {
        "host": at.host,
        "cwd": at.cwd,
        "platform": at.platform,
        "version": at.version,
        "git_commit": at.git_commit,
        "user": at.user,
    }


def owner_shape(row: Row) -> contract.Owner | None:
    """The process that drives an execution."""
    if row.ownership.owner is None:
        return None
    runner = row.runner
    return {
        "runner": row.ownership.owner,
        "epoch": row.ownership.epoch,
        "host": runner.host if runner else None,
        "pid": runner.pid if runner else None,
        "since": runner.started_at if runner else None,
    }


def _limit(view: View) -> contract.Limit | None:
    """The group of an execution, and its place in the line for the lock of that."""
    limit = view.state.concurrency
    if limit is None:
        return None
    line = [claim.execution_id for claim in view.claims]
    name = view.state.execution_id
    return {
        "group": limit.group,
        "policy": limit.policy,
        "held_since": view.state.locked_at if view.status in GOING_ON else None,
        "holder": line[0] if line else None,
        "ahead": line.index(name) if name in line else None,
    }


def listing(page: Page, query: Query) -> contract.List:
    """Executions as `list --json` shows them. A `total` that is not exact means that many or more."""
    return {
        "executions": [summary_shape(row) for row in page.rows],
        "total": page.total,
        "total_is_exact": page.total is not None and page.total < query.count_to,
        "has_more": page.has_more,
        "limit": query.limit,
        "offset": query.offset,
    }


def summary_shape(row: Row) -> contract.Row:
    """One execution as a row of `list --json`."""
    summary = row.summary
    return {
        "execution_id": summary.execution_id,
        "workflow": summary.workflow,
        "status": summary.status,
        "reason": summary.reason,
        "version": summary.version,
        "digest": summary.digest,
        "started_at": summary.started_at,
        "updated_at": summary.updated_at,
        "ended_at": summary.ended_at,
        "due_at": summary.due_at,
        "tags": summary.tags,
        "correlation_id": summary.correlation_id,
        "parent": summary.parent,
        "steps_total": summary.steps_total,
        "steps_done": summary.steps_done,
        "current": summary.current,
    }


def plan_shape(plan: Plan) -> contract.Plan:
    """A resume plan as `resume --plan --json` shows it."""
    return {
        "execution_id": plan.execution_id,
        "changed": plan.changed,
        "steps": [{"step": row.step, "action": row.action, "why": row.why} for row in plan.rows],
        "blocked": plan.blocked,
        "accepted": plan.accepted,
        "rerun": plan.rerun,
        "handlers_ran": plan.handlers_ran,
        "continues_handlers": plan.continues_handlers,
        "elsewhere": [{"host": left.host, "steps": left.steps} for left in plan.elsewhere],
    }


def preview_shape(preview: Checked) -> contract.Preview:
    """What `run --dry-run --json` shows."""
    workflow = preview.workflow
    return {
        "workflow": workflow.name,
        "inputs": preview.inputs,
        "secrets": list(workflow.every_secret()),
        "max_parallel": workflow.max_parallel,
        "concurrency": _group(preview.concurrency),
        "steps": [
            {
                "id": s.id,
                "group": group,
                "executor": s.executor,
                "needs": s.needs,
                "when": s.when,
                "runs_on": None if s.runs_on is None else {"queue": s.runs_on.queue, "labels": s.runs_on.labels},
            }
            for group in GROUPS
            for s in workflow.group(group)
        ],
    }


def _group(limit: Concurrency | None) -> contract.PreviewedGroup | None:
    return None if limit is None else {"group": limit.group, "policy": limit.policy}


def log_line(chunk: Chunk) -> contract.LogLine:
    """A piece of output as `logs --json` shows it: `text`, or `base64` where it is not UTF-8 by itself."""
    line: contract.LogLine = {
        "step": chunk.step,
        "attempt": chunk.attempt,
        "stream": chunk.stream,
        "at": chunk.at,
        "offset": chunk.offset,
    }
    try:
        line["text"] = chunk.data.decode()
    except UnicodeDecodeError:
        import base64

        line["base64"] = base64.b64encode(chunk.data).decode()
    return line
