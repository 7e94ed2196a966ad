"""Executions as text: what `status`, `list`, `history` and resume plans look like on a terminal or in a log file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from cerebelum.core.model import GROUPS, Step, Workflow
from cerebelum.core.state import State, StepState
from cerebelum.render.display import UNICODE, Symbols, ago, harmless, length, moment, one_line
from cerebelum.render.locks import lock_said
from cerebelum.render.tables import table
from cerebelum.render.workers import handed_said, whom, workers_wanted
from cerebelum.store.liveness import reported_dead

if TYPE_CHECKING:
    from cerebelum.core.plan import Plan
    from cerebelum.core.step_state import Call
    from cerebelum.engine.preflight import Checked
    from cerebelum.store import Page, Query
    from cerebelum.store.lookup import View
    from cerebelum.store.pooling import Takers

_MOST_VALUE = 500
_WHY = {
    "withdrawn": "taken back before a worker had it",
    "runner_died": "its runner died",
    "operator": "stopped",
    "fenced": "another runner took over",
}


def resume_command(execution_id: str, store: str | None = None, plugins: Iterable[str] = (), *more: str) -> str:
    """The command line that goes on with an execution, given the way it was started."""
    return command_line(store, plugins, "resume", execution_id, *more)


def command_line(store: str | None, plugins: Iterable[str], *words_: str) -> str:
    """A command line of cerebelum with the plugins that were named, and the store, without a password."""
    import shlex

    words = ["cerebelum", *words_]
    if store is not None:
        from cerebelum.host.addresses import showable

        words += ["--store", showable(store)]
    for plugin in plugins:
        words += ["--plugin", plugin]
    return shlex.join(words)


COLOURS = {
    "completed": "32",
    "failed": "31",
    **dict.fromkeys(("running", "answered", "on_worker", "reported"), "36"),
    "retrying": "33",
    "interrupted": "33",
    "paused": "33",
    "waiting_for_approval": "33",
    "cancelled": "35",
    **dict.fromkeys(("sleeping", "queued", "waiting_for_worker", "waiting_for_lock"), "34"),
    "skipped": "2",
    "pending": "2",
}
"""What statuses look like where colours are welcome; the words stand beside them."""


class Style(msgspec.Struct, frozen=True):
    """How text is to look where it is shown."""

    symbols: Symbols = UNICODE
    colour: bool = False
    width: int | None = None
    """Columns that lines may take; None: any number."""
    links: bool = False
    """Whether hyperlinks are known there."""

    def paint(self, text: str, status: str) -> str:
        """The text in the colour of a status."""
        code = COLOURS.get(status, "")
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code else text

    def link_file(self, line: str, path: str, host: str) -> str:
        """The line with a link to the file whose path stands in it, if all of that does."""
        if not self.links or not path.startswith("/") or path not in line:
            return line
        from urllib.parse import quote

        return line.replace(path, f"\x1b]8;;file://{quote(host)}{quote(path)}\x1b\\{path}\x1b]8;;\x1b\\", 1)


def mark(at: StepState, symbols: Symbols) -> str:
    """The symbol of a step's status."""
    match at.status:
        case "completed":
            return symbols.completed
        case "failed":
            return symbols.failed
        case "skipped":
            return symbols.skipped
        case "running" | "answered" | "on_worker" | "reported":
            return symbols.started
        case "interrupted":
            return symbols.interrupted
        case "pending":
            return symbols.pending
        case _:
            return symbols.waiting


def status_mark(status: str, symbols: Symbols) -> str:
    """The symbol of an execution's status."""
    match status:
        case "completed":
            return symbols.completed
        case "failed":
            return symbols.failed
        case "running":
            return symbols.started
        case "cancelled":
            return symbols.interrupted
        case _:
            return symbols.waiting


