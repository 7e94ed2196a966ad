"""The EventStore methods on PostgreSQL: one round trip each, wherever nothing goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar

import msgspec

from cerebelum.backends.postgres import claims
from cerebelum.backends.postgres.address import Address
from cerebelum.backends.postgres.driver import psycopg
from cerebelum.backends.postgres.ear import Ear
from cerebelum.backends.postgres.errors import not_storable
from cerebelum.backends.postgres.server import LONG, LONGEST, Connection, Lane, Server
from cerebelum.backends.postgres.statements import Statements, restored, stored
from cerebelum.backends.postgres.writing import Append, Batches, Tokens, stored_row
from cerebelum.backends.sql.rows import (
    MOST,
    RUNNER,
    SUMMARY,
    chunk_rows,
    entry_rows,
    micros,
    moment,
    runner_of,
    runner_row,
    storable,
    strings_text,
    summary_of,
    tombstone_of,
    tombstone_row,
)
from cerebelum.backends.sql.search import rarest
from cerebelum.backends.sql.together import Writer
from cerebelum.backends.sql.written import Written
from cerebelum.core.errors import StoreError
from cerebelum.core.events import Entry
from cerebelum.core.summary import Summary
from cerebelum.store import (
    PAGE_SIZE,
    Change,
    Chunk,
    Claim,
    Conflict,
    Description,
    EventStore,
    Fenced,
    LogPage,
    Ownership,
    Page,
    Process,
    Query,
    Row,
    Runner,
    Started,
    Tombstone,
    Totals,
    Whole,
)

if TYPE_CHECKING:
    from cerebelum.backends.postgres.pool.queues import Queues
    from cerebelum.store.pooling import Pool

T = TypeVar("T")

_BEAT_PATIENCE = 2.0
"""Seconds for a beat; the next one comes anyhow."""


class PostgresStore(EventStore):
    """An EventStore in one schema of a database.

    Reads, appends, output, beats, and what takes long go over a connection each, made when first needed, so that none
    waits for another.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._server = Server(address)
        self._sql = Statements(address)
        self._events, self._notes, self._reading = Lane(), Lane(), Lane()
        self._beats = Lane(patience=_BEAT_PATIENCE, silence=_BEAT_PATIENCE)
        self._care, self._survey = Lane(silence=LONG), Lane(silence=LONGEST)
        self._writer = Writer(Batches(self._server, self._events, self._sql).commit)
        self._written = Written()
        self._tokens = Tokens()
        self._ear = Ear(self._server, self._sql)
        self._pool: Queues | None = None
        self._pooling = threading.Lock()

    def append(
        self,
        execution_id: str,
        expected: int,
        entries: Sequence[Entry],
        summary: Summary,
        *,
        fence: Ownership | None = None,
        release: bool = False,
    ) -> None:
        """See EventStore. With `expected` 0, an execution that is there is a Conflict, whoever owns it."""
        rows = entry_rows(execution_id, expected, entries, summary)
        lean = self._written.covers(summary, expected)
        self._writer.write(Append(self._sql, self._tokens.take(), expected, rows, summary, fence, release, lean))
        if release:
            self._written.forget(execution_id)
        else:
            self._written.remember(summary)

    def read(self, execution_id: str, after: int = 0) -> list[Entry]:
        """See EventStore."""
        if not storable(execution_id, after):
            return []
        return self._entries(self._sql.read, execution_id, after)

    def read_page(self, execution_id: str, after: int = 0, *, size: int = PAGE_SIZE) -> list[Entry]:
        """See EventStore."""
        if not storable(execution_id, after, size):
            return []
        return self._entries(self._sql.read_page, execution_id, after, size)

    def _entries(self, sql: LiteralString, execution_id: str, after: int, *more: int) -> list[Entry]:
        rows = self._fetched(sql, (stored(execution_id), min(after, 2**31 - 1), *more))
        return self._understood(lambda: [Entry(v, kind, moment(at), *rest) for v, kind, at, *rest in rows])

    def find(self, query: Query) -> Page:
        """See EventStore."""
        none = Page([], False, 0 if query.count_to > 0 else None)
        if not storable(query.id, query.id_prefix, query.workflow, *query.tag, *query.dead_runners):
            return none
        limit, offset, most = (max(0, min(n, MOST)) for n in (query.limit, query.offset, query.count_to))
        lists, look, looked = self._sql.leads(query)
        lead = rarest(lists, self._fetched(look, _stored(looked)) if look else [])
        sql, values = self._sql.search(query, limit + 1, offset, most, lead)
        found = self._fetched(sql, _stored(values))
        if not found:
            return none

        def page() -> Page:
            rows = [row for row in found if row[2] is not None]
            return Page([_row(row) for row in rows[:limit]], len(rows) > limit, found[0][1])

        return self._understood(page)

    def own(self, execution_id: str, owner: str | None, expected: Ownership) -> Ownership | None:
        """See EventStore."""
        wanted = (owner, expected.epoch + 1)

        def swap(connection: Connection, again: bool) -> bool:
            values = (owner, execution_id, expected.owner, expected.epoch)
            if connection.execute(self._sql.own, values).fetchone() == (1,):
                return True
            # Sent again, it finds what it has done.
            return again and connection.execute(self._sql.owner, (execution_id,)).fetchone() == wanted

        return Ownership(*wanted) if self._changed(self._events, swap) else None

    def claim(
        self, execution_id: str, group: str, at: datetime, fence: Ownership, *, alone: bool = False
    ) -> list[Claim]:
        """See EventStore."""
        try:
            work = claims.claiming(self._sql, execution_id, group, at, fence, alone)
        except UnicodeError as error:
            raise not_storable(error, self._address) from None
        return self._server.write(self._events, work)

    def unclaim(self, execution_id: str, expected: Ownership | None) -> bool:
        """See EventStore."""
        return bool(self._changed(self._events, claims.unclaiming(self._sql, execution_id, expected)))

    def claims(self, group: str | None = None) -> list[Claim]:
        """See EventStore."""
        return self._server.run(self._reading, claims.reading(self._sql, group)) if storable(group) else []

    def beat(self, runner: Runner) -> None:
        """See EventStore."""
        values = runner_row(runner, datetime.now(UTC))[:-1]
        self._server.write(self._beats, lambda connection, again: connection.execute(self._sql.beat, values))

    def note_process(self, execution_id: str, process: Process, *, gone: bool = False) -> None:
        """See EventStore. A process is the same when pid, start ticks, boot id and pid namespace are."""
        key = (execution_id, process.pid, process.start_ticks, process.boot_id, process.pid_namespace)
        if gone:
            self._changed(self._notes, lambda c, again: c.execute(self._sql.forget_process, key))
        else:
            values = (*key, process.step, process.attempt, process.session, process.token)
            self._server.write(self._notes, lambda c, again: c.execute(self._sql.note_process, values))

    def processes(self, execution_id: str) -> list[Process]:
        """See EventStore. By step, attempt and pid."""
        if not storable(execution_id):
            return []
        return [Process(*row) for row in self._fetched(self._sql.processes, (stored(execution_id),))]

    def write_log(
        self, execution_id: str, chunks: Sequence[Chunk], drop: Sequence[tuple[str, int, int, int]] = ()
    ) -> None:
        """See EventStore."""
        if not chunks and not drop:
            return
        token = self._tokens.take()
        steps, attempts, lows, highs = ([piece[at] for piece in drop] for at in range(4))
        columns = ([c.step for c in chunks], [c.attempt for c in chunks], [c.offset for c in chunks])
        more = ([c.stream for c in chunks], [micros(c.at) for c in chunks], [c.data for c in chunks])
        values = (
            *(execution_id, len(chunks), steps, attempts, lows, highs, execution_id),
            *(len(chunks), token, *columns, *more),
        )

        def write(connection: Connection, again: bool) -> None:
            if not again:
                connection.execute(self._sql.write_log, values)
                return
            with connection.transaction():
                # Waits for the first try, if the server is still at it, so that what follows can see it.
                connection.execute(self._sql.place, (execution_id, 0))
                if connection.execute(self._sql.chunks_written, (execution_id, token)).fetchone() is None:
                    connection.execute(self._sql.write_log, values)

        if chunks:
            self._server.write(self._notes, write)
        else:
            self._changed(self._notes, write)

    def read_log(
        self,
        execution_id: str,
        *,
        step: str | None = None,
        attempt: int | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> LogPage:
        """See EventStore."""
        if not storable(execution_id, step, attempt, after):
            return LogPage([], after)
        named = None if step is None else stored(step)
        values = (stored(execution_id), after, named, named, attempt, attempt, max(0, min(limit, MOST)))
        rows = self._fetched(self._sql.read_log, values)
        return self._understood(
            lambda: LogPage(
                [Chunk(where, nth, start, stream, moment(at), data) for _, where, nth, start, stream, at, data in rows],
                rows[-1][0] if rows else after,
            ),
        )

    def prune(self, tombstone: Tombstone) -> None:
        """See EventStore."""
        identity = tombstone.execution_id
        row = _stored(tombstone_row(tombstone))

        def remove(connection: Connection, again: bool) -> None:
            with connection.transaction():
                found = connection.execute(self._sql.locked, (identity,)).fetchone()
                if found is None:
                    old = connection.execute(self._sql.tombstones, ("", identity, identity, 1)).fetchone()
                    if old is None:
                        bury(connection)
                    elif (old[5], old[6]) != (tombstone.version, tombstone.digest):
                        raise Conflict(identity, tombstone.version, old[5])
                    return
                version, digest, owner, epoch = found
                if owner is not None:
                    raise Fenced(identity, owner, epoch)
                if (version, digest) != (tombstone.version, tombstone.digest):
                    raise Conflict(identity, tombstone.version, version)
                bury(connection)
                connection.execute(self._sql.tell, (identity,))

        def bury(connection: Connection) -> None:
            connection.execute(self._sql.entomb, row)
            for removal in self._sql.removals:
                connection.execute(removal, (identity,))

        self._server.write(self._care, remove)
        self._written.forget(identity)

    def tombstones(self, execution_id: str | None = None, *, after: str = "", limit: int = 1000) -> list[Tombstone]:
        """See EventStore."""
        if not storable(execution_id, after):
            return []
        named = None if execution_id is None else stored(execution_id)
        rows = self._fetched(self._sql.tombstones, (stored(after), named, named, max(0, min(limit, MOST))))
        return self._understood(lambda: [tombstone_of(_restored(row)) for row in rows])

    def restore(self, executions: Sequence[Whole]) -> None:
        """See EventStore. All of them in one transaction."""
        wholes = {each.summary.execution_id: each for each in executions}
        rows = {name: entry_rows(name, 0, each.entries, each.summary) for name, each in wholes.items()}
        token = self._tokens.take()

        def copy(connection: Connection, again: bool) -> str | None:
            """The first that is there already, before which nothing of this is written."""
            names = list(wholes)
            there = {name: mine for name, _, mine in connection.execute(self._sql.there, (token, names, names))}
            if any(there.values()):
                return None
            if there:
                return next(name for name in names if name in there)
            try:
                write(connection)
            except psycopg.errors.UniqueViolation:
                # Somebody else added one of them at the same time.
                return names[0]
            return None

        def write(connection: Connection) -> None:
            with connection.transaction(), connection.cursor() as cursor:
                with cursor.copy(self._sql.copy_executions, ()) as to:
                    for each in wholes.values():
                        to.write_row((*stored_row(each.summary), None, each.epoch))
                with cursor.copy(self._sql.copy_events, ()) as to:
                    for entries in rows.values():
                        for row in entries:
                            to.write_row((*row, token))
                output = {
                    name: chunk_rows(name, each.output) for name, each in wholes.items() if each.output is not None
                }
                cursor.execute(self._sql.forget_output, (list(output),))
                cursor.execute(self._sql.places, (list(output), [len(chunks) for chunks in output.values()]))
                ends = dict(cursor.fetchall())
                with cursor.copy(self._sql.copy_output, ()) as to:
                    for name, chunks in output.items():
                        for position, chunk in enumerate(chunks, ends[name] - len(chunks) + 1):
                            to.write_row((*chunk, position, token))

        if len(wholes) < len(executions):
            # One of them is there twice, which is found out when it comes again.
            super().restore(executions)
            return
        if self._server.write(self._care, copy) is not None:
            super().restore(executions)

    def subscribe(self, hear: Callable[[Change], None], execution_id: str = "") -> Callable[[], None] | None:
        """See EventStore. Announcements don't come through a pooler."""
        pooled = self._server.run(self._reading, lambda session, again: session.pooled)
        return None if pooled else self._ear.subscribe(hear, execution_id)

    def pool(self) -> Pool:
        """See HasPool."""
        with self._pooling:
            if self._pool is None:
                from cerebelum.backends.postgres.pool import open_queues

                self._pool = open_queues(self._server, self._address, self._sql)
            return self._pool

    def close(self) -> None:
        """See EventStore."""
        self._server.close()
        self._ear.close()
        lanes = (self._reading, self._notes, self._events, self._beats, self._care, self._survey)
        for lane in (*lanes, *(() if self._pool is None else (self._pool.lane,))):
            self._server.disconnect(lane)

    def describe(self) -> Description:
        """See EventStore. `details` has the database, the user, whether the connection is encrypted and pooled."""
        from cerebelum.backends.postgres.about import described

        return described(self._server, self._reading, self._address)

    def totals(self) -> Totals:
        """See EventStore."""
        found = self._fetched(self._sql.totals, (), self._survey)
        if not found:
            return Totals({}, 0, 0, 0)
        executions, events, tombstones, log_bytes = found[0]
        return Totals(executions or {}, int(events), tombstones, int(log_bytes))

    def workflows(self) -> list[Started]:
        """See EventStore."""
        found = self._fetched(self._sql.workflows, (), self._survey)
        # Sorted here: the server has its own mind about the order of texts.
        return sorted((Started(restored(name), n, moment(last)) for name, n, last in found), key=lambda s: s.workflow)

    def check(self) -> Iterator[str]:
        """See EventStore. Indexes and tables as far as the extension amcheck is there and may be used."""
        from cerebelum.backends.postgres.about import checked

        yield from (
            f"{name}: it has events, but no summary" for (name,) in self._fetched(self._sql.orphans, (), self._survey)
        )
        yield from checked(self._server, self._survey, self._address)

    def _fetched(self, sql: Any, values: Sequence[Any], lane: Lane | None = None) -> list[Any]:
        """All rows; none where there is no store yet."""
        return (
            self._server.read(lane or self._reading, lambda connection: connection.execute(sql, values).fetchall())
            or []
        )

    def _changed(self, lane: Lane, work: Callable[[Connection, bool], T]) -> T | None:
        """What `work` gives, unless there is no store yet, in which there would be nothing to change."""
        return self._server.run(lane, lambda session, again: work(session.connection, again) if session[1] else None)

    def _understood(self, read: Callable[[], T]) -> T:
        """What `read` makes of rows. Raises StoreError for rows that we cannot have written."""
        try:
            return read()
        except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
            raise StoreError(
                f"the store is damaged ({error})", where=self._address.shown, hint="run 'cerebelum store verify'"
            ) from error


def _stored(values: Sequence[Any]) -> list[Any]:
    return [stored(value) if isinstance(value, str) else value for value in values]


def _restored(row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(restored(value) if isinstance(value, str) else value for value in row)


def _row(found: Sequence[Any]) -> Row:
    """An execution as `search` gives it: the time, the total, the summary, its owner, and the owner's registration."""
    end = 2 + len(SUMMARY)
    summary = list(_restored(found[2:end]))
    summary[10] = strings_text(tuple(restored(tag) for tag in summary[10]))
    owner, epoch = found[end : end + 2]
    registered = found[end + 2 : end + 2 + len(RUNNER)]
    runner = None if registered[0] is None else runner_of(tuple(registered), moment(found[0]))
    return Row(summary_of(tuple(summary)), Ownership(owner, epoch), runner)
