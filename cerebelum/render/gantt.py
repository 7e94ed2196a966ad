"""An execution over time as a picture: a row for each step, a bar for each attempt, and what it waited for between.

Long stretches in which no attempt ran are drawn shorter than they were, and marked: a night of waiting for a decision
would otherwise leave nothing to see of the work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec

from cerebelum.core.model import Group
from cerebelum.render.display import harmless, length, moment
from cerebelum.render.markup import Markup, element, number
from cerebelum.render.palette import SYMBOLS
from cerebelum.render.timeline import WORK, Kind, Rest, Span, Timeline, Track
from cerebelum.render.width import clipped, columns

MOST_ROWS = 1000
MOST_BARS = 200
"""In one row; the last ones."""

_WIDTH = 1100.0
_LEFT = 190.0
_PLOT = 800.0
_TOP = 38.0
_ROW = 24.0
_LEAST_BAR = 2.0
_SHORTENED = 0.4
"""Share of the picture's width that all shortened stretches take together."""
_TICK = 92.0
_LABEL_COLUMNS = 24
_STEPS = (
    *(base * power for power in (0.001, 0.01, 0.1) for base in (1, 2, 5)),
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200),
    *(86400 * days for days in (1, 2, 7, 14, 30, 90, 365)),
)
"""Seconds between ticks that people find easy to count in."""

_LEGEND: dict[str, str] = {
    "completed": "✓ completed",
    "failed": "✗ failed",
    "interrupted": "■ interrupted",
    "running": "▶ running",
    "retrying": "waits to try again",
    "sleeping": "sleeps",
    "waiting_for_worker": "waits for a worker",
    "waiting_for_approval": "waits for approval",
    "skip": "skipped",
    "paused": "paused",
    "over": "over, until it was resumed",
    "undriven": "nobody drove it",
    "resume": "resumed",
    "cut": "drawn shorter than it was",
}
_WAITS: tuple[Kind, ...] = ("retrying", "sleeping", "waiting_for_worker", "waiting_for_approval")
_MARKS: dict[Kind, str] = {"failed": SYMBOLS.failed, "interrupted": SYMBOLS.interrupted}


class _Stretch(msgspec.Struct, frozen=True):
    """A part of the axis with a scale of its own: seconds since the beginning, and where they are drawn."""

    begin: float
    end: float
    x: float
    to_x: float
    cut: bool


class _Axis:
    """Where moments are drawn."""

    def __init__(self, line: Timeline) -> None:
        self.began = line.begin
        self.stretches = _stretches(line)
        self.per_second = next(
            ((s.to_x - s.x) / (s.end - s.begin) for s in self.stretches if not s.cut and s.end > s.begin), 0.0
        )

    def x(self, at: datetime) -> float:
        seconds = (at - self.began).total_seconds()
        for stretch in self.stretches:
            if seconds <= stretch.end:
                share = (seconds - stretch.begin) / max(stretch.end - stretch.begin, 1e-9)
                return stretch.x + min(max(share, 0.0), 1.0) * (stretch.to_x - stretch.x)
        return self.stretches[-1].to_x


def _stretches(line: Timeline) -> list[_Stretch]:
    total = max((line.end - line.begin).total_seconds(), 0.001)
    idle = _idle(line, total)
    longest = sorted(idle, key=lambda gap: gap[0] - gap[1])
    cut: set[tuple[float, float]] = set()
    rest, room = total, _PLOT
    for count, gap in enumerate(longest, 1):
        long = gap[1] - gap[0]
        if long * room / rest <= _SHORTENED * _PLOT / count or rest - long <= 0:
            break
        cut.add(gap)
        rest -= long
        room = (1 - _SHORTENED) * _PLOT
    found, x = [], _LEFT
    edges = sorted({0.0, total, *(edge for gap in cut for edge in gap)})
    for begin, end in pairwise(edges):
        shortened = (begin, end) in cut
        to_x = x + (_SHORTENED * _PLOT / len(cut) if shortened else (end - begin) * room / rest)
        found.append(_Stretch(begin, end, x, to_x, shortened))
        x = to_x
    return found


def _idle(line: Timeline, total: float) -> list[tuple[float, float]]:
    """Stretches in which no attempt ran, in seconds since the beginning."""
    work = sorted((s.begin, s.end) for track in line.tracks for s in track.spans if s.kind in WORK)
    found, at = [], 0.0
    for begin, end in work:
        start = (begin - line.begin).total_seconds()
        if start > at:
            found.append((at, start))
        at = max(at, (end - line.begin).total_seconds())
    if at < total:
        found.append((at, total))
    return found


