"""Connections to the server of a store: made when needed, made again when lost, and given up after a while."""

from __future__ import annotations

import os
import random
import select
import threading
import time
from collections.abc import Callable, Generator
from functools import cached_property
from typing import Any, NamedTuple, TypeVar, cast

from cerebelum.backends.postgres.address import Address
from cerebelum.backends.postgres.driver import psycopg
from cerebelum.backends.postgres.errors import explain, is_busy, is_lost, is_passing, not_storable
from cerebelum.backends.postgres.schema import SCHEMA_VERSION, literally
from cerebelum.core.errors import StoreError

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds for which a server that was there before is waited for. No longer than a runner may go without a beat."""
_ANSWER = 10.0
"""Seconds of silence after which a connection counts as lost, so that another one would still be in time."""
LONG = 120.0
"""The same, for what changes much at once."""
LONGEST = 86_400.0
"""The same, for what has to look at everything."""
_STOOD_STILL = 5.0
"""Seconds that a try may take beyond its silence."""
_LEAST = 1.0
"""Seconds that a call has at least, also when the server has been away for long."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
_LOOK = 100
"""Milliseconds between two looks at whether a connection that is waited for is still wanted."""

# The server ends the session of a client that is gone, or stands still in the middle of a transaction, and with it the
# locks that others wait for. No statement runs for so long that compiling it would pay.
_SETTINGS = (
    "SELECT set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '3', false),"
    " set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '15s', false),"
    " set_config('idle_in_transaction_session_timeout', '30s', false), set_config('jit', 'off', false),"
    " set_config('synchronous_commit', %s, false)"
)

_inherited: list[Any] = []
"""Connections that came along in a fork; closing them here would end the parent's sessions."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose calls fail when for `silence` seconds nothing came and nothing could be sent."""

    silence: float | None = None
    prepared: dict[bytes, bytes] | None = None
    """The names of statements that the server keeps for `exchange`; None where it does not keep any."""

    @cached_property
    def _coming(self) -> select.poll:
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN)
        return poll

    def attend(self, *, sending: bool = False) -> bool:
        """Wait until something came, which gives True, or else can be sent if `sending`.

        Raises the library's errors. It does what `wait` does for psycopg's own calls, with less work.
        """
        poll = self._coming
        if sending:
            poll = select.poll()
            poll.register(self.pgconn.socket, select.POLLIN | select.POLLOUT)
        ready = poll.poll(_LOOK)
        if not ready:
            began = time.monotonic()
            while not (ready := poll.poll(_LOOK)):
                if self.closed:
                    raise psycopg.OperationalError("the connection is closed")
                if self.silence is not None and time.monotonic() - began > self.silence:
                    raise _silent(self.silence)
        return ready[0][1] != select.POLLOUT

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        return super().wait(gen if self.silence is None else _watched(gen, self.silence), interval, timeout)


def _watched(steps: Generator[Any, Any, T], silence: float) -> Generator[Any, Any, T]:
    """The steps of a call to the server, which are told now and then that nothing has happened yet."""
    moved = time.monotonic()
    try:
        awaited = next(steps)
        while True:
            ready = yield awaited
            if ready:
                moved = time.monotonic()
            elif time.monotonic() - moved > silence:
                raise _silent(silence)
            awaited = steps.send(ready)
    except StopIteration as end:
        return cast(T, end.value)


def _silent(silence: float) -> psycopg.OperationalError:
    return psycopg.OperationalError(f"no answer within {silence:.0f} s")


class Session(NamedTuple):
    """What is known of a connection once it has been looked at."""

    connection: Connection
    schema_version: int
    """0: there is no store yet."""
    pooled: bool
    """A pooler is in between: every transaction may be another session."""


class Lane:
    """One connection and the lock that gives it to one thread at a time; connected when first needed."""

    def __init__(self, patience: float = PATIENCE, silence: float = _ANSWER) -> None:
        self.patience = patience
        self.silence = silence
        """Seconds without an answer after which the connection counts as lost."""
        self.lock = threading.Lock()
        self.session: Session | None = None


