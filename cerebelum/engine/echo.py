"""What steps print that workers perform, shown where the execution is driven, as the store comes to have it."""

from __future__ import annotations

from cerebelum.core.errors import StoreError
from cerebelum.core.events import AnyEvent, StepInterrupted, StepReported
from cerebelum.core.state import State
from cerebelum.steps.log import Live
from cerebelum.store import EventStore

_PAGE = 200
_LAST = (StepReported, StepInterrupted)
"""What a worker's attempt ends with."""


class Echo:
    """Shows the output of the attempts that workers have. `live` None: nobody looks."""

    def __init__(self, store: EventStore, execution_id: str, live: Live | None) -> None:
        self._store, self._execution_id, self._live = store, execution_id, live
        self._shown: dict[str, tuple[int, int]] = {}
        """By step: the attempt, and the position up to which its output was shown."""

    def look(self, state: State) -> None:
        """Show what has come since the last look."""
        for step in state.active.at("on_worker") if self._live is not None else ():
            attempt = state.steps[step].attempt
            if self._shown.get(step, (0, 0))[0] != attempt:
                self._shown[step] = attempt, 0
            self._show(step)

    def hear(self, event: AnyEvent) -> None:
        """Show the rest of an attempt that is over, before that is told."""
        if self._live is None or not isinstance(event, _LAST):
            return
        if isinstance(event, StepReported):
            # It may have been so short that nobody looked.
            self._shown.setdefault(event.step, (event.attempt, 0))
        if self._shown.get(event.step, (0, 0))[0] != event.attempt:
            return
        while self._show(event.step):
            pass
        del self._shown[event.step]
        if self._live is not None:
            self._live.ended(event.step, event.attempt)

    def _show(self, step: str) -> bool:
        """Show some; whether there may be more."""
        attempt, after = self._shown[step]
        try:
            page = self._store.read_log(self._execution_id, step=step, attempt=attempt, after=after, limit=_PAGE)
        except StoreError:
            # What is shown only tells: whatever else asks the store finds out.
            return False
        for chunk in page.chunks:
            try:
                if self._live is not None:
                    self._live.output(step, attempt, chunk.stream, chunk.data)
            except OSError:
                # The terminal has gone away.
                self._live = None
        if page.chunks:
            self._shown[step] = attempt, page.position
        return len(page.chunks) == _PAGE
