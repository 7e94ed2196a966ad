"""Executions as text: what `status`, `list`, `history` and resume plans look like on a terminal or in a log file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from cerebelum.core.model import GROUPS, Workflow
from cerebelum.core.state import State, StepState
from cerebelum.render.display import Symbols, ago, harmless, length, moment, one_line

if TYPE_CHECKING:
    from cerebelum.core.events import StepError
    from cerebelum.core.plan import Plan
    from cerebelum.engine.preflight import Checked
    from cerebelum.store import Page, Query
    from cerebelum.store.lookup import View

_MOST_VALUE = 500
_WHY = {"runner_died": "its runner died", "operator": "stopped", "fenced": "another runner took over"}


def resume_command(execution_id: str, store: str | None = None, plugins: Iterable[str] = (), *more: str) -> str:
    """The command line that goes on with an execution, given the way it was started."""
    import shlex

    words = ["cerebelum", "resume", execution_id, *more]
    if store is not None:
        words += ["--store", store]
    for plugin in plugins:
        words += ["--plugin", plugin]
    return shlex.join(words)


def table(rows: Sequence[Sequence[str]], gap: str = "  ") -> list[str]:
    """Rows with their columns lined up; nothing is cut off, and the last column is not padded."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def mark(at: StepState, symbols: Symbols) -> str:
    """The symbol of a step's status."""
    match at.status:
        case "completed":
            return symbols.completed
        case "failed":
            return symbols.failed
        case "skipped":
            return symbols.skipped
        case "running" | "answered":
            return symbols.started
        case "interrupted":
            return symbols.interrupted
        case "pending":
            return symbols.pending
        case _:
            return symbols.waiting


def status_text(view: View, symbols: Symbols, now: datetime, resume: str) -> str:
    """An execution with its steps; `resume` is the command that goes on with it, shown where it can be resumed."""
    state = view.state
    end = state.ended_at or (state.updated_at if view.status == "paused" else now)
    reason = f" ({one_line(view.reason)})" if view.reason and view.status != "failed" else ""
    lines = [f"{state.execution_id}  {view.status}{reason}"]
    facts = [
        ("workflow", f"{state.workflow.name} ({state.source.path})"),
        ("started", f"{moment(state.started_at)}, {length((end - state.started_at).total_seconds())} long"),
        ("steps", f"{view.row.summary.steps_done} of {view.row.summary.steps_total} done"),
    ]
    if state.tags:
        facts.append(("tags", ", ".join(state.tags)))
    if state.inputs:
        facts.append(("inputs", ", ".join(f"{k}={value(v)}" for k, v in state.inputs.items())))
    if view.status == "running" and view.row.runner is not None:
        facts.append(("runner", f"process {view.row.runner.pid} on {view.row.runner.host}"))
    lines += [harmless(line) for line in table([(name, text) for name, text in facts])]
    lines += ["", *_step_lines(state, symbols, now)]
    if state.output is not None:
        lines += ["", f"output: {value(state.output)}"]
    problems = failures_text(state, symbols)
    if problems:
        lines += ["", *problems]
    if view.status in ("failed", "paused"):
        lines += ["", f"resume with: {resume}"]
    return "\n".join(lines)


def _step_lines(state: State, symbols: Symbols, now: datetime) -> list[str]:
    rows: list[tuple[str, str]] = []
    for group in GROUPS:
        steps = state.workflow.group(group)
        if group != "steps" and any(state.steps[s.id].status != "pending" for s in steps):
            rows.append((f"{group}:", ""))
        elif group != "steps":
            continue
        rows += [(f"  {mark(state.steps[s.id], symbols)} {s.id}", said(state.steps[s.id], now)) for s in steps]
    return table(rows)


