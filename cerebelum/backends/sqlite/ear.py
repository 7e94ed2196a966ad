"""Hears what others commit: SQLite counts the changes of a file, and asking it for that costs next to nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cerebelum.backends.sql import ear
from cerebelum.backends.sqlite import care
from cerebelum.backends.sqlite.file import Lane, StoreFile
from cerebelum.core.errors import StoreError
from cerebelum.store import Change

if TYPE_CHECKING:
    import sqlite3

_LOOK = 0.04
"""Seconds between two looks."""
_VAGUE = 0.3
"""Seconds between two announcements of what cannot be told: output, owners, beats, or processes."""
_VAGUE_EACH = 0.01
"""The same, for each of many who listen: all of them have to look then."""
_PAUSE = 1.0
REQUESTS = ("ApprovalGranted", "ApprovalRejected", "CancelRequested", "PauseRequested")
"""What others than the owner append."""


class Ear(ear.Ear):
    """Looks at one file, over a connection of its own, while anybody has subscribed."""

    def __init__(self, file: StoreFile) -> None:
        super().__init__()
        self._file = file
        self._lane = Lane("PRAGMA query_only = 1")
        self._seen: int | None = None
        self._mark: str | None = None
        self._owed = True
        """Whether something happened of which is not told yet what."""
        self._told = 0.0

    def close(self) -> None:
        super().close()
        self._file.leave(self._lane)

    def _work(self) -> None:
        self._seen, self._mark, self._owed, self._told = None, None, True, 0.0
        pause = _LOOK
        while not (self._ended.wait(pause) or self._done()):
            try:
                changes = self._file.outside(self._lane, self._look) or []
                pause = _LOOK
            except StoreError:
                # Whoever needs the store finds out by himself.
                self._seen, self._owed, pause = None, True, _PAUSE
                continue
            for change in changes:
                self._tell(change)
            if self._owed and time.monotonic() >= self._told + max(_VAGUE, _VAGUE_EACH * self._count()):
                self._owed, self._told = False, time.monotonic()
                self._tell(Change("unknown"))

    def _look(self, connection: sqlite3.Connection) -> list[Change]:
        seen = connection.execute("PRAGMA data_version").fetchone()[0]
        if seen == self._seen:
            return []
        first, self._seen = self._seen is None, seen
        connection.execute("BEGIN")
        self._mark, events = care.events_after(connection, self._mark)
        connection.execute("COMMIT")
        if first or events is None:
            self._owed = True
            return []
        if not events:
            self._owed = True
            return [Change("output")]
        asked = {name for name, kind in events if kind in REQUESTS}
        return [Change("request" if name in asked else "events", name) for name in dict.fromkeys(e[0] for e in events)]
