"""The picture of a graph: well-formed, whole by itself, and harmless whatever steps are called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from cerebelum.core.model import Step, Workflow
from cerebelum.core.state import StepState
from cerebelum.render.graphs import Picture
from cerebelum.render.layers import layered
from cerebelum.render.palette import DARK, LIGHT
from cerebelum.render.svg import NAMESPACE, graph
from tests.cli.conftest import Home

SVG = f"{{{NAMESPACE}}}"
HOSTILE = "</title></svg><script>alert(1)</script><img src=x onerror='alert(2)'>\x1b[31m\x1b]0;x\x07\u202e\ufffe&"


def steps(needs: Mapping[str, Sequence[str]]) -> tuple[Step, ...]:
    return tuple(Step(id=name, executor="run", body="true", needs=tuple(of)) for name, of in needs.items())


def drawn(workflow: Workflow, states: Mapping[str, StepState] | None = None) -> ET.Element:
    return ET.fromstring(graph(Picture(workflow, states)))


def boxes(root: ET.Element) -> dict[str, ET.Element]:
    """The boxes by the full names of their steps."""
    found = {}
    for box in root.iter(f"{SVG}g"):
        title = box.find(f"{SVG}title")
        if title is not None and title.text:
            found[title.text.splitlines()[0]] = box
    return found


def texts(box: ET.Element) -> list[str]:
    return [text.text or "" for text in box.findall(f"{SVG}text")]


def rectangles(root: ET.Element) -> Iterator[tuple[float, float, float, float]]:
    """Corners of all boxes, in the picture's coordinates."""
    for part in root.findall(f"{SVG}g"):
        x, y = map(float, re.findall(r"-?[\d.]+", part.attrib["transform"]))
        for box in part.findall(f"{SVG}g/{SVG}rect"):
            left, top, width, height = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
            yield x + left, y + top, x + left + width, y + top + height


def apart(root: ET.Element) -> bool:
    """Whether all boxes are in the picture and no two of them touch."""
    every = list(rectangles(root))
    inside = all(
        left >= 0 and top >= 0 and right <= float(root.attrib["width"]) and bottom <= float(root.attrib["height"])
        for left, top, right, bottom in every
    )
    every.sort()
    touching = any(
        a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for i, a in enumerate(every) for b in every[:i]
    )
    return inside and not touching


def test_steps_handlers_and_needs_are_drawn() -> None:
    main = steps({"build": [], "lint": ["build"], "unit": ["build"], "end": ["lint", "unit"]})
    root = drawn(Workflow(name="w", steps=main, on_failure=steps({"undo": []}), finally_=steps({"sweep": []})))
    assert set(boxes(root)) == {"build", "lint", "unit", "end", "undo", "sweep"}
    assert texts(boxes(root)["build"]) == ["build", "run"]
    assert [label.text for label in root.iter(f"{SVG}text") if label.get("class") == "label"] == [
        "on_failure",
        "finally",
    ]
    assert sum(path.get("class") == "line" for path in root.iter(f"{SVG}path")) == 4
    assert root.attrib["aria-label"] == "w: 6 steps"
    assert apart(root)
    tops = [float(boxes(root)[name][1].attrib["y"]) for name in ("build", "lint", "end")]
    assert tops == sorted(set(tops)), "what needs something stands below it"


def test_states_are_told_by_colour_symbol_and_word(cli: Home) -> None:
    cli.write(
        "w.yaml",
        """
        name: w
        steps:
          - {id: good, run: 'true'}
          - {id: not, when: false, run: 'true'}
          - {id: bad, run: 'false'}
          - {id: later, run: 'true'}
        """,
    )
    assert cli("run", "w.yaml", "--id", "x").code == 1
    root = ET.fromstring(cli("graph", "x", "--format", "svg").out)
    found = boxes(root)
    assert {name: box.attrib["class"] for name, box in found.items()} == {
        "good": "step completed",
        "not": "step skipped",
        "bad": "step failed",
        "later": "step pending",
    }
    assert re.fullmatch(r"✓ completed \d\.\d s", texts(found["good"])[1])
    assert texts(found["not"])[1] == "– skipped"
    assert texts(found["bad"])[1].startswith("✗ failed")
    assert texts(found["later"])[1] == "· pending"
    assert root.attrib["aria-label"] == "w: 4 steps; 1 completed, 1 skipped, 1 failed, 1 pending"
    style = root.find(f"{SVG}style")
    assert style is not None
    assert "prefers-color-scheme: dark" in (style.text or "")