def said(at: StepState, now: datetime) -> str:
    """What there is to say about a step's standing, on one line."""
    whole = at.whole(now)
    long = "" if whole is None else length(whole)
    attempt = f" (attempt {at.attempt})" if at.attempt > 1 else ""
    match at.status:
        case "completed":
            return (_length(at, long) if at.duration is not None else "taken over") + attempt
        case "failed":
            after = f", after {_length(at, long)}" if at.duration is not None else ""
            return (one_line(at.error.message) if at.error else "failed") + attempt + after
        case "skipped":
            return f"skipped: {at.skipped}"
        case "interrupted":
            return f"interrupted: {interruption(at.interrupted)}{attempt}"
        case "retrying":
            return f"again at {moment(at.retry_at)}: {one_line(at.error.message) if at.error else ''}{attempt}"
        case "sleeping" | "waiting_for_approval":
            due = at.calls[-1].due_at if at.calls else None
            return at.status.replace("_", " ") + (f" until {moment(due)}" if due else "")
        case "pending":
            return "pending"
        case "running" if long:
            return f"running for {long}{attempt}"
        case _:
            return at.status + attempt


def _length(at: StepState, whole: str) -> str:
    """How long it took; also the last attempt, if there was more to it."""
    last = length(at.duration or 0.0)
    if not whole:
        return last
    return f"{whole}, the last attempt {last}" if at.began_at != at.started_at and not at.calls else whole


def interruption(why: str | None) -> str:
    """Why an attempt was cut off, in words."""
    return _WHY.get(why or "", why or "")


def failures_text(state: State, symbols: Symbols, *, details: bool = True) -> list[str]:
    """What went wrong, with the last lines of output of each failed step if `details` are wanted."""
    lines: list[str] = []
    failed = [s for s in state.failed if s in state.steps and state.steps[s].error is not None]
    for step_id in failed:
        at = state.steps[step_id]
        assert at.error is not None
        lines += error_text(f"{step_id} (attempt {at.attempt})" if at.attempt > 1 else step_id, at.error, symbols)
    if not failed and state.ended == "failed" and state.error is not None:
        lines += error_text(state.workflow.name, state.error, symbols)
    if not details:
        return [line for line in lines if not line.startswith(f"  {symbols.bar}")]
    return lines


def error_text(name: str, error: StepError, symbols: Symbols) -> list[str]:
    """An error with its kind, and the last lines that were printed."""
    message = harmless(error.message)
    kind = "" if message.startswith("exit code") else f"{error.kind}: "
    lines = [f"{symbols.failed} {name}: {kind}{message}"]
    more = error.tail or error.traceback
    if more:
        lines += [f"  {symbols.bar} {line}".rstrip() for line in harmless(more.rstrip("\n")).split("\n")]
    return lines


def list_text(page: Page, query: Query) -> str:
    """The table of `list`, with the total below."""
    if not page.rows:
        return "no executions" if query.offset == 0 and not _filtered(query) else "no executions match"
    rows = [("ID", "STATUS", "WORKFLOW", "STEPS", "STARTED", "")]
    for row in page.rows:
        s = row.summary
        note = one_line(s.reason, 60) if s.reason else ", ".join(s.current)
        steps = f"{s.steps_done}/{s.steps_total}"
        rows.append((s.execution_id, s.status, harmless(s.workflow), steps, moment(s.started_at), note))
    return "\n".join([*table(rows), "", _total(page, query)])


def active_text(page: Page, now: datetime, width: int) -> str:
    """The table of `active`, not wider than the terminal."""
    if not page.rows:
        return "nothing is going on"
    from cerebelum.render.width import clipped

    rows = [("ID", "STATUS", "PROGRESS", "NOW", "STARTED", "DRIVEN BY")]
    for row in page.rows:
        s = row.summary
        reason = f" ({one_line(s.reason, 40)})" if s.reason else ""
        owner = f"process {row.runner.pid} on {row.runner.host}" if row.runner is not None else "nobody"
        going_on = ", ".join(s.current) if s.current else "-"
        status = s.status.replace("_", " ") + reason
        rows.append(
            (s.execution_id, status, f"{s.steps_done}/{s.steps_total}", going_on, ago(s.started_at, now), owner)
        )
    lines = [clipped(harmless(line), width) for line in table(rows)]
    if page.has_more:
        lines += ["", f"and more: {page.total} in all"]
    return "\n".join(lines)


