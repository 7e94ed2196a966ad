"""Hears what the server announces, in a thread of its own with a connection of its own."""

from __future__ import annotations

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

    def _done(self) -> bool:
        if self._server.closed:
            self._ended.set()
        return super()._done()
