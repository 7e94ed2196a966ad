"""Hears what the server announces, in a thread of its own with a connection of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cerebelum.backends.postgres.driver import psycopg
from cerebelum.backends.postgres.server import Connection, Server
from cerebelum.backends.postgres.statements import Statements
from cerebelum.core.errors import StoreError

_LOOK = 1.0
"""Seconds between two looks at whether anybody still wants to hear."""
_PAUSE = 1.0
_CONNECTING = 10.0

Wake = Callable[[str], None]


class Ear:
    """Listens while anybody has subscribed. What a subscriber raises ends nothing."""

    def __init__(self, server: Server, statements: Statements) -> None:
        self._server = server
        self._statements = statements
        self._lock = threading.Lock()
        self._heard_by: list[Wake] = []
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def subscribe(self, wake: Wake) -> Callable[[], None]:
        """Call `wake(execution_id)` from now on, until the function that is returned is called."""
        with self._lock:
            self._heard_by.append(wake)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="cerebelum-ear", daemon=True)
                self._thread.start()

        def end() -> None:
            with self._lock:
                if wake in self._heard_by:
                    self._heard_by.remove(wake)

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
                if session.pooled:
                    # Announcements don't come through a pooler: whoever waits has to look now and then.
                    return
                self._listen(session.connection)
            except psycopg.Error:
                self._ended.wait(0.1)
            finally:
                session.connection.close()

    def _listen(self, connection: Connection) -> None:
        connection.deadline = time.monotonic() + _CONNECTING
        connection.execute(self._statements.listen)
        connection.deadline = None
        # What was announced before this connection listened is lost.
        self._tell("")
        while not self._done():
            for notice in connection.notifies(timeout=_LOOK, stop_after=1):
                self._tell(notice.payload)

    def _tell(self, execution_id: str) -> None:
        with self._lock:
            listeners = list(self._heard_by)
        for wake in listeners:
            wake(execution_id)

    def _done(self) -> bool:
        with self._lock:
            if self._ended.is_set() or self._server.closed or not self._heard_by:
                self._thread = None
                return True
        return False