# -- drawing ----------------------------------------------------------------------------------------------------------


def gantt(line: Timeline, groups: dict[str, Group], name: str) -> Markup:
    """The picture; `groups` has the group of each step that the workflow still has."""
    axis = _Axis(line)
    rows, bottom = _rows(line, groups)
    marks = {
        *(span.kind for track, _ in rows if isinstance(track, Track) for span in track.spans),
        *("skip" for track, _ in rows if isinstance(track, Track) and track.skips),
        *(rest.kind for rest in line.rests),
        *("resume" for _ in line.resumes),
        *("cut" for stretch in axis.stretches if stretch.cut),
    }
    legend, height = _legend([what for what in _LEGEND if what in marks], bottom + 14)
    long = length((line.end - line.begin).total_seconds())
    resumes = f", resumed {len(line.resumes)} time{'s' if len(line.resumes) > 1 else ''}" if line.resumes else ""
    return element(
        "svg",
        *_bands(line, axis, bottom),
        *_ticks(axis, bottom),
        *(_row(what, y, axis) for what, y in rows),
        legend,
        class_="gantt",
        role="img",
        aria_label=f"{name} over time: {len(line.tracks)} steps in {long}{resumes}",
        viewBox=f"0 0 {number(_WIDTH)} {number(height)}",
        width=_WIDTH,
        height=height,
    )


def _rows(line: Timeline, groups: dict[str, Group]) -> tuple[list[tuple[Track | str, float]], float]:
    """Tracks and headings of groups with where they begin, and where the last ends."""
    found: list[tuple[Track | str, float]] = []
    y, heading = _TOP, "steps"
    for track in line.tracks[:MOST_ROWS]:
        group = groups.get(track.step, "not in the definition any more")
        if group != heading:
            found.append((group, y))
            heading = group
            y += _ROW
        found.append((track, y))
        y += _ROW
    return found, y


def _row(what: Track | str, y: float, axis: _Axis) -> Markup:
    if isinstance(what, str):
        return element("text", what, class_="heading", x=4, y=y + 16)
    name = harmless(what.step)
    end = 0.0
    drawn: list[Markup] = []
    for span in what.spans[-MOST_BARS:]:
        x, to_x = axis.x(span.begin), axis.x(span.end)
        to_x = max(to_x, x + _LEAST_BAR)
        drawn.append(_bar(what.step, span, x, to_x, y))
        end = max(end, to_x)
    for at, why in what.skips:
        x = axis.x(at)
        told = element("title", f"{name}: {why}, {moment(at)}")
        drawn.append(element("text", told, SYMBOLS.skipped, class_="mark skip", x=x, y=y + 16))
        end = max(end, x + 8)
    last = what.spans[-1] if what.spans else None
    label = "" if last is None else length(sum((s.end - s.begin).total_seconds() for s in what.spans))
    return element(
        "g",
        element("line", class_="row", x1=_LEFT, x2=_LEFT + _PLOT, y1=y + _ROW, y2=y + _ROW),
        element("text", element("title", name), clipped(name, _LABEL_COLUMNS), class_="name", x=_LEFT - 10, y=y + 16),
        *drawn,
        element("text", f"{_MARKS.get(last.kind, '')} {label}".strip(), class_="took", x=end + 6, y=y + 16)
        if last is not None
        else "",
    )


def _bar(step: str, span: Span, x: float, to_x: float, y: float) -> Markup:
    said = f": {span.said}" if span.said else ""
    long = length((span.end - span.begin).total_seconds())
    what = span.kind.replace("_", " ")
    told = f"{step}, attempt {span.attempt}: {what}{said}\n{long}, {moment(span.begin)} to {moment(span.end)}"
    top, height = _shape(span.kind)
    return element(
        "rect",
        element("title", told),
        class_=f"span {span.kind}",
        x=x,
        y=y + top,
        width=to_x - x,
        height=height,
        rx=min(3.0, (to_x - x) / 2),
    )


def _shape(kind: str) -> tuple[float, float]:
    """Where in a row a mark begins, and how high it is: what failed stands out without its colour, too."""
    return (2.0, 20.0) if kind == "failed" else (9.0, 6.0) if kind in _WAITS else (5.0, 14.0)


