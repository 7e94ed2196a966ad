"""Steps that workers perform, as text and as JSON: who could take them, and who has."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from cerebelum.render.display import harmless, length, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cerebelum.core.events import StepHandedOver
    from cerebelum.core.model import RunsOn
    from cerebelum.core.step_state import StepState
    from cerebelum.render.pool_contract import HandedOver, LeftBy
    from cerebelum.store.lookup import View
    from cerebelum.store.pooling import Left, Takers


def waits_for(event: StepHandedOver) -> str:
    """What a step waits for that was handed over."""
    return f"waits for {whom(event)}"


def whom(of: StepHandedOver | RunsOn) -> str:
    """Which worker is meant."""
    if not of.labels:
        return f"a worker of the queue {of.queue}"
    labels = f"label{'s' if len(of.labels) > 1 else ''} {', '.join(map(harmless, of.labels))}"
    return f"a worker of the queue {of.queue} with the {labels}"


def handed_said(at: StepState, found: Takers | None, now: datetime) -> str:
    """How a step stands whose attempt is a worker's business."""
    assert at.handed is not None
    attempt = f" (attempt {at.attempt})" if at.attempt > 1 else ""
    if at.taken is not None:
        gone = length((now - at.taken.at).total_seconds())
        if found is not None and found.lost:
            return f"ran on {one_line(at.taken.host)}, whose worker is gone; taken {gone} ago{attempt}"
        return f"runs on {one_line(at.taken.host)} for {gone}{attempt}"
    gone = length((now - at.handed.at).total_seconds())
    who = ""
    if found is not None and not found.serving:
        who = ", which no worker serves"
    elif found is not None and not found.able:
        who = f", and no worker of that has the label{'s' if len(at.handed.labels) > 1 else ''}"
    elif found is not None:
        who = "".join(f"; {each}" for each in left_said(found.left))
    return f"{waits_for(at.handed)} for {gone}{who}{attempt}"


def workers_wanted(view: View, command: Callable[..., str]) -> list[str]:
    """Which workers to start, one sentence each."""
    wanted = []
    for step_id, found in view.takers.items():
        event = view.state.steps[step_id].handed
        if event is not None and not found.able and (view.state.steps[step_id].taken is None or found.lost):
            labels = ["--labels", ",".join(event.labels)] if event.labels else []
            line = command("worker", "--queue", event.queue, *labels)
            wanted.append(f"step {step_id} waits for a worker; start one with: {line}")
    return list(dict.fromkeys(wanted))


def handed_shape(at: StepState, found: Takers | None) -> HandedOver | None:
    """The same as JSON; None for an attempt that is no worker's business."""
    if at.handed is None:
        return None
    return {
        "queue": at.handed.queue,
        "labels": at.handed.labels,
        "since": at.handed.at,
        "taken_at": at.taken.at if at.taken else None,
        "worker": at.taken.worker if at.taken else None,
        "worker_lost": found.lost if found and at.taken else None,
        "workers": found.serving if found else None,
        "able": found.able if found else None,
        "left": left_shape(found.left if found else ()),
    }


def left_shape(left: Iterable[Left]) -> list[LeftBy]:
    """Which workers left it, as JSON."""
    return [{"worker": each.worker, "host": each.host, "why": each.why} for each in left]


def left_said(left: Iterable[Left]) -> list[str]:
    """The same in words."""
    return [f"left by the worker on {one_line(each.host)}: {one_line(each.why)}" for each in left]
