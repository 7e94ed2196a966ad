"""What completed steps may have left on the disks of other machines than the one on which an execution goes on."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

import msgspec

from cerebelum.core.model import Workflow
from cerebelum.core.state import State

_MOST_NAMED = 10


class Elsewhere(msgspec.Struct, frozen=True):
    """Completed steps that ran on another machine."""

    host: str
    steps: tuple[str, ...]


def left_elsewhere(
    state: State, now: Workflow, here: str, leaving_nothing: Container[str], again: Iterable[str] = ()
) -> tuple[Elsewhere, ...]:
    """By machine, the completed steps whose files are not on the machine `here`; none if `now` says `portable`.

    `leaving_nothing` are executors whose steps leave no files behind, `again` steps that are to run again.
    """
    if now.portable:
        return ()
    there: dict[str, list[str]] = {}
    rerun = set(again)
    for step in state.graph.steps:
        at = state.steps[step.id]
        if at.status == "completed" and at.host not in (None, here) and step.id not in rerun:
            assert at.host is not None
            # What is said to run elsewhere is known to.
            if step.executor not in leaving_nothing and step.runs_on is None:
                there.setdefault(at.host, []).append(step.id)
    return tuple(Elsewhere(host, tuple(steps)) for host, steps in there.items())


def warning(left: Sequence[Elsewhere]) -> str:
    """What somebody should know who goes on all the same."""
    count = sum(len(each.steps) for each in left)
    ran = ", ".join(f"{_named(each.steps)} ran on {each.host}" for each in left)
    whose, they = ("completed steps", "they") if count > 1 else ("the completed step", "it")
    return (
        f"{whose} {ran}; files that {they} left there are not here; "
        "say `portable: true` in the workflow if that does not matter"
    )


def _named(steps: Sequence[str]) -> str:
    more = len(steps) - _MOST_NAMED
    return ", ".join(steps[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
