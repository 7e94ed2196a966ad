"""What a decision is made in: the circumstances, and the events decided so far with the state that they lead to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import msgspec

from cerebelum.core.events import AnyEvent
from cerebelum.core.evolve import evolve
from cerebelum.core.model import Step
from cerebelum.core.state import State

MOST_DEATHS = 5
"""So many workers in a row may die of a step."""


class Stopping(msgspec.Struct, frozen=True):
    """The runner has been told to stop: by a signal, or by `pause`."""

    why: Literal["signal", "operator"]
    signal: str | None = None
    by: str | None = None
    hand_over: bool = False
    """Nobody wants the execution paused: only this runner stops, and another one may go on at once."""
    gentle: bool = False
    """Attempts that are going on may come to their end."""


def _always(state: State, step: Step) -> bool:
    return step.when is not False


def _nothing(state: State) -> Any:
    return None


class Circumstances(msgspec.Struct, frozen=True):
    """Everything a decision depends on besides the state and the happening."""

    now: datetime
    chance: float = 0.5
    """A random number in [0, 1), for jitter."""
    due: frozenset[str] = frozenset()
    """Steps whose wait (retry, sleep, time to decide) is over, by the runner's clock."""
    stopping: Stopping | None = None
    overtime: bool = False
    """The workflow's own time limit has passed."""
    here: bool = False
    """Nothing is handed over to workers."""
    most_deaths: int = MOST_DEATHS
    condition: Callable[[State, Step], bool] = _always
    """Whether the step's `when` holds; raises CerebelumError if it cannot be told."""
    result: Callable[[State], Any] = _nothing
    """The execution's output; raises CerebelumError if it cannot be told."""


class Turn:
    """Events decided so far in one turn, and the state that they lead to."""

    def __init__(self, state: State | None, circumstances: Circumstances, execution_id: str = "") -> None:
        # A plain attribute, since it is asked for dozens of times; None only before the very first event.
        self.state: State = state  # type: ignore[assignment]
        self._version = state.version if state else 0
        self._execution_id = execution_id
        self.circumstances = circumstances
        self.events: list[AnyEvent] = []

    @property
    def stamp(self) -> dict[str, Any]:
        """Version and time of the next event."""
        return {"version": self._version + 1, "at": self.circumstances.now}

    def add(self, event: AnyEvent) -> None:
        self.events.append(event)
        self._version = event.version
        self.state = evolve(self.state, event, self._execution_id)
