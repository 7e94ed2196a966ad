"""An execution as one page of HTML that needs nothing else: to be sent to somebody, or kept with what was built."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from cerebelum.core.events import AnyEvent
from cerebelum.core.model import GROUPS, Step
from cerebelum.core.state import StepState
from cerebelum.core.status import GOING_ON
from cerebelum.render.display import length, moment, one_line, size
from cerebelum.render.facts import event_details
from cerebelum.render.failures import error_extract, error_kind
from cerebelum.render.gantt import MOST_BARS, MOST_ROWS, gantt
from cerebelum.render.graphs import Picture
from cerebelum.render.markup import Markup, element, joined
from cerebelum.render.page_style import style
from cerebelum.render.palette import SYMBOLS, tone
from cerebelum.render.printed import Printed, attempts_of, worth_showing
from cerebelum.render.svg import graph
from cerebelum.render.text import call_said, mark, next_commands, said, status_mark, value
from cerebelum.render.timeline import Timeline, timeline

if TYPE_CHECKING:
    from cerebelum.core.events import StepError
    from cerebelum.store.lookup import View

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MOST_EVENTS = 300
"""Events from the beginning, and as many from the end."""
_MOST_OUTPUT = 200
_MOST_ERROR = 16_000


class Report(msgspec.Struct, frozen=True):
    """What is reported: an execution, its events, the ends of what it printed, and the moment of looking."""

    view: View
    events: Sequence[AnyEvent]
    printed: Mapping[tuple[str, int], Printed]
    now: datetime
    version: str
    """Of cerebelum."""
    command: Callable[..., str]
    """`command(verb, id, …)` is a command line for that."""


def page(report: Report) -> Markup:
    """The whole page."""
    state = report.view.state
    line = timeline(report.view, report.events, report.now)
    word = report.view.status.replace("_", " ")
    body = [
        _head(report, line),
        _errors(report),
        _over_time(report, line),
        _section("steps-graph", "Graph", element("div", graph(Picture(state.workflow, state.steps)), **_wide("Graph"))),
        _section("steps", "Steps", _steps(report)),
        _output(report),
        _section("logs", "Output of the steps", *_logs(report, line)),
        _section("events", "Events", _events(report)),
        _foot(report),
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="generator", content=f"cerebelum {report.version}"),
        element("title", f"{state.execution_id}: {word}"),
        element("style", Markup(style())),
    )
    html = element("html", head, "\n", element("body", *(joined(part, "\n") for part in body)), lang="en")
    return joined(Markup("<!DOCTYPE html>\n"), html, "\n")


def _section(anchor: str, title: str, *inside: str) -> Markup:
    heading = element("h2", title, id=f"{anchor}-title")
    return element("section", heading, *inside, id=anchor, aria_labelledby=f"{anchor}-title")


def _wide(what: str) -> dict[str, str]:
    """Attributes of what is scrolled where there is no room for it; by keyboard too."""
    return {"class_": "wide tall", "role": "region", "tabindex": "0", "aria_label": what}


def _own(text: str) -> Markup:
    """Somebody's text within a line of ours: its direction of reading stays its own."""
    return element("bdi", text)


def _code(text: str) -> Markup:
    return element("code", text)


# -- the head ---------------------------------------------------------------------------------------------------------


def _head(report: Report, line: Timeline) -> Markup:
    view = report.view
    state = view.state
    word = view.status.replace("_", " ")
    symbol = status_mark(view.status, SYMBOLS)
    badge = element("span", f"{symbol} {word}", class_=f"status {tone(view.status)}")
    reason = one_line(view.reason) if view.reason else ""
    parts = [
        ("over-time", "Timeline"),
        ("steps-graph", "Graph"),
        ("steps", "Steps"),
        ("logs", "Output"),
        ("events", "Events"),
    ]
    if state.failed or state.error is not None:
        parts.insert(0, ("errors", "Errors"))
    return element(
        "header",
        element("h1", element("span", _own(state.execution_id), class_="id"), " ", badge),
        element("p", _own(reason), class_="quiet") if reason else "",
        element("p", _own(state.workflow.description)) if state.workflow.description else "",
        element("dl", *(joined(element("dt", name), element("dd", *told)) for name, told in _facts(report, line))),
        *(element("p", _next(sentence), class_="next") for sentence in next_commands(view, report.command)),
        element("nav", *(element("a", text, href=f"#{anchor}") for anchor, text in parts), aria_label="On this page"),
    )


