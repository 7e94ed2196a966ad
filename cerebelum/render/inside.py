"""A step as its process would find it, as text and as JSON: what `shell` says before it opens one."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from cerebelum.host.process_tree import host_name
from cerebelum.render.display import harmless, one_line
from cerebelum.render.tables import table
from cerebelum.render.text import said, value

if TYPE_CHECKING:
    from cerebelum.engine.inside import Inside
    from cerebelum.render.contract import StepInside
    from cerebelum.render.display import Symbols
    from cerebelum.steps.executor import ByHand

_MOST_LINES = 10
_MOST_SAID = 5
_MOST_COLUMNS = 110


def inside_text(
    inside: Inside, by_hand: ByHand | None, symbols: Symbols, now: datetime, command: Callable[..., str]
) -> str:
    """What there is to know when one looks around in a step; `command(verb, id, …)` is a command line."""
    at = inside.view.state.steps[inside.step.id]
    name = f"{inside.view.state.execution_id} {inside.step.id}"
    lines = [f"cerebelum shell: {name}: {harmless(said(at, now))}"]
    if at.error is not None:
        lines += _quoted((at.error.tail or "").splitlines()[-_MOST_SAID:], symbols)
    lines += [f"{inside.step.executor}:", *_script(inside, symbols)]
    facts = [("in", harmless(str(inside.cwd)))]
    if at.host not in (None, here := host_name()):
        facts.append(("on", harmless(f"{here}; it ran on {at.host}, whose files may be others")))
    if by_hand is not None:
        facts.append(("run it with", harmless(by_hand_text(by_hand))))
    if inside.withheld:
        facts.append(("secrets", f"left out: {', '.join(inside.withheld)}; --with-secrets takes them over"))
    if inside.given:
        facts.append(("secrets", f"{', '.join(inside.given)}, from your environment"))
    facts.append(("leave with", "exit"))
    if further := _further(inside, command):
        facts.append(("then", further))
    return "\n".join([*lines, *table(facts)])


def by_hand_text(by_hand: ByHand) -> str:
    """The command line that runs the step's script."""
    path = str(by_hand.script)
    words = [[shlex.quote(part) if part else "" for part in word.split(path)] for word in by_hand.words if word]
    return " ".join('"$CEREBELUM_SCRIPT"'.join(parts) for parts in words)


def inside_shape(inside: Inside) -> StepInside:
    """The same for programs."""
    state = inside.view.state
    return {
        "execution_id": state.execution_id,
        "step": inside.step.id,
        "attempt": int(inside.env["CEREBELUM_ATTEMPT"]),
        "working_dir": str(inside.cwd),
        "env": inside.shown(),
        "secrets_left_out": [*inside.withheld, *inside.revealing],
        "unset": [error.message for error in inside.unset],
    }


def _script(inside: Inside, symbols: Symbols) -> list[str]:
    body = inside.step.body
    lines = body.rstrip("\n").split("\n") if isinstance(body, str) else [value(body)]
    shown = _quoted(lines[:_MOST_LINES], symbols)
    if (more := len(lines) - _MOST_LINES) > 0:
        shown.append(f"  {symbols.bar} {symbols.ellipsis} {more} more line{'' if more == 1 else 's'}")
    return shown


def _quoted(lines: list[str], symbols: Symbols) -> list[str]:
    cut = [line if len(line) <= _MOST_COLUMNS else line[:_MOST_COLUMNS] + symbols.ellipsis for line in lines]
    return [f"  {symbols.bar} {harmless(line)}".rstrip() for line in cut]


def _further(inside: Inside, command: Callable[..., str]) -> str | None:
    """How to go on with the execution."""
    view, step = inside.view, inside.step
    name = view.state.execution_id
    if view.status in ("failed", "paused"):
        return command("resume", name)
    if view.state.graph.group_of(step.id) != "steps" or view.status not in ("completed", "cancelled"):
        return None
    return one_line(command("fork" if view.status == "completed" else "resume", name, "--from", step.id))