def _bands(line: Timeline, axis: _Axis, bottom: float) -> Iterator[Markup]:
    """What lies behind the rows: stretches that are shortened, times without a runner, and resumes."""
    for stretch in axis.stretches:
        if stretch.cut:
            yield _band("cut", stretch.x, stretch.to_x, bottom, f"drawn shorter: {length(stretch.end - stretch.begin)}")
            middle = (stretch.x + stretch.to_x) / 2
            yield element("text", f"⋯ {length(stretch.end - stretch.begin)} ⋯", class_="tick", x=middle, y=12)
    for rest in line.rests:
        yield _band(f"rest {rest.kind}", axis.x(rest.begin), axis.x(rest.end), bottom, _rest_said(rest))
    for at, said in line.resumes:
        x = axis.x(at)
        told = element("title", f"{said}, {moment(at)}")
        yield element("line", told, class_="resume", x1=x, x2=x, y1=_TOP - 6, y2=bottom)


def _rest_said(rest: Rest) -> str:
    long = length((rest.end - rest.begin).total_seconds())
    return f"{rest.said}\n{long}, {moment(rest.begin)} to {moment(rest.end)}"


def _band(kind: str, x: float, to_x: float, bottom: float, said: str) -> Markup:
    width = max(to_x - x, _LEAST_BAR)
    return element(
        "rect", element("title", said), class_=f"band {kind}", x=x, y=_TOP - 6, width=width, height=bottom - _TOP + 6
    )


def _ticks(axis: _Axis, bottom: float) -> Iterator[Markup]:
    """Moments of local time along the top, with the day where it is another one than before."""
    step = next((s for s in _STEPS if s * axis.per_second >= _TICK), _STEPS[-1])
    last, day = -_TICK, ""
    for at in _moments(axis, step):
        x = axis.x(at)
        if x - last < _TICK * 0.8:
            continue
        last = x
        local = at.astimezone()
        if (now := f"{local:%Y-%m-%d}") != day:
            day = now
            yield element("text", day, class_="tick day", x=x, y=12)
        yield element("line", class_="grid", x1=x, x2=x, y1=_TOP - 6, y2=bottom)
        if step < 86400:
            yield element("text", _clock(local, step), class_="tick", x=x, y=27)


def _moments(axis: _Axis, step: float) -> Iterator[datetime]:
    """Round moments of local time, in what is not shortened."""
    offset = (axis.began.astimezone().utcoffset() or timedelta()).total_seconds()
    began = axis.began.timestamp()
    for stretch in axis.stretches:
        if stretch.cut:
            continue
        first = -(-(began + stretch.begin + offset) // step)
        count = int((stretch.end - stretch.begin) / step) + 2
        for index in range(count):
            since_1970 = round((first + index) * step - offset, 3)
            if stretch.begin <= since_1970 - began <= stretch.end:
                yield datetime.fromtimestamp(since_1970, UTC)


def _clock(local: datetime, step: float) -> str:
    if step >= 60:
        return f"{local:%H:%M}"
    if step >= 1:
        return f"{local:%H:%M:%S}"
    digits = 3 if step < 0.01 else 2 if step < 0.1 else 1
    seconds = f"{local.second + local.microsecond / 1e6:0{3 + digits}.{digits}f}"
    return f"{local:%H:%M}:{seconds}"


def _legend(kinds: Sequence[str], y: float) -> tuple[Markup, float]:
    """What the marks mean, and where the picture ends below it."""
    drawn: list[Markup] = []
    x = _LEFT
    for kind in kinds:
        text = _LEGEND[kind]
        room = columns(text) * 7.0 + 50
        if x + room > _WIDTH and x > _LEFT:
            x, y = _LEFT, y + 22
        drawn += [_sample(kind, x, y), element("text", text, class_="legend", x=x + 30, y=y + 12)]
        x += room
    return element("g", *drawn), y + 24


def _sample(kind: str, x: float, y: float) -> Markup:
    if kind == "skip":
        return element("text", SYMBOLS.skipped, class_="mark skip", x=x + 12, y=y + 12)
    if kind == "resume":
        return element("line", class_="resume", x1=x + 12, x2=x + 12, y1=y, y2=y + 16)
    top, height = _shape(kind)
    of = f"span {kind}" if kind in (*WORK, *_WAITS) else "band cut" if kind == "cut" else f"band rest {kind}"
    return element("rect", class_=of, x=x, y=y + top - 4, width=24, height=height, rx=3)
