"""The table at the end of a run: how long each step took in all, how often it was tried, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator

from cerebelum.core.model import GROUPS
from cerebelum.core.state import State
from cerebelum.render.display import harmless, length, one_line
from cerebelum.render.tables import table
from cerebelum.render.text import COLOURS, Style, interruption, mark

_MOST_ROWS = 60


def summary_lines(state: State, style: Style) -> list[str]:
    """One row for each step that has had its turn, handlers last; none where only one did.

    Of very many, those that did not complete come first, and the rest is counted.
    """
    names = list(had_their_turn(state))
    if len(names) < 2:
        return []
    shown = names
    if len(names) > _MOST_ROWS:
        shown = sorted(names, key=lambda name: state.steps[name].status == "completed")[:_MOST_ROWS]
    rows = [("  STEP", "TIME", "ATTEMPTS", "OUTCOME")]
    colours = [("2", "2", "2", "2") if style.colour else ("",) * 4]
    for name in shown:
        at = state.steps[name]
        whole = at.whole()
        time = "" if whole is None else length(whole)
        rows.append((f"{mark(at, style.symbols)} {harmless(name)}", time, str(at.attempt or ""), outcome(state, name)))
        colours.append((COLOURS.get(at.status, "") if style.colour else "", "", "", ""))
    lines = table(rows, width=style.width, giving=(3, 0), colours=colours)
    return lines if shown is names else [*lines, f"  and {len(names) - len(shown)} more that completed"]


def took(state: State) -> str:
    """How long it took since it was started, or resumed."""
    return length((state.updated_at - (state.segment_at or state.started_at)).total_seconds())


def had_their_turn(state: State) -> Iterator[str]:
    """Steps that are not pending, handlers last."""
    for group in GROUPS:
        for step in state.workflow.group(group):
            if state.steps[step.id].status != "pending":
                yield step.id


def outcome(state: State, name: str) -> str:
    """What came of a step, on one line."""
    at = state.steps[name]
    match at.status:
        case "completed":
            since = state.segment_at or state.started_at
            earlier = at.duration is None or (at.ended_at is not None and at.ended_at < since)
            return "completed" + (" before" if earlier else "")
        case "failed":
            return f"failed: {one_line(at.error.message)}" if at.error else "failed"
        case "skipped":
            return f"skipped: {at.skipped}"
        case "interrupted":
            return f"interrupted: {interruption(at.interrupted)}"
        case _:
            return at.status.replace("_", " ")