class Server:
    """The server as one store uses it."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._pid = os.getpid()
        self._closed = False
        self._reached = False
        self._down: float | None = None
        """Since when no call has succeeded."""

    def read(self, lane: Lane, work: Callable[[Connection], T]) -> T | None:
        """What `work` returns; None if there is no store yet. It may be called again. Raises StoreError."""
        return self.run(lane, lambda session, again: work(session.connection) if session.schema_version else None)

    def write(self, lane: Lane, work: Callable[[Connection, bool], T]) -> T:
        """What `work(connection, again)` returns; the store is made, or migrated, before that.

        Where the connection is lost, it is called again, with `again`: the server may have done it already. Raises
        StoreError.
        """

        def ready(session: Session, again: bool) -> T:
            if session.schema_version < SCHEMA_VERSION:
                from cerebelum.backends.postgres.schema import migrate

                session.connection.silence = LONG
                migrate(session.connection, self.address)
                lane.session = session._replace(schema_version=SCHEMA_VERSION)
            return work(session.connection, again)

        return self.run(lane, ready)

    def run(self, lane: Lane, work: Callable[[Session, bool], T]) -> T:
        """What `work(session, again)` returns, having waited for the server if it went away. Raises StoreError."""
        with lane.lock:
            began = time.monotonic()
            again, pause = False, _FIRST_PAUSE
            while True:
                self.check_usable()
                tried = time.monotonic()
                try:
                    # The last try is one too, also where the process stood still in the one before.
                    deadline = max(self._deadline(lane, began), tried + _LEAST)
                    session = lane.session or self._connect(lane, min(deadline, tried + max(_LEAST, lane.silence)))
                    left = deadline - time.monotonic()
                    # What may take long is not hurried because the server was away before.
                    hurried = lane.silence < lane.patience
                    session.connection.silence = min(lane.silence, left) if hurried else lane.silence
                    if not session.schema_version:
                        # Somebody may have made it meanwhile.
                        session = session._replace(schema_version=self._version(session.connection))
                        lane.session = session
                    result = work(session, again)
                except psycopg.Error as error:
                    connecting = lane.session is None
                    if connecting or is_lost(error) or not self._usable(lane):
                        self.disconnect(lane)
                    patient = is_busy(error) or self._reached if connecting else is_passing(error)
                    if not patient:
                        raise explain(error, self.address, new=connecting and not self._reached) from None
                    now = time.monotonic()
                    if now - tried > lane.silence + _STOOD_STILL:
                        # This process was stopped, as by a suspended laptop, and has not waited for the server so far.
                        began = self._down = now
                    self._down = self._down or now
                    if tried + pause >= self._deadline(lane, began):
                        raise explain(error, self.address, new=connecting and not self._reached) from None
                    again = again or not connecting
                except UnicodeError as error:
                    self._roll_back(lane)
                    raise not_storable(error, self.address) from None
                except BaseException:
                    self._roll_back(lane)
                    raise
                else:
                    self._reached, self._down = True, None
                    return result
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, _LONGEST_PAUSE)

    def check_usable(self) -> None:
        """Raises StoreError if the store has been closed, or came along in a fork."""
        if self._pid != os.getpid():
            raise StoreError(
                "this process was forked from one that has the store open, and its connections are the parent's",
                where=self.address.shown,
                hint="close the store before forking, or start the process anew (multiprocessing's 'spawn')",
            )
        if self._closed:
            raise StoreError("the store is closed", where=self.address.shown)

    def close(self) -> None:
        """Nothing more is possible after this."""
        self._closed = True

    @property
    def is_down(self) -> bool:
        """Whether the last call found no server."""
        return self._down is not None

    @property
    def closed(self) -> bool:
        return self._closed

    def disconnect(self, lane: Lane) -> None:
        """Let go of the lane's connection."""
        session, lane.session = lane.session, None
        if session is not None:
            if self._pid == os.getpid():
                session.connection.close()
            else:
                _inherited.append(session.connection)

    def connect(self, deadline: float) -> Session:
        """A new connection, looked at. Raises the library's errors, StoreError for a store that is not ours to use."""
        parameters = dict(self.address.parameters)
        left = max(1, round(deadline - time.monotonic()))
        parameters["connect_timeout"] = min(int(parameters["connect_timeout"]), left)
        connection = Connection.connect(autocommit=True, **parameters)
        try:
            connection.silence = max(_LEAST, deadline - time.monotonic())
            # A pooler gives a connection another session's number than the server does.
            row = connection.execute(
                "SELECT pg_backend_pid(), current_setting('server_encoding'), current_setting('synchronous_commit')"
            ).fetchone()
            assert row is not None
            number, encoding, commit = row
            if encoding != "UTF8":
                raise StoreError(
                    f"the database is encoded as {encoding}, and has to be UTF8",
                    where=self.address.shown,
                    hint="make another one: createdb --template=template0 --encoding=UTF8 NAME",
                )
            pooled = number != connection.info.backend_pid
            connection.prepare_threshold = None if pooled else 2
            if not pooled:
                connection.prepared = {}
                # What is acknowledged has to be on the disk, whatever else this database is used for.
                connection.execute(_SETTINGS, ("on" if commit == "off" else commit,))
            return Session(connection, self._version(connection), pooled)
        except BaseException:
            connection.close()
            raise

    def _connect(self, lane: Lane, deadline: float) -> Session:
        lane.session = self.connect(deadline)
        return lane.session

    def _version(self, connection: Connection) -> int:
        try:
            row = connection.execute(
                literally(f"SELECT schema_version FROM {self.address.quoted_schema}.store")
            ).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return 0
        version = row[0] if row else 0
        if version > SCHEMA_VERSION:
            from cerebelum import __version__

            raise StoreError(
                f"the store has schema version {version};"
                f" cerebelum {__version__} knows versions up to {SCHEMA_VERSION}",
                where=self.address.shown,
                hint="a newer cerebelum wrote it; use that version or a newer one",
            )
        return int(version)

    def _deadline(self, lane: Lane, began: float) -> float:
        # All calls share the patience of the first one that failed, so that ending takes no longer than that.
        return max(min(began, self._down or began) + lane.patience, began + _LEAST)

    def _usable(self, lane: Lane) -> bool:
        self._roll_back(lane)
        return lane.session is not None and not lane.session.connection.closed

    def _roll_back(self, lane: Lane) -> None:
        """Leave no transaction open, nor a statement that nobody waits for any more."""
        if lane.session is None:
            return
        connection = lane.session.connection
        status = connection.info.transaction_status
        if status == psycopg.pq.TransactionStatus.IDLE:
            return
        if status in (psycopg.pq.TransactionStatus.INTRANS, psycopg.pq.TransactionStatus.INERROR):
            try:
                connection.rollback()
            except psycopg.Error:
                self.disconnect(lane)
        else:
            self.disconnect(lane)