def _next(sentence: str) -> Markup:
    """`resume with: cerebelum …`, with the command as code."""
    before, colon, command = sentence.partition(": ")
    command, comma, after = command.partition(", or ")
    return joined(before, colon, _code(command), comma, after)


def _facts(report: Report, line: Timeline) -> Iterator[tuple[str, list[str]]]:
    state, row = report.view.state, report.view.row
    where = state.environment
    yield "workflow", [_own(state.workflow.name), " (", _code(state.source.path), ")"]
    yield "started", [_time(state.started_at)]
    if state.ended_at is not None:
        yield "ended", [_time(state.ended_at)]
    so_far = " so far" if report.view.status in GOING_ON else ""
    yield "took", [length((line.end - line.begin).total_seconds()) + so_far]
    yield "steps", [f"{row.summary.steps_done} of {row.summary.steps_total} done"]
    if state.resumes:
        yield "resumed", [f"{state.resumes} time{'s' if state.resumes > 1 else ''}"]
    if state.parent:
        yield "fork of", [_code(state.parent)]
    if state.correlation_id:
        yield "correlation id", [_code(state.correlation_id)]
    if state.tags:
        yield "tags", [_own(", ".join(state.tags))]
    if state.inputs:
        pairs = [joined(_code(f"{name}={value(given)}"), " ") for name, given in state.inputs.items()]
        yield "inputs", [*pairs]
    yield "started by", [_own(f"{where.user or '?'}@{where.host}")]
    yield "in", [_code(where.cwd)]
    if where.git_commit:
        yield "git commit", [_code(where.git_commit)]
    yield "with", [f"cerebelum {where.version}, ", _own(where.platform)]
    if report.view.status == "running" and row.runner is not None:
        yield "runner", [f"process {row.runner.pid} on ", _own(row.runner.host)]


def _time(at: datetime) -> Markup:
    return element("time", moment(at), datetime=at.isoformat())


# -- what went wrong --------------------------------------------------------------------------------------------------


def _errors(report: Report) -> Markup:
    state = report.view.state
    failed = [(step, state.steps[step]) for step in state.failed if step in state.steps]
    told = [_error(_titled(step, at.attempt), at.error) for step, at in failed if at.error is not None]
    if not told and state.error is not None:
        told = [_error(_own(state.workflow.name), state.error)]
    return _section("errors", "What went wrong", *told) if told else joined()


def _titled(step: str, attempt: int) -> Markup:
    return joined(_own(step), f" (attempt {attempt})" if attempt > 1 else "")


def _error(title: Markup, error: StepError) -> Markup:
    more = error_extract(error)
    heading = element("h3", element("span", f"{SYMBOLS.failed} ", class_="state failed"), title)
    return joined(
        heading,
        element("p", error_kind(error), _own(_bounded(error.message))),
        element("pre", _bounded(more), aria_label="The last lines of output") if more else "",
    )


def _bounded(text: str) -> str:
    """The end of a long text, since that is where an error says what it is about."""
    return text if len(text) <= _MOST_ERROR else f"{SYMBOLS.ellipsis}{text[-_MOST_ERROR:]}"


# -- timeline and steps -----------------------------------------------------------------------------------------------


