"""Hears what the server announces, in a thread of its own with a connection of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from cerebelum.backends.postgres.driver import psycopg
from cerebelum.backends.postgres.server import Connection, Server
from cerebelum.backends.postgres.statements import Statements, restored
from cerebelum.core.errors import StoreError
from cerebelum.store import Change

_LOOK = 1.0
"""Seconds between two looks at whether anybody still wants to hear."""
_PAUSE = 1.0
_CONNECTING = 10.0

Hear = Callable[[Change], None]


class Ear:
    """Listens while anybody has subscribed."""

    def __init__(self, server: Server, statements: Statements) -> None:
        self._server = server
        self._statements = statements
        self._lock = threading.Lock()
        self._listeners: list[Hear] = []
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def subscribe(self, hear: Hear) -> Callable[[], None]:
        """Call `hear(change)` from now on, until the function that is returned is called."""
        with self._lock:
            self._listeners.append(hear)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="cerebelum-ear", daemon=True)
                self._thread.start()

        def end() -> None:
            with self._lock:
                if hear in self._listeners:
                    self._listeners.remove(hear)

        return end

    def close(self) -> None:
        """Stop listening."""
        self._ended.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(2 * _LOOK)

    def _work(self) -> None:
        while not self._done():
            try:
                session = self._server.connect(time.monotonic() + _CONNECTING)
            except (psycopg.Error, StoreError):
                self._ended.wait(_PAUSE)
                continue
            try:
                self._listen(session.connection)
            except psycopg.Error:
                self._ended.wait(0.1)
            finally:
                session.connection.close()

    def _listen(self, connection: Connection) -> None:
        connection.silence = _CONNECTING
        connection.execute(self._statements.listen)
        connection.silence = None
        # What was announced before this connection listened is lost.
        self._tell(Change("unknown"))
        while not self._done():
            for notice in connection.notifies(timeout=_LOOK, stop_after=1):
                kind, _, execution_id = notice.payload.partition(" ")
                try:
                    self._tell(msgspec.convert({"kind": kind, "execution_id": restored(execution_id)}, Change))
                except msgspec.ValidationError:
                    self._tell(Change("unknown"))

    def _tell(self, change: Change) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for hear in listeners:
            hear(change)

    def _done(self) -> bool:
        with self._lock:
            if self._ended.is_set() or self._server.closed or not self._listeners:
                self._thread = None
                return True
        return False
