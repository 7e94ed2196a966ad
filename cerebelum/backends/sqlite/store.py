"""The EventStore methods on SQLite: one transaction each, and no statement that an append could do without."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cerebelum.backends.sql.rows import (
    MOST,
    RUNNER,
    chunk_rows,
    entry_rows,
    moment,
    runner_of,
    runner_row,
    storable,
    strings_text,
    summary_of,
    tombstone_of,
)
from cerebelum.backends.sql.search import Dialect, counted, leads, rarest, selection
from cerebelum.backends.sql.together import Writer
from cerebelum.backends.sql.written import Written
from cerebelum.backends.sqlite import care, claims
from cerebelum.backends.sqlite.appending import Append, Batches, Owning
from cerebelum.backends.sqlite.ear import Ear
from cerebelum.backends.sqlite.file import PATIENCE, SCHEME, Lane, StoreFile
from cerebelum.backends.sqlite.library import SCHEMA_VERSION, library_name, library_version, understood, warnings
from cerebelum.core.errors import UsageError
from cerebelum.core.events import Entry
from cerebelum.core.summary import Summary
from cerebelum.store import (
    PAGE_SIZE,
    Appended,
    Change,
    Chunk,
    Claim,
    Description,
    EventStore,
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
    fitting,
)

if TYPE_CHECKING:
    import sqlite3

    from cerebelum.backends.sqlite.memory import StoreMemory

_LIMIT_WAL = f"PRAGMA journal_size_limit = {64 << 20}"

DIALECT = Dialect(
    prefix="",
    indexed=" INDEXED BY {}",
    tagged="{prefix}tags AS t CROSS JOIN {prefix}executions AS e ON e.id = t.execution_id",
    # In the order of the tags, too, where the executions themselves are wherever their ids are.
    tagged_by_status="{prefix}tags AS t CROSS JOIN {prefix}executions AS e INDEXED BY executions_by_status"
    " ON e.id = t.execution_id AND e.started_at = t.started_at",
    branch="{sql}",
    among="{} IN (SELECT value FROM json_each(?))",
    texts=strings_text,
    by_id="sqlite_autoindex_executions_1",
)

_READ = "SELECT version, type, at, data, digest FROM events WHERE execution_id = ? AND version > ? ORDER BY version"
_BEAT = (
    f"INSERT INTO runners ({', '.join(RUNNER)}) VALUES ({', '.join('?' * len(RUNNER))})"
    f" ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in RUNNER[1:])}"
)
_RUNNER = f"SELECT {', '.join(RUNNER)} FROM runners WHERE id = ?"
_FORGET_PROCESS = (
    "DELETE FROM processes WHERE execution_id = ? AND pid = ? AND start_ticks = ? AND boot_id = ? AND pid_namespace = ?"
)
_NOTE_PROCESS = (
    "INSERT OR REPLACE INTO processes"
    " (execution_id, pid, start_ticks, boot_id, pid_namespace, step, attempt, session, token)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_PROCESSES = (
    "SELECT step, attempt, pid, pid_namespace, start_ticks, boot_id, session, token FROM processes"
    " WHERE execution_id = ? ORDER BY step, attempt, pid"
)
_DROP_CHUNKS = (
    'DELETE FROM log_chunks WHERE execution_id = ? AND step = ? AND attempt = ? AND "offset" >= ? AND "offset" < ?'
)
# The index by offset would need a sort before the first row.
_READ_LOG = (
    'SELECT id, step, attempt, "offset", stream, at, data FROM log_chunks INDEXED BY log_chunks_by_position'
    " WHERE execution_id = ? AND id > ?"
)


def open_store(url: str) -> SqliteStore:
    """The store of `sqlite:///relative/path` or `sqlite:////absolute/path`; nothing is created before the first write.

    Raises UsageError if that is no such URL; the store's methods raise StoreError.
    """
    path = url.removeprefix(SCHEME)
    if path == url or not path or path.endswith("/") or "\0" in path or path.startswith(":memory:"):
        raise UsageError(
            f"{url!r} does not name a store file",
            hint="write sqlite:///relative/path.db, or sqlite:////absolute/path.db with four slashes",
        )
    return SqliteStore(path)


def open_memory(url: str) -> SqliteStore:
    """The store of `memory:` or `memory:NAME`: in this process, and gone with it.

    Raises UsageError if that is no such URL.
    """
    from cerebelum.backends.sqlite.memory import StoreMemory

    return SqliteStore(url, memory=StoreMemory(url))


class SqliteStore(EventStore):
    """An EventStore in one file, or in `memory`.

    A relative `path` starts at the folder that is current now; `patience` is how many seconds a lock that somebody
    else holds is waited for.
    """

    def __init__(self, path: str, *, patience: float = PATIENCE, memory: StoreMemory | None = None) -> None:
        self._file = memory or StoreFile(os.path.abspath(path), patience)
        self.path = self._file.path
        # macOS has to be asked before a sync reaches the disk; elsewhere fullfsync does nothing.
        self._events = Lane("PRAGMA synchronous = FULL", "PRAGMA fullfsync = 1", _LIMIT_WAL, synced=True)
        self._notes = Lane("PRAGMA synchronous = NORMAL", "PRAGMA checkpoint_fullfsync = 1", _LIMIT_WAL)
        self._reading = Lane("PRAGMA query_only = 1")
        self._writer = Writer(Batches(self._file, self._events).commit)
        self._written = Written()
        self._ear = Ear(self._file) if isinstance(self._file, StoreFile) else None

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
        self._writer.write(Append(expected, rows, summary, fence, release, lean))
        if release:
            self._written.forget(execution_id)
        else:
            self._written.remember(summary)

    def read(self, execution_id: str, after: int = 0) -> list[Entry]:
        """See EventStore."""
        if not storable(execution_id, after):
            return []
        return self._entries(
            lambda: self._file.read(self._reading, lambda c: c.execute(_READ, (execution_id, after)).fetchall())
        )

    def read_page(self, execution_id: str, after: int = 0, *, size: int = PAGE_SIZE) -> list[Entry]:
        """See EventStore."""
        if not storable(execution_id, after):
            return []

        def page(connection: sqlite3.Connection) -> list[Any]:
            # What is left open would hold up who wants to write.
            with closing(connection.execute(_READ, (execution_id, after))) as rows:
                return list(fitting(rows, size, lambda row: len(row[3])))

        return self._entries(lambda: self._file.read(self._reading, page))

    def _entries(self, rows: Callable[[], list[Any] | None]) -> list[Entry]:
        return understood(self.path, lambda: [Entry(v, kind, moment(at), *rest) for v, kind, at, *rest in rows() or []])

    def find(self, query: Query) -> Page:
        """See EventStore."""
        none = Page([], False, 0 if query.count_to > 0 else None)
        limit, offset, most = (max(0, min(n, MOST)) for n in (query.limit, query.offset, query.count_to))
        if not storable(query.id, query.id_prefix, query.workflow, *query.tag, *query.dead_runners):
            return none
        lists, look, looked = leads(query, DIALECT)

        def snapshot(connection: sqlite3.Connection) -> tuple[list[Any], int | None, dict[str, Any]]:
            lead = rarest(lists, connection.execute(look, looked).fetchall() if look else [])
            rows = connection.execute(*selection(query, DIALECT, limit + 1, offset, lead)).fetchall()
            total = connection.execute(*counted(query, most, DIALECT, lead)).fetchone()[0] if most else None
            owners = {row[-2] for row in rows[:limit]} - {None}
            return rows, total, {owner: connection.execute(_RUNNER, (owner,)).fetchone() for owner in owners}

        found = self._file.read(self._reading, snapshot)
        if found is None:
            return none
        rows, total, owners = found

        def page() -> Page:
            now = datetime.now(UTC)
            runners = {owner: runner_of(row, now) for owner, row in owners.items() if row is not None}
            summaries = [(summary_of(row), Ownership(*row[-2:])) for row in rows[:limit]]
            return Page([Row(s, o, runners.get(o.owner or "")) for s, o in summaries], len(rows) > limit, total)

        return understood(self.path, page)

    def own(self, execution_id: str, owner: str | None, expected: Ownership) -> Ownership | None:
        """See EventStore."""
        owning = Owning(execution_id, owner, expected)
        self._writer.write(owning)
        return Ownership(owner, expected.epoch + 1) if owning.changed else None

    def claim(
        self, execution_id: str, group: str, at: datetime, fence: Ownership, *, alone: bool = False
    ) -> list[Claim]:
        """See EventStore."""
        made = self._file.write(self._events, lambda c: claims.claim(c, execution_id, group, at, fence, alone))
        return made or []

    def unclaim(self, execution_id: str, expected: Ownership | None) -> bool:
        """See EventStore."""
        return bool(self._file.write(self._events, lambda c: claims.unclaim(c, execution_id, expected), create=False))

    def claims(self, group: str | None = None) -> list[Claim]:
        """See EventStore."""
        if not storable(group):
            return []
        found = self._file.read(self._reading, lambda c: claims.claims(c, group)) or []
        return understood(self.path, lambda: found)

    def beat(self, runner: Runner) -> None:
        """See EventStore."""
        values = runner_row(runner, datetime.now(UTC))
        self._file.write(self._notes, lambda c: c.execute(_BEAT, values))

    def note_process(self, execution_id: str, process: Process, *, gone: bool = False) -> None:
        """See EventStore. A process is the same when pid, start ticks, boot id and pid namespace are."""
        key = (execution_id, process.pid, process.start_ticks, process.boot_id, process.pid_namespace)
        if gone:
            self._file.write(self._notes, lambda c: c.execute(_FORGET_PROCESS, key), create=False)
        else:
            values = (*key, process.step, process.attempt, process.session, process.token)
            self._file.write(self._notes, lambda c: c.execute(_NOTE_PROCESS, values))

    def processes(self, execution_id: str) -> list[Process]:
        """See EventStore. By step, attempt and pid."""
        if not storable(execution_id):
            return []
        rows = self._file.read(self._reading, lambda c: c.execute(_PROCESSES, (execution_id,)).fetchall())
        return [Process(*row) for row in rows or ()]

    def write_log(
        self, execution_id: str, chunks: Sequence[Chunk], drop: Sequence[tuple[str, int, int, int]] = ()
    ) -> None:
        """See EventStore."""
        dropped = [(execution_id, *piece) for piece in drop]
        rows = chunk_rows(execution_id, chunks)

        def transaction(connection: sqlite3.Connection) -> None:
            connection.executemany(_DROP_CHUNKS, dropped)
            connection.executemany(care.INSERT_CHUNK, rows)

        if rows or dropped:
            self._file.write(self._notes, transaction, create=bool(rows))

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
        sql, values = _READ_LOG, [execution_id, after]
        for column, value in (("step", step), ("attempt", attempt)):
            if value is not None:
                sql += f" AND {column} = ?"
                values.append(value)
        sql += " ORDER BY id LIMIT ?"
        values.append(max(0, min(limit, MOST)))
        rows = self._file.read(self._reading, lambda c: c.execute(sql, values).fetchall()) or []
        return understood(
            self.path,
            lambda: LogPage(
                [Chunk(where, nth, start, stream, moment(at), data) for _, where, nth, start, stream, at, data in rows],
                rows[-1][0] if rows else after,
            ),
        )

    def close(self) -> None:
        """See EventStore."""
        if self._ear is not None:
            self._ear.close()
        for lane in (self._reading, self._notes, self._events):
            self._file.close(lane)

    def prune(self, tombstone: Tombstone) -> None:
        """See EventStore."""
        self._file.write(self._events, lambda c: care.prune(c, tombstone))
        self._written.forget(tombstone.execution_id)

    def tombstones(self, execution_id: str | None = None, *, after: str = "", limit: int = 1000) -> list[Tombstone]:
        """See EventStore."""
        if not storable(execution_id, after):
            return []
        most = max(0, min(limit, MOST))
        rows = self._file.read(self._reading, lambda c: care.tombstone_rows(c, execution_id, after, most)) or []
        return understood(self.path, lambda: [tombstone_of(row) for row in rows])

    def restore(self, executions: Sequence[Whole]) -> None:
        """See EventStore. All in one transaction."""
        conflict = self._file.write(self._events, lambda c: care.restore(c, executions)) if executions else None
        if conflict is not None:
            raise conflict

    def subscribe(self, hear: Callable[[Change], None], execution_id: str = "") -> Callable[[], None] | None:
        """See EventStore. What is in memory does not tell."""
        return None if self._ear is None else self._ear.subscribe(hear, execution_id)

    def appended(self, after: str | None) -> Appended | None:
        """See EventStore."""
        return self._file.read(self._reading, lambda c: care.appended(c, after)) or Appended("", ())

    def backup(self, path: str, heed: Callable[[], None]) -> None:
        """See BacksUp."""
        from cerebelum.backends.sqlite import vacuum

        vacuum.into(self._file, path, heed)

    def totals(self) -> Totals:
        """See EventStore."""
        return self._file.read(self._reading, care.totals) or Totals({}, 0, 0, 0)

    def workflows(self) -> list[Started]:
        """See EventStore."""
        return self._file.read(self._reading, care.workflows) or []

    def check(self) -> Iterator[str]:
        """See EventStore."""
        yield from self._file.read(self._reading, lambda c: list(care.problems(c))) or ()

    def describe(self) -> Description:
        """See EventStore. Raises StoreError."""
        names = ("user_version", "journal_mode", "page_size", "freelist_count")

        def look(connection: sqlite3.Connection) -> list[Any]:
            return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

        schema, mode, page, free = self._file.read(self._reading, look) or (None, None, 0, 0)
        size, wal = self._file.sizes()
        return Description(
            kind="SQLite",
            where=self._file.url,
            exists=schema is not None,
            library=f"{library_name()} {library_version()}",
            schema_version=schema,
            known_schema_version=SCHEMA_VERSION,
            size=None if schema is None else size + wal,
            path=self.path if self._file.on_disk else None,
            warnings=tuple(warnings()),
            details={"journal_mode": mode, "wal_size": wal, "free_bytes": page * free},
        )