def _over_time(report: Report, line: Timeline) -> Markup:
    state = report.view.state
    groups = {step.id: group for group in GROUPS for step in state.workflow.group(group)}
    more = len(line.tracks) - MOST_ROWS
    notes = [f"{more} more steps are not drawn."] if more > 0 else []
    if any(len(track.spans) > MOST_BARS for track in line.tracks):
        notes.append(f"Of steps with many attempts the last {MOST_BARS} bars are drawn.")
    picture = element("div", gantt(line, groups, state.execution_id), **_wide("Timeline"))
    return _section("over-time", "Timeline", picture, *(element("p", note, class_="note") for note in notes))


def _steps(report: Report) -> Markup:
    state = report.view.state
    host = ("Host",) if len(state.hosts()) > 1 else ()
    names = ("Step", "State", *host, "Attempts", "Began", "Took", "Last attempt", "Output", "Note")
    rows: list[Markup] = []
    for group in GROUPS:
        steps = state.workflow.group(group)
        if steps and group != "steps":
            heading = element("th", group, class_="group", scope="rowgroup", colspan=len(names))
            rows.append(element("tr", heading))
        rows += [_step_row(report, step, state.steps[step.id], with_host=bool(host)) for step in steps]
    return element("div", _table(names, rows), **_wide("Steps"))


def _table(names: Sequence[str], rows: Sequence[Markup]) -> Markup:
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in names)))
    return element("table", head, element("tbody", *(joined("\n", row) for row in rows)))


def _step_row(report: Report, step: Step, at: StepState, *, with_host: bool) -> Markup:
    whole = at.whole(report.now if report.view.status in GOING_ON else None)
    printed = any((step.id, attempt) in report.printed for attempt in range(1, at.attempt + 1))
    name: Markup = _own(step.id)
    if printed:
        name = element("a", name, href=f"#{_anchor(report, step.id)}")
    about = (
        joined(element("br"), element("span", _own(one_line(step.description)), class_="note"))
        if step.description
        else ""
    )
    return element(
        "tr",
        element("th", element("span", name, class_="id"), about, scope="row"),
        element("td", f"{mark(at, SYMBOLS)} {at.status.replace('_', ' ')}", class_=f"fact state {tone(at.status)}"),
        *([element("td", _own(at.host or ""), class_="fact")] if with_host else ()),
        element("td", str(at.attempt or ""), class_="fact"),
        element("td", _time(at.began_at) if at.began_at else "", class_="fact"),
        element("td", "" if whole is None else length(whole), class_="fact"),
        element("td", "" if at.duration is None else length(at.duration), class_="fact"),
        element("td", _code(one_line(value(at.output), _MOST_OUTPUT)) if at.output is not None else "", class_="own"),
        element("td", _own(_note(at, report.now)), class_="own"),
    )


def _note(at: StepState, now: datetime) -> str:
    """What the other columns do not say."""
    asked = [f"approval {call_said(call)}" for call in at.calls if call.kind == "approval"]
    if at.status == "completed":
        asked += ["taken over"] if at.began_at is None else ["verified after an interruption"] if at.verified else []
    elif at.status not in ("pending", "running", "answered", "reported"):
        asked.append(said(at, now))
    return "; ".join(asked)


def _anchor(report: Report, step: str) -> str:
    place = report.view.state.graph.position.get(step)
    return f"log-{place}" if place is not None else "logs"


def _output(report: Report) -> Markup:
    output = report.view.state.output
    if output is None:
        return joined()
    text = output if isinstance(output, str) else _pretty(output)
    cut = text if len(text) <= _MOST_ERROR else text[:_MOST_ERROR] + SYMBOLS.ellipsis
    return _section("output", "Output of the workflow", element("pre", cut))


def _pretty(given: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(given), indent=2).decode()


# -- what was printed -------------------------------------------------------------------------------------------------