def status_text(view: View, style: Style, now: datetime, command: Callable[..., str]) -> str:
    """An execution with its steps, and what can be done next; `command(verb, id, …)` is a command line for that."""
    from cerebelum.render.failures import failures_text

    state = view.state
    end = state.ended_at or (state.updated_at if view.status == "paused" else now)
    reason = f" ({one_line(view.reason)})" if view.reason and view.status != "failed" else ""
    word = f"{status_mark(view.status, style.symbols)} {view.status.replace('_', ' ')}"
    lines = [f"{state.execution_id}  {style.paint(word, view.status)}{reason}"]
    long = length((end - state.started_at).total_seconds())
    facts = [
        ("workflow", f"{state.workflow.name} ({state.source.path})"),
        ("started", f"{moment(state.started_at)} ({ago(state.started_at, now)}), {long} long"),
        ("steps", f"{view.row.summary.steps_done} of {view.row.summary.steps_total} done"),
    ]
    if state.resumes:
        facts.append(("resumed", f"{state.resumes} time{'s' if state.resumes > 1 else ''}"))
    scheduled = "" if state.scheduled_for is None else f"for {moment(state.scheduled_for)}"
    said = [("scheduled", scheduled), ("fork of", state.parent or ""), ("tags", ", ".join(state.tags))]
    facts += [(name, text) for name, text in said if text]
    if state.inputs:
        facts.append(("inputs", ", ".join(f"{k}={value(v)}" for k, v in state.inputs.items())))
    where = state.environment
    facts.append(("ran in", f"{where.cwd} as {where.user or '?'}@{where.host}"))
    if state.ended is None and (asked := state.cancel or state.pausing) is not None:
        what = "to cancel" if state.cancel else "to pause"
        facts.append(("asked", f"{what}, by {one_line(asked.by)}, {ago(asked.at, now)}"))
    if state.queue is not None:
        from cerebelum.render.pool import queue_said

        facts.append(("queue", queue_said(view, now)))
    if (lock := lock_said(view)) is not None:
        facts.append(("lock", lock))
    if view.status in ("running", "waiting_for_worker", "waiting_for_lock") and view.row.runner is not None:
        facts.append(("runner", f"process {view.row.runner.pid} on {view.row.runner.host}"))
    table_lines = table([(name, harmless(text)) for name, text in facts], width=style.width, giving=(1,))
    lines += [style.link_file(line, harmless(state.source.path), where.host) for line in table_lines]
    lines += ["", *_step_lines(view, style, now)]
    if state.output is not None:
        lines += ["", f"output: {value(state.output)}"]
    problems = failures_text(state, style.symbols)
    if problems:
        lines += ["", *problems]
    if after := next_commands(view, command):
        lines += ["", *after]
    return "\n".join(lines)


def next_commands(view: View, command: Callable[..., str]) -> list[str]:
    """What can be done now, one sentence each; `command(verb, id, …)` is a command line."""
    state, name = view.state, view.state.execution_id
    if view.status in ("failed", "paused") and view.standing is None:
        return [f"resume with: {command('resume', name)}"]
    abandoned = view.status == "waiting_for_worker" and view.row.ownership.owner is not None
    if (view.status == "waiting_for_lock" or abandoned) and reported_dead(view.row):
        return [f"go on with: {command('resume', name)}"]
    if view.standing is not None and state.queue is not None:
        here = [f"to go on here instead: {command('resume', name)}"] if view.status == "paused" else []
        wanted = [f"start a worker with: {command('worker', '--queue', state.queue.name)}"]
        return [*(wanted if view.standing.workers == 0 else []), *here]
    if wanted := workers_wanted(view, command):
        return wanted
    asking = [s for s, kind in state.active.items() if kind == "waiting_for_approval"] if not state.ended else []
    return [f"decide with: {command('approve', name, step)}, or reject" for step in asking]


def _step_lines(view: View, style: Style, now: datetime) -> list[str]:
    state = view.state
    rows: list[tuple[str, ...]] = []
    colours: list[tuple[str, ...]] = []
    several = len(state.hosts()) > 1
    arrow = _ARROW if style.symbols is UNICODE else "->"
    for group in GROUPS:
        steps = state.workflow.group(group)
        if group != "steps" and any(state.steps[s.id].status != "pending" for s in steps):
            rows.append((f"{group}:", "", "", ""))
            colours.append(("", "", "", ""))
        elif group != "steps":
            continue
        for step in steps:
            at = state.steps[step.id]
            output = "" if at.output is None else f"{arrow} {one_line(value(at.output), 79 - len(arrow))}"
            host = f"on {one_line(at.host)}" if several and at.host else ""
            rows.append(
                (
                    f"  {mark(at, style.symbols)} {step.id}",
                    said(at, now, view.takers.get(step.id)),
                    host,
                    output,
                )
            )
            colours.append((COLOURS.get(at.status, "") if style.colour else "", "", "", "2" if style.colour else ""))
    if not several:
        rows, colours = [(*row[:2], row[3]) for row in rows], [(*row[:2], row[3]) for row in colours]
    return table(rows, width=style.width, giving=(3, 1, 2) if several else (2, 1), colours=colours)


_ARROW = "→"


def step_text(state: State, step_id: str, style: Style, now: datetime) -> str:
    """One step in full: how it stands, what it waited for, its output, and what went wrong."""
    from cerebelum.render.failures import error_text

    step, at = state.graph.step(step_id), state.steps[step_id]
    facts = [
        ("status", style.paint(at.status.replace("_", " "), at.status)),
        ("does", f"{step.executor}: {one_line(value(step.body))}"),
        ("attempts", str(at.attempt)),
    ]
    if at.host and len(state.hosts()) > 1:
        facts.append(("ran on", one_line(at.host)))
    if step.description:
        facts.insert(0, ("about", one_line(step.description)))
    if step.needs:
        facts.append(("needs", ", ".join(step.needs)))
    if step.runs_on is not None:
        facts.append(("runs on", whom(step.runs_on)))
    if at.began_at is not None:
        facts.append(("began", moment(at.began_at)))
    if at.started_at is not None and at.started_at != at.began_at:
        facts.append(("last attempt", moment(at.started_at)))
    if at.ended_at is not None:
        facts.append(("ended", moment(at.ended_at)))
    if (whole := at.whole(now)) is not None:
        facts.append(("took", _length(at, length(whole)) if at.duration is not None else length(whole)))
    if at.retry_at is not None:
        facts.append(("again at", moment(at.retry_at)))
    if at.skipped:
        facts.append(("skipped", at.skipped))
    if at.interrupted:
        facts.append(("interrupted", interruption(at.interrupted)))
    facts += [(call.kind, call_said(call)) for call in at.calls]
    lines = [f"{state.execution_id} {step_id}", *table([(name, text) for name, text in facts])]
    if at.output is not None:
        lines += ["", "output:", harmless(msgspec.json.format(msgspec.json.encode(at.output), indent=2).decode())]
    if at.error is not None:
        lines += ["", *error_text(step_id, at.error, style.symbols)]
    return "\n".join(lines)


