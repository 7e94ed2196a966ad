"""A workflow's steps and what each needs, as text for terminals, as Mermaid and as DOT; of an execution with states."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from cerebelum.core.model import GROUPS, Step, Workflow
from cerebelum.core.state import StepState
from cerebelum.render.display import Symbols, harmless, length
from cerebelum.render.palette import tone
from cerebelum.render.text import mark

_COLOURS = {
    "completed": "#2e7d32",
    "failed": "#c62828",
    "skipped": "#757575",
    "interrupted": "#ef6c00",
    "running": "#1565c0",
    "waiting": "#ef6c00",
}
"""By tone: what is told apart on white and on black alike, since these pictures do not know where they will be."""


class Picture(msgspec.Struct, frozen=True):
    """What is drawn: a workflow, and how its steps stand if an execution is meant."""

    workflow: Workflow
    steps: Mapping[str, StepState] | None = None


def text_graph(picture: Picture, symbols: Symbols) -> str:
    """Each group from its first steps to its last: steps of one row may run at the same time."""
    lines: list[str] = []
    for group in GROUPS:
        steps = picture.workflow.group(group)
        if not steps:
            continue
        if group != "steps":
            lines += ["", f"{group}:"]
        layers = rows(steps)
        for number, row in enumerate(layers):
            before = frozenset(step.id for step in layers[number - 1]) if number else frozenset[str]()
            if number:
                lines.append(f"  {symbols.bar}")
            lines += [f"  {_node(picture, step, symbols)}{_needs(step, before)}" for step in row]
    return "\n".join(lines)


def rows(steps: tuple[Step, ...]) -> list[list[Step]]:
    """Steps by how many others must come before them, one after the other."""
    rank: dict[str, int] = {}
    for step in _ordered(steps):
        rank[step.id] = 1 + max((rank[need] for need in step.needs if need in rank), default=-1)
    found: list[list[Step]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for step in steps:
        found[rank[step.id]].append(step)
    return found


def _ordered(steps: tuple[Step, ...]) -> list[Step]:
    """Each step after those that it needs."""
    from graphlib import TopologicalSorter

    by_id = {step.id: step for step in steps}
    sorter = TopologicalSorter({step.id: [need for need in step.needs if need in by_id] for step in steps})
    return [by_id[step_id] for step_id in sorter.static_order()]


def _node(picture: Picture, step: Step, symbols: Symbols) -> str:
    at = None if picture.steps is None else picture.steps.get(step.id)
    long = "" if at is None else took(at)
    return f"{f'{mark(at, symbols)} ' if at is not None else ''}{step.id}{f'  {long}' if long else ''}"


def _needs(step: Step, before: frozenset[str]) -> str:
    """What it needs, where that is not simply all of the row above."""
    return "" if frozenset(step.needs) == before else f"  (needs {', '.join(step.needs) or 'nothing'})"


def took(at: StepState) -> str:
    """How long a completed step took; otherwise how it stands, and nothing where it has not begun."""
    if at.status == "completed":
        whole = at.whole()
        return "taken over" if whole is None else length(whole)
    return "" if at.status == "pending" else at.status.replace("_", " ")


def mermaid(picture: Picture) -> str:
    """A flowchart as Mermaid draws it, in READMEs and wikis."""
    lines = ["flowchart TD"]
    names = _names(picture.workflow)
    for group in GROUPS:
        steps = picture.workflow.group(group)
        if not steps:
            continue
        if group != "steps":
            lines.append(f"  subgraph {group}")
        lines += [f'  {names[step.id]}["{_label(picture, step, "<br/>")}"]' for step in steps]
        lines += [f"  {names[need]} --> {names[step.id]}" for step in steps for need in step.needs]
        if group != "steps":
            lines.append("  end")
    used: dict[str, list[str]] = {}
    for step_id, kind, colour in _coloured(picture):
        used.setdefault(f"classDef {kind} stroke:{colour},stroke-width:2px", []).append(names[step_id])
    for definition, members in used.items():
        lines += [f"  {definition}", f"  class {','.join(members)} {definition.split()[1]}"]
    return "\n".join(lines)


def dot(picture: Picture) -> str:
    """A graph for Graphviz."""
    colours = {step_id: colour for step_id, _, colour in _coloured(picture)}
    lines = [f"digraph {_dot(picture.workflow.name)} {{", "  node [shape=box, style=rounded, fontname=sans];"]
    for number, group in enumerate(GROUPS):
        steps = picture.workflow.group(group)
        if not steps:
            continue
        if group != "steps":
            lines += [f"  subgraph cluster_{number} {{", f"  label={_dot(group)};"]
        for step in steps:
            colour = f", color={_dot(colours[step.id])}" if step.id in colours else ""
            lines.append(f"  {_dot(step.id)} [label={_dot(_label(picture, step, chr(10)))}{colour}];")
        lines += [f"  {_dot(need)} -> {_dot(step.id)};" for step in steps for need in step.needs]
        if group != "steps":
            lines.append("  }")
    return "\n".join([*lines, "}"])


def _label(picture: Picture, step: Step, newline: str) -> str:
    at = None if picture.steps is None else picture.steps.get(step.id)
    long = "" if at is None else took(at)
    return step.id + (f"{newline}{long}" if long else "")


def _coloured(picture: Picture) -> list[tuple[str, str, str]]:
    steps = picture.steps or {}
    known = [step for step in picture.workflow.every_step() if step.id in steps]
    tones = [(step.id, tone(steps[step.id].status)) for step in known]
    return [(step_id, name, _COLOURS[name]) for step_id, name in tones if name in _COLOURS]


def _names(workflow: Workflow) -> dict[str, str]:
    """Ids that Mermaid takes for names: some words mean something to it."""
    return {step.id: f"s{number}" for number, step in enumerate(workflow.every_step())}


def _dot(text: str) -> str:
    escaped = harmless(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


FORMATS: Mapping[str, Callable[[Picture], str]] = {"mermaid": mermaid, "dot": dot}
