"""Taking back what was handed over to workers, where it is wanted no more."""

from __future__ import annotations

from cerebelum.core import phases
from cerebelum.core.events import PauseRequested, StepInterrupted
from cerebelum.core.turn import Stopping, Turn


def withdraw(turn: Turn, late: bool) -> None:
    """Take back what no worker has taken, where nothing new may start any more, or everything is to run here; `late` as
    in `phases`.
    """
    state = turn.state
    for step_id in state.active.at("waiting_for_worker"):
        group, at = state.graph.group_of(step_id), state.steps[step_id]
        begun = at.used or at.interrupted is not None or at.calls
        unwanted = phases.abandoned(state, group, late) or (phases.doomed(state, group, late) and not begun)
        if unwanted or turn.circumstances.here:
            _take_back(turn, step_id)


def wind_down(turn: Turn, stopping: Stopping) -> None:
    """For a pause: take back what no worker has taken, and ask those to stop that have something."""
    for step_id in turn.state.active.at("waiting_for_worker"):
        _take_back(turn, step_id)
    if turn.state.active.count("on_worker") and turn.state.pausing is None:
        by = stopping.by or stopping.signal or stopping.why
        turn.add(PauseRequested(by=by, signal=stopping.signal, **turn.stamp))


def _take_back(turn: Turn, step_id: str) -> None:
    attempt = turn.state.steps[step_id].attempt
    turn.add(StepInterrupted(step=step_id, attempt=attempt, why="withdrawn", **turn.stamp))