def _total(page: Page, query: Query) -> str:
    first, last = query.offset + 1, query.offset + len(page.rows)
    if page.total is None:
        return f"{first} to {last}"
    total = str(page.total) if page.total < query.count_to else f"{page.total}+"
    noun = "execution" if total == "1" else "executions"
    if query.offset == 0 and not page.has_more:
        return f"{total} {noun}"
    return f"{first} to {last} of {total} {noun}"


def _filtered(query: Query) -> bool:
    return bool(query.status or query.workflow or query.tag or query.since)


def plan_text(plan: Plan) -> str:
    """A resume plan: what becomes of each step."""
    rows = [(row.action, row.step, one_line(row.why)) for row in plan.rows]
    lines = [f"{plan.execution_id}: the definition {'has changed' if plan.changed else 'is unchanged'}", ""]
    lines += [f"  {line}" for line in table(rows)]
    if plan.handlers_ran:
        lines += ["", f"handlers that ran: {', '.join(plan.handlers_ran)}"]
    if plan.continues_handlers:
        lines += ["", "it was interrupted inside its handlers: they go on, then it ends"]
    return "\n".join(lines)


def preview_text(preview: Checked) -> str:
    """What a run would do."""
    workflow: Workflow = preview.workflow
    lines = [f"{workflow.name}: would run"]
    for group in GROUPS:
        steps = workflow.group(group)
        if not steps:
            continue
        if group != "steps":
            lines.append(f"{group}:")
        rows = [
            (f"  {s.id}", s.executor, ("after " + ", ".join(s.needs)) if s.needs else "at once", _when(s.when))
            for s in steps
        ]
        lines += table(rows)
    if preview.inputs:
        lines += [
            "",
            *table(
                [("inputs" if i == 0 else "", f"{k}={value(v)}") for i, (k, v) in enumerate(preview.inputs.items())]
            ),
        ]
    secrets = dict.fromkeys([*workflow.secrets, *(n for s in workflow.every_step() for n in s.secrets)])
    if secrets:
        lines += ["", f"secrets  {', '.join(secrets)}"]
    return "\n".join(harmless(line) for line in lines)


def _when(when: str | bool | None) -> str:
    return "" if when is None else f"when {one_line(str(when).lower() if isinstance(when, bool) else when)}"


def value(given: Any) -> str:
    """A value on one line, as JSON unless it is a plain word; shortened."""
    text = given if isinstance(given, str) and given.isprintable() and given else msgspec.json.encode(given).decode()
    return one_line(text, _MOST_VALUE)


_OWN = ("version", "at", "step", "attempt", "by", "environment", "definition", "source", "inputs", "workflow")


def history_line(event: Any, symbols: Symbols) -> str:
    """One event: version, time, what happened, and who did it."""
    what = type(event).__name__
    parts = [f"{event.version:>5}  {event.at.astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3], what]
    step = getattr(event, "step", None)
    if step:
        attempt = getattr(event, "attempt", None)
        parts.append(f"{step} (attempt {attempt})" if attempt and attempt > 1 else step)
    who = getattr(event, "by", None)
    environment = getattr(event, "environment", None)
    if who is None and environment is not None:
        who = f"{environment.user or '?'}@{environment.host}"
    details = [text for name in event.__struct_fields__ if name not in _OWN and (text := _detail(event, name))]
    if getattr(event, "workflow", None):
        details.insert(0, event.workflow)
    if who:
        parts.append(f"by {who}")
    return harmless("  ".join(parts) + (f"  {', '.join(details)}" if details else ""))


def _detail(event: Any, name: str) -> str:
    given = getattr(event, name)
    if given is None or given in ((), {}, False, ""):
        return ""
    if name == "error":
        return f"{given.kind}: {one_line(given.message)}"
    if name == "duration":
        return length(given)
    if isinstance(given, datetime):
        return f"{name.replace('_', ' ')} {moment(given)}"
    if isinstance(given, tuple):
        return f"{name.replace('_', ' ')} {', '.join(given)}"
    if name in ("why", "reason", "detail", "signal"):
        return one_line(str(given)).replace("_", " ")
    return f"{name.replace('_', ' ')}={value(given)}"
