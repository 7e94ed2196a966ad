"""How an append is written: by a statement of its own, or by one for many, in one transaction and one round trip."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import count
from typing import Any

from cerebelum.backends.postgres.exchange import Command, exchange, wire
from cerebelum.backends.postgres.server import Connection, Lane, Server
from cerebelum.backends.postgres.statements import FEW, Statements, stored
from cerebelum.backends.sql import together
from cerebelum.backends.sql.rows import micros, strings_text, summary_row
from cerebelum.core.errors import StoreError
from cerebelum.core.summary import Summary
from cerebelum.store import Conflict, Fenced, Ownership

_JOINT = 4
"""From so many on, one statement for all is less work for the server than one for each."""


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


class Append(together.Append):
    """One append: what it writes, and how it ended."""

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
        lean = lean and 0 < len(rows) <= FEW and rows[-1][3::2] == (micros(summary.updated_at), summary.digest)
        super().__init__(expected, rows, summary, fence, release, lean)
        self.execution_id = summary.execution_id
        self.token = token
        self._statements = statements
        self._tries = 0

    @property
    def common(self) -> bool:
        """Whether it is what most appends are, so that one statement can write many such."""
        owned = self._fence is not None and self._fence.owner is not None
        return self._lean and len(self._rows) == 1 and owned and not self._release

    def command(self) -> Command:
        """What writes it, once more. Raises UnicodeError for text that cannot be stored."""
        self._tries += 1
        summary, fence, count = self._summary, self._fence, len(self._rows)
        added = self._statements.values(self.token, self._rows)
        if self._expected == 0:
            sql = self._statements.create(count)
            owner, epoch = (None, 0) if fence is None else (None if self._release else fence.owner, fence.epoch)
            values = [*stored_row(summary), owner, epoch, self.execution_id, *added]
        else:
            sql = self._statements.advance(count, lean=self._lean, fenced=fence is not None, release=self._release)
            owned = [] if fence is None else [fence.owner, fence.epoch]
            if self._lean:
                values = [*changing(summary), self.execution_id, *owned, *added]
            else:
                values = [*stored_row(summary)[1:], self.execution_id, self._expected, *owned, *added]
        return Command(sql, [wire(value) for value in values])

    def row(self) -> tuple[Any, ...]:
        """Its values among those of other `common` ones, once more."""
        self._tries += 1
        assert self._fence is not None
        [(_, *entry)] = self._rows
        return (self.execution_id, self._fence.owner, self._fence.epoch, *changing(self._summary), *entry, self.token)

    def sent(self, connection: Connection, written: bool) -> None:
        """Find out how it ended, after it was sent for the first time or again."""
        self.settle(None if written else self._refusal(connection))

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
            released = self._tries > 1 and not self._rows and (owner, epoch) == (None, self._fence.epoch)
            return None if released and version == self._expected else Fenced(identity, owner, epoch)
        return Conflict(identity, self._expected, version)


class Batches:
    """Writes the appends that a Writer has gathered."""

    def __init__(self, server: Server, lane: Lane, statements: Statements) -> None:
        self._server = server
        self._lane = lane
        self._statements = statements

    def commit(self, batch: Sequence[Append]) -> None:
        """Settle each; raises StoreError for those that it has not settled."""
        if len(batch) > 1:
            try:
                # In one order, so that two batches never wait for each other in a circle.
                self._write(sorted(batch, key=lambda append: append.execution_id))
            except StoreError:
                if self._server.is_down:
                    raise
                # One of them cannot be stored; those that were, are found out to be.
        for append in batch:
            if not append.done:
                try:
                    self._write([append])
                except StoreError as error:
                    append.settle(error)

    def _write(self, appends: Sequence[Append]) -> None:
        """All in one transaction, or none."""
        joint: dict[str, Append] = {}
        for append in appends:
            if append.common:
                joint.setdefault(append.execution_id, append)
        if len(joint) < _JOINT:
            joint = {}
        single = [append for append in appends if joint.get(append.execution_id) is not append]

        def write(connection: Connection, again: bool) -> None:
            commands = [append.command() for append in single]
            if joint:
                # First: what comes after another append to the same execution is not `common`.
                columns = zip(*(append.row() for append in joint.values()), strict=True)
                commands.insert(0, Command(self._statements.together, [wire(column) for column in columns]))
            results = exchange(connection, commands)
            if joint:
                result = results.pop(0)
                written = {result.get_value(number, 0) for number in range(result.ntuples)}
                for execution_id, append in joint.items():
                    append.sent(connection, wire(execution_id) in written)
            for append, result in zip(single, results, strict=True):
                append.sent(connection, result.ntuples > 0)

        self._server.write(self._lane, write)