def test_the_picture_is_utf_8_also_where_the_terminal_takes_ascii(cli: Home) -> None:
    cli.write("u.yaml", "name: w\ndescription: größer\nsteps: [{id: a, run: 'true', description: größer}]\n")
    shown = cli("graph", "u.yaml", "--format", "svg", env={"PYTHONIOENCODING": "ascii"})
    assert shown.code == 0, shown.err
    assert "größer" in shown.out
    assert shown.out == cli("graph", "u.yaml", "--format", "svg").out, "the same input gives the same picture"


def test_hostile_and_long_names_are_inert_and_clipped() -> None:
    names = [HOSTILE, "n" * 300, "日本語" * 100, "שלום" * 90]
    workflow = Workflow(name=HOSTILE, steps=steps({name: [] for name in names}))
    text = graph(Picture(workflow))
    assert not re.search(r"<(script|img)|\x1b|\x07|\u202e|\ufffe", text)
    root = ET.fromstring(text)
    found = boxes(root)
    assert "n" * 300 in found, "the full name is told"
    shown = [texts(box)[0] for box in found.values()]
    assert all(name.endswith("…") for name in shown)
    assert [len(name) for name in shown[1:3]] == [28, 14]
    assert apart(root)


def test_nothing_is_loaded_from_elsewhere() -> None:
    text = graph(Picture(Workflow(name="w", steps=steps({"a": [], "b": ["a"]}))))
    assert re.findall(r"https?://[^\"]+", text) == [NAMESPACE]
    assert not re.search(r"url\(|@import|href|src=", text)


def test_hundreds_of_parallel_steps_stand_in_several_rows() -> None:
    many = [f"shard-{number}" for number in range(300)]
    needs = {"first": (), **dict.fromkeys(many, ("first",)), "gather": tuple(many), "end": ("first", "gather")}
    root = drawn(Workflow(name="w", steps=steps(needs)))
    assert apart(root)
    assert float(root.attrib["width"]) < 1300
    assert len({box[1] for box in rectangles(root)}) > 20


def test_what_many_need_together_is_gathered_in_a_joint() -> None:
    upper, lower = [f"u{n}" for n in range(200)], [f"l{n}" for n in range(200)]
    text = graph(Picture(Workflow(name="w", steps=steps({**dict.fromkeys(upper, ()), **dict.fromkeys(lower, upper)}))))
    root = ET.fromstring(text)
    assert sum(circle.get("class") == "joint" for circle in root.iter(f"{SVG}circle")) == 1
    assert sum(path.get("class") == "line" for path in root.iter(f"{SVG}path")) == 400


def test_a_chain_of_hundreds_is_one_column() -> None:
    names = [f"s{number}" for number in range(400)]
    chain = {"s0": (), **{after: (before,) for before, after in pairwise(names)}}
    every = list(rectangles(drawn(Workflow(name="w", steps=steps(chain)))))
    assert len({left for left, *_ in every}) <= 2
    assert len({top for _, top, *_ in every}) == 400


def test_rows_are_ordered_so_that_lines_cross_little() -> None:
    rows = [["a", "b", "c"], ["x", "y", "z"]]
    drawing = layered(
        rows, {"x": ["c"], "y": ["b"], "z": ["a"], "a": [], "b": [], "c": []}, dict.fromkeys("abcxyz", 90), 40, 900
    )
    middle = {name: place.x for name, place in drawing.boxes.items()}
    assert (middle["x"], middle["y"], middle["z"]) == (middle["c"], middle["b"], middle["a"])


def test_a_line_past_a_layer_goes_round_its_boxes() -> None:
    rows = [["a"], ["b"], ["c"]]
    drawing = layered(rows, {"a": [], "b": ["a"], "c": ["a", "b"]}, dict.fromkeys("abc", 90), 40, 900)
    box = drawing.boxes["b"]
    passing = [line for line in drawing.lines if line[0][1] == box.y and line[-1][1] == box.y + box.height]
    assert len(passing) == 1
    assert not box.x <= passing[0][0][0] <= box.x + box.width


def test_no_steps_and_one_step_are_pictures_too() -> None:
    assert drawn(Workflow(name="w")).tag == f"{SVG}svg"
    assert apart(drawn(Workflow(name="w", steps=steps({"a": []}))))


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(colours: dict[str, str]) -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for behind in ("paper", "panel"):
        for name in set(colours) - {"paper", "panel", "line", "edge"}:
            lighter, darker = sorted((luminance(colours[name]), luminance(colours[behind])), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (name, behind)
