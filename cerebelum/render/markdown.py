"""How an execution ended, as Markdown: what build systems show on the page of a build."""

from __future__ import annotations

import re

from cerebelum.core.state import State, status
from cerebelum.render.display import UNICODE, harmless, length, one_line
from cerebelum.render.failures import error_extract
from cerebelum.render.markup import escaped
from cerebelum.render.summary import had_their_turn, outcome, took
from cerebelum.render.text import mark

_MOST_TAIL = 4_000
"""Characters of a failed step's last output that are shown."""
_MOST_STEPS = 500


def markdown(state: State, again: str) -> str:
    """Steps, lengths of time and outcome; with the command line `again` where it can be gone on with."""
    how = status(state)
    sign = {"completed": "✅", "failed": "❌"}.get(how, "⏸")
    lines = [f"### {sign} {_cell(state.workflow.name)}: {how.replace('_', ' ')} after {took(state)}", ""]
    lines += [
        f"Execution `{state.execution_id}`",
        "",
        "| | Step | Time | Attempts | Outcome |",
        "|---|---|--:|--:|---|",
    ]
    names = list(had_their_turn(state))
    for name in names[:_MOST_STEPS]:
        at = state.steps[name]
        whole = at.whole()
        cells = (
            _cell(name),
            "" if whole is None else length(whole),
            str(at.attempt or ""),
            _cell(outcome(state, name)),
        )
        lines.append(f"| {mark(at, UNICODE)} | {' | '.join(cells)} |")
    if len(names) > _MOST_STEPS:
        lines.append(f"| | and {len(names) - _MOST_STEPS} more | | | |")
    for name in state.failed:
        error = state.steps[name].error if name in state.steps else None
        if error is not None and (more := error_extract(error)):
            told = f"{escaped(one_line(name))}: {escaped(one_line(error.message))}"
            lines += ["", f"<details><summary>{told}</summary>", "", *_block(more)]
            lines += ["", "</details>"]
    if how in ("failed", "paused"):
        lines += ["", "Go on where it stopped:", "", *_block(again)]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that means nothing to Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]()#|~!@:])", r"\\\1", escaped(one_line(text)))


def _block(text: str) -> list[str]:
    shown = harmless(text.rstrip("\n"))[-_MOST_TAIL:]
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", shown, fence]