def _logs(report: Report, line: Timeline) -> Iterator[Markup]:
    tracks = {track.step: track for track in line.tracks}
    position = report.view.state.graph.position
    begun = attempts_of(report.events)
    if (more := len(begun) - len(worth_showing(begun))) > 0:
        command = report.command("logs", report.view.state.execution_id)
        yield element("p", f"{more:,} earlier attempts are left out; all are shown by ", _code(command), class_="note")
    attempts = sorted(report.printed, key=lambda of: (position.get(of[0], len(position)), of))
    if not attempts:
        yield element("p", "Nothing was printed.", class_="quiet")
    anchored: set[str] = set()
    for step, attempt in attempts:
        track = tracks.get(step)
        span = track.attempt(attempt) if track is not None else None
        anchor = None if step in anchored or step not in position else _anchor(report, step)
        anchored.add(step)
        how = ""
        if span is not None:
            word = joined(element("span", f"{_outcome(span.kind)} {span.kind}", class_=f"state {tone(span.kind)}"))
            long = length((span.end - span.begin).total_seconds())
            how = joined(" · ", word, " · ", _time(span.begin), f" · {long}")
        summary = element("summary", element("span", _own(step), class_="id"), f", attempt {attempt}", how)
        yield element("details", summary, *_printed(report, step, attempt), id=anchor)


def _outcome(kind: str) -> str:
    return status_mark("cancelled" if kind == "interrupted" else kind, SYMBOLS)


def _printed(report: Report, step: str, attempt: int) -> Iterator[Markup]:
    printed = report.printed[step, attempt]
    if printed.bytes_before:
        lines = (
            f"{printed.lines_before:,} line{'' if printed.lines_before == 1 else 's'}, {size(printed.bytes_before)},"
        )
        all_of_it = report.command("logs", report.view.state.execution_id, step, "--attempt", str(attempt))
        yield element("p", f"Left out before this: {lines} which are shown by ", _code(all_of_it), class_="note")
    yield element("pre", *map(_piece, _spaced(printed)), tabindex="0")


def _spaced(printed: Printed) -> Iterator[tuple[str, str]]:
    """Pieces with notes on lines of their own."""
    before = "\n"
    for piece in printed.pieces:
        text = piece.text
        if piece.stream == "note":
            text = f"{'' if before.endswith(chr(10)) else chr(10)}{SYMBOLS.ellipsis} {text}\n"
        yield piece.stream, text
        before = text


def _piece(piece: tuple[str, str]) -> Markup:
    stream, text = piece
    if stream == "stdout":
        return joined(text)
    name = "stderr" if stream == "stderr" else "left-out-here"
    return element("span", text, class_=name, title="standard error" if stream == "stderr" else None)


# -- events -----------------------------------------------------------------------------------------------------------


def _events(report: Report) -> Markup:
    events = report.events
    names = ("Version", "Time", "Event", "Step", "Details")
    if len(events) <= 2 * _MOST_EVENTS:
        rows = [_event(event) for event in events]
    else:
        more = len(events) - 2 * _MOST_EVENTS
        command = report.command("history", report.view.state.execution_id)
        told = element(
            "td", f"{more:,} events are left out here; all are shown by ", _code(command), colspan=len(names)
        )
        rows = [_event(event) for event in events[:_MOST_EVENTS]]
        rows.append(element("tr", told, class_="left-out"))
        rows += [_event(event) for event in events[-_MOST_EVENTS:]]
    count = f"{len(events):,} event{'' if len(events) == 1 else 's'}"
    return element("details", element("summary", count), element("div", _table(names, rows), **_wide("Events")))


def _event(event: AnyEvent) -> Markup:
    attempt = getattr(event, "attempt", None)
    step = getattr(event, "step", None)
    clock = f"{event.at.astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3]
    return element(
        "tr",
        element("td", str(event.version), class_="fact"),
        element("td", element("time", clock, datetime=event.at.isoformat()), class_="fact"),
        element("td", type(event).__name__, class_="fact"),
        element("td", _titled(step, attempt or 1) if step else "", class_="own"),
        element("td", _own(", ".join(event_details(event))), class_="own"),
    )


def _foot(report: Report) -> Markup:
    zone = report.now.astimezone()
    written = f"Written by cerebelum {report.version} on "
    return element("footer", element("p", written, _time(report.now), f"; times are local, UTC{zone:%z}."))
