"""Hears what the server announces, in a thread of its own with a connection of its own."""

from __future__ import annotations

import select
import socket
import time

import msgspec

from cerebelum.backends.postgres.driver import psycopg
from cerebelum.backends.postgres.server import Connection, Server
from cerebelum.backends.postgres.statements import Statements, restored
from cerebelum.backends.sql import ear
from cerebelum.core.errors import StoreError
from cerebelum.store import Change

_LOOK = 1.0
"""Seconds between two looks at whether anybody still wants to hear."""
_PAUSE = 1.0
_CONNECTING = 10.0


class Ear(ear.Ear):
    """Listens while anybody has subscribed."""

    def __init__(self, server: Server, statements: Statements) -> None:
        super().__init__()
        self._server = server
        self._statements = statements
        self._bell: socket.socket | None = None
        """Has the thread look at once whether it is done."""

    def close(self) -> None:
        with self._lock:
            self._ended.set()
            if self._bell is not None:
                self._bell.send(b"!")
        super().close()

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
        bell, self._bell = socket.socketpair()
        either = select.poll()
        with bell, self._bell:
            either.register(connection, select.POLLIN)
            either.register(bell, select.POLLIN)
            try:
                while not self._done():
                    for notice in connection.notifies(timeout=0):
                        self._tell(_change(notice.payload))
                    either.poll(1000 * _LOOK)
            finally:
                with self._lock:
                    self._bell = None

    def _done(self) -> bool:
        if self._server.closed:
            self._ended.set()
        return super()._done()


def _change(payload: str) -> Change:
    """What was announced."""
    kind, _, execution_id = payload.partition(" ")
    try:
        return msgspec.convert({"kind": kind, "execution_id": restored(execution_id)}, Change)
    except msgspec.ValidationError:
        return Change("unknown")
