"""Appends of several threads, put into one transaction: what waits for the disk anyway goes there together."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Any

from cerebelum.backends.postgres.exchange import Command, exchange, wire
from cerebelum.backends.postgres.server import Connection, Lane, Server
from cerebelum.backends.postgres.statements import FEW, Statements, stored
from cerebelum.backends.sql.rows import micros, strings_text, summary_row
from cerebelum.core.errors import StoreError
from cerebelum.core.summary import Summary
from cerebelum.store import Conflict, Fenced, Ownership

_MOST = 64
"""How many appends go into one transaction."""


def stored_row(summary: Summary) -> list[Any]:
    """The values of SUMMARY as the database takes them."""
    row = [stored(value) if isinstance(value, str) else value for value in summary_row(summary)]
    row[10] = [stored(tag) for tag in summary.tags]
    return row


def changing(s: Summary) -> list[Any]:
    """Of these values, what changes with every event and is not in its entry."""
    return [s.steps_done, stored(strings_text(s.current))]


class Tokens:
    """Texts of UUIDs that nobody else has, one of these for each store: in a forked process it would repeat itself."""

    def __init__(self) -> None:
        # A system call for each append would have the other threads take the interpreter away every time.
        self._ours = os.urandom(8).hex()
        self._numbers = count()

    def take(self) -> str:
        return f"{self._ours}{next(self._numbers):016x}"


class Append:
    """One append: what it writes, and how it ended. Raises UnicodeError for text that cannot be stored."""

    def __init__(
        self,
        statements: Statements,
        token: str,
        expected: int,
        rows: Sequence[tuple[Any, ...]],
        summary: Summary,
        fence: Ownership | None,
        release: bool,
        lean: bool,
    ) -> None:
        self.execution_id = summary.execution_id
        self.token = token
        self.done = False
        self.leads = False
        """Whether its thread has to write what waits."""
        self.turn: threading.Lock | None = None
        """What its thread waits for: let go of, once, when it is done or leads."""
        self.others: list[Append] = []
        """Those that were done together with it, and whose threads still wait."""
        self._statements = statements
        self._expected = expected
        self._fence = fence
        self._tries = 0
        self._error: Exception | None = None
        added = statements.values(self.token, rows)
        self._entries = len(rows)
        if expected == 0:
            sql = statements.create(len(rows))
            owner, epoch = (None, 0) if fence is None else (None if release else fence.owner, fence.epoch)
            values = [*stored_row(summary), owner, epoch, self.execution_id, *added]
        else:
            lean = lean and 0 < len(rows) <= FEW and rows[-1][3::2] == (micros(summary.updated_at), summary.digest)
            sql = statements.advance(len(rows), lean=lean, fenced=fence is not None, release=release)
            owned = [] if fence is None else [fence.owner, fence.epoch]
            if lean:
                values = [*changing(summary), self.execution_id, *owned, *added]
            else:
                values = [*stored_row(summary)[1:], self.execution_id, expected, *owned, *added]
        # Here, by the thread that wants it, and not by the one that writes for all of them.
        self._command = Command(sql, [wire(value) for value in values])

    def command(self) -> Command:
        """What writes it, once more."""
        self._tries += 1
        return self._command

    def settle(self, connection: Connection, written: bool) -> None:
        """Find out how it ended, after it was sent for the first time or again."""
        if not written:
            self._error = self._refusal(connection)
        self.done = True

    def fail(self, error: Exception) -> None:
        if not self.done:
            self._error, self.done = error, True

    def result(self) -> None:
        """Raises what it ended with."""
        if self._error is not None:
            raise self._error

    def _refusal(self, connection: Connection) -> Exception | None:
        identity = self.execution_id
        # What was pruned stands in the way of creating it, and is otherwise just not there.
        values = (identity, self._expected + 1, self.token, identity, identity, self._expected == 0)
        row = connection.execute(self._statements.mine, values).fetchone()
        version, owner, epoch, mine = row or (0, None, 0, False)
        if mine:
            # Sent before, written, and only the acknowledgement was lost.
            return None
        if self._expected == 0 or self._fence is None:
            return Conflict(identity, self._expected, version)
        if (owner, epoch) != (self._fence.owner, self._fence.epoch):
            # A release without entries leaves no token: sent again, it finds what it has done.
            released = self._tries > 1 and not self._entries and (owner, epoch) == (None, self._fence.epoch)
            return None if released and version == self._expected else Fenced(identity, owner, epoch)
        return Conflict(identity, self._expected, version)


def _wake(append: Append) -> None:
    turn, append.turn = append.turn, None
    if turn is not None:
        turn.release()


class Writer:
    """Takes appends from any thread. One of them writes what is waiting; then one of those that came meanwhile does."""

    def __init__(self, server: Server, lane: Lane) -> None:
        self._server = server
        self._lane = lane
        self._lock = threading.Lock()
        self._waiting: list[Append] = []
        self._busy = False

    def write(self, append: Append) -> None:
        """Returns once it is on the server's disk. Raises Conflict, Fenced, StoreError."""
        turn = None
        with self._lock:
            append.leads, self._busy = not self._busy, True
            if not append.leads:
                turn = append.turn = threading.Lock()
                turn.acquire()
            self._waiting.append(append)
        batch: list[Append] = []
        try:
            if turn is not None:
                turn.acquire()
            if append.leads:
                self._lead(batch)
        finally:
            if append.leads or append.turn is not None:
                self._leave(append, batch)
            # Each wakes one more: woken all at once, they would contend for the interpreter.
            if append.others:
                with suppress(IndexError):
                    _wake(append.others.pop())
        append.result()

    def _lead(self, batch: list[Append]) -> None:
        with self._lock:
            batch += self._waiting[:_MOST]
            del self._waiting[:_MOST]
        try:
            self._commit(batch)
        except StoreError as error:
            for each in batch:
                each.fail(error)

    def _leave(self, append: Append, batch: list[Append]) -> None:
        """Also where somebody pressed Ctrl-C, the others' appends are not left lying."""
        with self._lock:
            append.done, append.turn = True, None
            self._waiting = [each for each in (*batch, *self._waiting) if not each.done]
            if not append.leads:
                return
            self._busy = bool(self._waiting)
            following = self._waiting[0] if self._waiting else None
            if following is not None:
                following.leads = True
            append.others = [each for each in batch if each.done and each.turn is not None]
            for each in append.others:
                each.others = append.others
        if following is not None:
            # Before those that are done, so that the server has something to do while they prepare what comes next.
            _wake(following)

    def _commit(self, batch: list[Append]) -> None:
        if len(batch) > 1:
            # In one order, so that two batches never wait for each other in a circle.
            batch.sort(key=lambda append: append.execution_id)
            try:
                self._write(batch)
            except StoreError:
                if self._server.is_down:
                    raise
                # One of them cannot be stored; those that were, are found out to be.
        for append in batch:
            if not append.done:
                try:
                    self._write([append])
                except StoreError as error:
                    append.fail(error)

    def _write(self, appends: Sequence[Append]) -> None:
        """All in one transaction, or none."""

        def write(connection: Connection, again: bool) -> None:
            written = exchange(connection, [append.command() for append in appends])
            for append, each in zip(appends, written, strict=True):
                append.settle(connection, each)

        self._server.write(self._lane, write)