def call_said(call: Call) -> str:
    """What a step waits or waited for, and what came of it."""
    due = f", until {moment(call.due_at)}" if call.due_at else ""
    how = "" if call.result is None else f": {call.result.replace('_', ' ')}" + (f" by {call.by}" if call.by else "")
    asked = f" {one_line(call.request.message)}" if call.request else ""
    comment = f" ({one_line(call.comment)})" if call.comment else ""
    return harmless(f"since {moment(call.at)}{due}{asked}{how}{comment}")


def said(at: StepState, now: datetime, found: Takers | None = None) -> str:
    """What there is to say about a step's standing, on one line; `found` is who could take it."""
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
        case "waiting_for_worker" | "on_worker":
            return handed_said(at, found, now)
        case "reported" if at.reported is not None:
            return f"reported {at.reported.outcome}{attempt}"
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


def list_text(page: Page, query: Query, now: datetime, style: Style) -> str:
    """The table of `list`, with the total below."""
    if not page.rows:
        return "no executions" if query.offset == 0 and not _filtered(query) else "no executions match"
    rows = [("ID", "STATUS", "WORKFLOW", "STEPS", "STARTED", "", "")]
    for row in page.rows:
        s = row.summary
        note = one_line(s.reason, 60) if s.reason else ", ".join(s.current)
        steps = f"{s.steps_done}/{s.steps_total}"
        status = f"{status_mark(s.status, style.symbols)} {s.status}"
        at, since = moment(s.started_at), ago(s.started_at, now)
        rows.append((s.execution_id, status, harmless(s.workflow), steps, at, since, note))
    colours = [("",) * 7, *(_list_colours(row.summary.status, style) for row in page.rows)]
    return "\n".join([*table(rows, width=style.width, giving=(6, 2, 0), colours=colours), "", _total(page, query)])


def _list_colours(status: str, style: Style) -> tuple[str, ...]:
    return ("", COLOURS.get(status, "") if style.colour else "", "", "", "", "", "2" if style.colour else "")


def active_text(page: Page, now: datetime, style: Style) -> str:
    """The table of `active`."""
    if not page.rows:
        return "nothing is going on"
    rows = [("ID", "STATUS", "PROGRESS", "NOW", "STARTED", "DRIVEN BY")]
    colours = [("",) * 6]
    for row in page.rows:
        s = row.summary
        reason = f" ({one_line(s.reason, 40)})" if s.reason else ""
        owner = f"process {row.runner.pid} on {row.runner.host}" if row.runner is not None else "nobody"
        going_on = ", ".join(s.current) if s.current else "-"
        status = f"{status_mark(s.status, style.symbols)} {s.status.replace('_', ' ')}{reason}"
        rows.append(
            (s.execution_id, status, f"{s.steps_done}/{s.steps_total}", going_on, ago(s.started_at, now), owner)
        )
        colours.append(("", COLOURS.get(s.status, "") if style.colour else "", "", "", "", ""))
    lines = table(rows, width=style.width, giving=(5, 3, 1, 0), colours=colours)
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
    from cerebelum.core.elsewhere import warning

    rows = [(row.action, row.step, one_line(row.why)) for row in plan.rows]
    lines = [f"{plan.execution_id}: the definition {'has changed' if plan.changed else 'is unchanged'}", ""]
    lines += [f"  {line}" for line in table(rows)]
    if plan.elsewhere:
        lines += ["", one_line(warning(plan.elsewhere), _MOST_VALUE)]
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
            (f"  {s.id}", s.executor, ("after " + ", ".join(s.needs)) if s.needs else "at once", _condition(s))
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
    if preview.concurrency is not None:
        lines += ["", f"lock  {one_line(preview.concurrency.group)} ({preview.concurrency.policy.replace('_', ' ')})"]
    if secrets := workflow.every_secret():
        lines += ["", f"secrets  {', '.join(secrets)}"]
    return "\n".join(harmless(line) for line in lines)


def _condition(step: Step) -> str:
    """When and where a step runs, unless that goes without saying."""
    when = str(step.when).lower() if isinstance(step.when, bool) else step.when
    said = [] if when is None else [f"when {one_line(when)}"]
    if step.runs_on is not None:
        said.append(f"on {whom(step.runs_on)}")
    return ", ".join(said)


def value(given: Any) -> str:
    """A value on one line, as JSON unless it is a plain word; shortened."""
    text = given if isinstance(given, str) and given.isprintable() and given else msgspec.json.encode(given).decode()
    return one_line(text, _MOST_VALUE)
