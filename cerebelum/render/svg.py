"""The steps of a workflow as a picture for browsers and documents: one SVG that needs nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from cerebelum.core.model import GROUPS, Step
from cerebelum.core.state import StepState
from cerebelum.render.display import harmless, length
from cerebelum.render.graphs import Picture, rows
from cerebelum.render.layers import Drawing, Place, Point, layered
from cerebelum.render.markup import Markup, element, joined, number
from cerebelum.render.palette import SYMBOLS, palette, tone
from cerebelum.render.text import mark
from cerebelum.render.width import clipped, columns

NAMESPACE = "http://www.w3.org/2000/svg"

_MOST_COLUMNS = 28
_COLUMN = 7.3
"""How wide a column of the text is drawn at most, in the fonts that browsers have for it."""
_LEAST_BOX = 96.0
_PADDING = 24.0
_BOX = 44.0
_MOST_WIDTH = 1100.0
_MARGIN = 16.0
_LABEL = 22.0

_STYLE = """
.cerebelum-steps { background: var(--paper); }
.cerebelum-steps text { font: 12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: var(--text);
  text-anchor: middle; unicode-bidi: isolate; }
.cerebelum-steps .says { font-size: 11px; fill: var(--quiet); }
.cerebelum-steps .label { font-weight: 600; text-anchor: start; fill: var(--quiet); }
.cerebelum-steps .group { fill: none; stroke: var(--line); stroke-dasharray: 5 4; }
.cerebelum-steps .box { fill: var(--panel); stroke: var(--edge); stroke-width: 1.2; }
.cerebelum-steps .line { fill: none; stroke: var(--edge); stroke-width: 1.2; }
.cerebelum-steps .head, .cerebelum-steps .joint { fill: var(--edge); }
.cerebelum-steps .pending .box { stroke-dasharray: 3 3; }
.cerebelum-steps .skipped .box { stroke-dasharray: 6 3; }
"""
_STATUSES = ("completed", "failed", "cancelled", "skipped", "interrupted", "running", "waiting")


class _Part(msgspec.Struct, frozen=True):
    """One group of steps, drawn, and where it goes."""

    group: str
    steps: tuple[Step, ...]
    drawing: Drawing
    x: float
    y: float


def graph(picture: Picture) -> Markup:
    """The picture: each group from its first steps to its last, the handlers below in frames of their own."""
    parts = _parts(picture)
    width = max(part.x + _room(part) for part in parts) + _MARGIN
    height = max(part.y + part.drawing.height for part in parts) + 2 * _MARGIN
    said = _said(picture)
    return element(
        "svg",
        element("title", said),
        element("style", Markup(f"\n{palette('.cerebelum-steps')}{_STYLE}{_tones()}")),
        *(_part(picture, part) for part in parts),
        xmlns=NAMESPACE,
        class_="cerebelum-steps",
        role="img",
        aria_label=said,
        width=width,
        height=height,
        viewBox=f"0 0 {number(width)} {number(height)}",
    )


def _tones() -> str:
    return "".join(
        f".cerebelum-steps .{name} .box {{ stroke: var(--{name}); stroke-width: 2; }}\n"
        f".cerebelum-steps .{name} .says {{ fill: var(--{name}); }}\n"
        for name in _STATUSES
    )


def _said(picture: Picture) -> str:
    """What there is to see, in words."""
    steps = picture.workflow.every_step()
    what = f"{picture.workflow.name}: {len(steps)} step{'' if len(steps) == 1 else 's'}"
    if picture.steps is None:
        return what
    counts = Counter(at.status.replace("_", " ") for step in steps if (at := picture.steps.get(step.id)) is not None)
    return f"{what}; {', '.join(f'{count} {status}' for status, count in counts.items())}"


# -- where the groups go ----------------------------------------------------------------------------------------------


def _parts(picture: Picture) -> list[_Part]:
    """The main graph, and the handlers below it, next to one another as far as there is room."""
    found: list[_Part] = []
    x, y, bottom = _MARGIN, _MARGIN, _MARGIN
    for group in GROUPS:
        steps = picture.workflow.group(group)
        if not steps and group != "steps":
            continue
        drawing = _drawn(picture, steps)
        if group == "steps":
            found.append(_Part(group, steps, drawing, x, y))
            bottom = y + drawing.height + 2 * _MARGIN + _LABEL
            y = bottom
            continue
        room = max(drawing.width, columns(group) * _COLUMN)
        if x > _MARGIN and x + room > max(_MOST_WIDTH, found[0].drawing.width):
            x, y = _MARGIN, bottom
        found.append(_Part(group, steps, drawing, x + _MARGIN, y))
        x += room + 3 * _MARGIN
        bottom = max(bottom, y + drawing.height + 3 * _MARGIN + _LABEL)
    return _centred(found)


def _centred(parts: list[_Part]) -> list[_Part]:
    """The main graph moved to the middle, where the handlers take more room."""
    main, *handlers = parts
    over = max((part.x + _room(part) for part in handlers), default=0.0) - main.x - main.drawing.width
    return [msgspec.structs.replace(main, x=main.x + max(0.0, over / 2)), *handlers]


def _room(part: _Part) -> float:
    if part.group == "steps":
        return part.drawing.width
    return max(part.drawing.width, columns(part.group) * _COLUMN) + _MARGIN


def _drawn(picture: Picture, steps: tuple[Step, ...]) -> Drawing:
    return layered(
        [[step.id for step in row] for row in rows(steps)],
        {step.id: step.needs for step in steps},
        {step.id: _box_width(picture, step) for step in steps},
        _BOX,
        _MOST_WIDTH,
    )


def _box_width(picture: Picture, step: Step) -> float:
    most = max(columns(_shown(step.id)), columns(_says(picture, step)))
    return max(_LEAST_BOX, most * _COLUMN + _PADDING)


# -- drawing ----------------------------------------------------------------------------------------------------------


def _part(picture: Picture, part: _Part) -> Markup:
    drawing = part.drawing
    frame = joined() if part.group == "steps" else _frame(part)
    return element(
        "g",
        frame,
        *(element("path", class_="line", d=_curve(line)) for line in drawing.lines),
        *(element("circle", class_="joint", cx=x, cy=y, r=3) for x, y in drawing.joints),
        *(element("path", class_="head", d=_head(point)) for point in drawing.heads),
        *(_box(picture, step, drawing.boxes[step.id]) for step in part.steps),
        transform=f"translate({number(part.x)} {number(part.y)})",
    )


def _frame(part: _Part) -> Markup:
    width = _room(part) - _MARGIN
    return joined(
        element(
            "rect",
            class_="group",
            x=-_MARGIN,
            y=-_MARGIN,
            width=width + 2 * _MARGIN,
            height=part.drawing.height + 2 * _MARGIN,
            rx=10,
        ),
        element("text", part.group, class_="label", x=-_MARGIN + 4, y=-_MARGIN - 6),
    )


def _box(picture: Picture, step: Step, place: Place) -> Markup:
    at = None if picture.steps is None else picture.steps.get(step.id)
    middle = place.x + place.width / 2
    told = [harmless(step.id), _says(picture, step), *([step.description] if step.description else [])]
    return element(
        "g",
        element("title", "\n".join(told)),
        element("rect", class_="box", x=place.x, y=place.y, width=place.width, height=place.height, rx=7),
        element("text", _shown(step.id), x=middle, y=place.y + 19),
        element("text", _says(picture, step), class_="says", x=middle, y=place.y + 35),
        class_="step" if at is None else f"step {'pending' if at.status == 'pending' else tone(at.status)}",
    )


def _shown(step_id: str) -> str:
    return clipped(harmless(step_id), _MOST_COLUMNS)


def _says(picture: Picture, step: Step) -> str:
    """The second line of a box: how the step stands, or what it does."""
    if picture.steps is None:
        return clipped(harmless(step.executor), _MOST_COLUMNS)
    at = picture.steps.get(step.id, StepState())
    word: str = at.status.replace("_", " ")
    whole = at.whole() if at.status in ("completed", "failed", "interrupted") else None
    if at.status == "completed" and whole is None:
        word = "taken over"
    return f"{mark(at, SYMBOLS)} {word}" + ("" if whole is None else f" {length(whole)}")


def _curve(line: Sequence[Point]) -> str:
    """A line through its points that leaves and reaches each of them upright."""
    drawn = [f"M{number(line[0][0])} {number(line[0][1])}"]
    for (x, y), (to_x, to_y) in pairwise(line):
        if abs(x - to_x) < 0.5:
            drawn.append(f"L{number(to_x)} {number(to_y)}")
        else:
            half = number((y + to_y) / 2)
            drawn.append(f"C{number(x)} {half} {number(to_x)} {half} {number(to_x)} {number(to_y)}")
    return "".join(drawn)


def _head(point: Point) -> str:
    x, y = point
    return f"M{number(x)} {number(y)}L{number(x - 4)} {number(y - 7)}L{number(x + 4)} {number(y - 7)}Z"
