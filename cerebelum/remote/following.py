"""Seeing an execution through that a service drives: what happens there is shown here, as if it were driven here."""

from __future__ import annotations

from cerebelum.core.decide import Stopping
from cerebelum.core.events import AnyEvent, StepCompleted, StepFailed, StepInterrupted, decode
from cerebelum.core.evolve import evolve
from cerebelum.core.state import State
from cerebelum.core.status import GOING_ON
from cerebelum.engine.loop import End
from cerebelum.engine.session import Result
from cerebelum.engine.settings import Settings
from cerebelum.store import EventStore, lookup
from cerebelum.store.liveness import driven
from cerebelum.store.news import News

_LOOK_SECONDS = 1.0
_PAGE = 500


class Following:
    """What has been seen of an execution since `version`, of its output since `position`."""

    def __init__(self, store: EventStore, execution_id: str, settings: Settings, *, version: int = 0) -> None:
        self._store = store
        self._id = execution_id
        self._settings = settings
        self._seen = version
        self._position = 0
        self._left = False
        self.state: State | None = None

    # What a signal, or the end of a client, does: it ends the following and not the execution.

    def stop(self, stopping: Stopping) -> None:
        """Follow no longer."""
        self._left = True

    def hurry(self) -> None:
        """Follow no longer."""
        self._left = True

    def skip_output(self) -> None:
        """What was printed before is not shown."""
        while (page := self._store.read_log(self._id, after=self._position, limit=_PAGE)).chunks:
            self._position = page.position

    def see_through(self) -> Result:
        """Show what happens until it has ended or rests, and give how it stands then."""
        with News(self._store, self._id, _LOOK_SECONDS) as news:
            while True:
                row = lookup.present(self._store, self._id)
                new = self._look()
                assert self.state is not None
                going = lookup.shown(row)[0] in GOING_ON
                if not new and (self._left or not going or not driven(row)):
                    return Result(self._id, self._end(going=going), self.state)
                if not new:
                    news.wait(_LOOK_SECONDS)

    def _end(self, *, going: bool) -> End:
        state = self.state
        assert state is not None
        return "ended" if state.ended else "parked" if going else "paused"

    def _look(self) -> bool:
        printed = self._show_output()
        entries = self._store.read(self._id, 0 if self.state is None else self.state.version)
        for entry in entries:
            event = decode(entry.text, where=self._id)
            self.state = evolve(self.state, event, self._id)
            if entry.version > self._seen:
                self._tell(event)
        return bool(entries) or printed

    def _tell(self, event: AnyEvent) -> None:
        for listener in self._settings.listeners:
            listener(self._id, event)
        if self._settings.live is not None and isinstance(event, StepCompleted | StepFailed | StepInterrupted):
            self._settings.live.ended(event.step, event.attempt)

    def _show_output(self) -> bool:
        live = self._settings.live
        if live is None:
            return False
        page = self._store.read_log(self._id, after=self._position, limit=_PAGE)
        for chunk in page.chunks:
            live.output(chunk.step, chunk.attempt, chunk.stream, chunk.data)
        self._position = page.position if page.chunks else self._position
        return bool(page.chunks)
