"""Views of executions that are asked for again and again: of each, only what is new is read and folded."""

from __future__ import annotations

import threading
from collections import OrderedDict

import msgspec

from cerebelum.core.evolve import reconstruct
from cerebelum.core.state import State
from cerebelum.store import EventStore, lookup
from cerebelum.store.lookup import View

_MOST_CHARACTERS = 64 << 20
"""Of the events whose fold is remembered; the states are about as large."""


class _Folded(msgspec.Struct, frozen=True):
    state: State
    digest: str
    size: int
    """Characters of the events."""


class Views:
    """Remembers the states of the executions that were asked for last. Used from several threads."""

    def __init__(self, most_characters: int = _MOST_CHARACTERS) -> None:
        self._most = most_characters
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Folded] = OrderedDict()
        self._size = 0

    def view(self, store: EventStore, execution_id: str) -> View:
        """What `lookup.view` gives for now. Raises NotFound."""
        row = lookup.present(store, execution_id)
        summary = row.summary
        with self._lock:
            known = self._known.get(execution_id)
        if known is None or known.digest != summary.digest:
            known = self._fold(store, execution_id, known, summary.version, summary.digest)
            if known is None:
                # It is another one than it was, or damaged.
                self._forget(execution_id)
                return lookup.view(store, execution_id, None)
        self._keep(execution_id, known)
        return lookup.seen(store, known.state, row)

    def _fold(
        self, store: EventStore, execution_id: str, known: _Folded | None, version: int, digest: str
    ) -> _Folded | None:
        """The state at a version, from what is known of it; None if the log is not what was known."""
        since = None if known is None else known.state
        entries = store.read(execution_id, 0 if since is None else since.version)
        entries = [entry for entry in entries if entry.version <= version]
        if not entries or entries[-1].digest != digest:
            return None
        state = reconstruct(execution_id, lookup.events_of(execution_id, entries), since)
        size = sum(len(entry.text) for entry in entries) + (0 if known is None else known.size)
        return None if state is None else _Folded(state, digest, size)

    def _keep(self, execution_id: str, found: _Folded) -> None:
        with self._lock:
            before = self._known.pop(execution_id, None)
            self._size += found.size - (before.size if before is not None else 0)
            self._known[execution_id] = found
            while self._size > self._most and len(self._known) > 1:
                _, oldest = self._known.popitem(last=False)
                self._size -= oldest.size

    def _forget(self, execution_id: str) -> None:
        with self._lock:
            before = self._known.pop(execution_id, None)
            self._size -= before.size if before is not None else 0
