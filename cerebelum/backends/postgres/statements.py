"""The statements of a PostgreSQL store, made once for its schema. Each is a transaction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, LiteralString, Protocol

from cerebelum.backends.postgres.address import Address
from cerebelum.backends.postgres.schema import literally
from cerebelum.backends.sql.rows import RUNNER, SUMMARY, TOMBSTONE
from cerebelum.backends.sql.search import Dialect, Lead, counted, leads, selection
from cerebelum.store import Query
from cerebelum.store.contract import ChangeKind

NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""Microseconds since 1970 by the server's clock."""

FEW = 4
"""So many entries are written as they are, which the server reads faster than arrays; more come as arrays."""
_ENTRY = "e(version, type, at, data, digest)"


def stored(text: str) -> str:
    """Text as the database can hold it: NUL, which it refuses, is written as an escape."""
    return text.replace("\\", "\\\\").replace("\0", "\\0") if "\\" in text or "\0" in text else text


def restored(text: str) -> str:
    """What `stored` was given."""
    if "\\" not in text:
        return text
    return "\\".join(part.replace("\\0", "\0") for part in text.split("\\\\"))


def _few(entries: int) -> int:
    """The number of entries if a statement is made for just so many, else -1."""
    return entries if entries <= FEW else -1


def _numbered(text: str) -> str:
    """A statement for the server itself, which counts its values: `$1`, `$2` ..."""
    first, *others = text.split("%s")
    return "".join([first, *(f"${number}{part}" for number, part in enumerate(others, 1))])


_BELONGING = (
    ("events", "execution_id"),
    ("log_chunks", "execution_id"),
    ("log_positions", "execution_id"),
    ("processes", "execution_id"),
    ("claims", "execution_id"),
    ("executions", "id"),
)
"""The tables that an execution has rows in, and by which column."""


class Making(Protocol):
    """Statements of a schema."""

    def made(self, text: str, kind: ChangeKind, of: str) -> LiteralString:
        """A statement for the schema, which may announce a change."""
        ...


class Statement:
    """A statement that is made for the schema when it is first asked for."""

    def __init__(self, text: str, kind: ChangeKind = "events", of: str = "id") -> None:
        self._text, self._kind, self._of = text, kind, of
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, statements: Making, owner: type | None = None) -> LiteralString:
        made = statements.made(self._text, self._kind, self._of)
        statements.__dict__[self._name] = made
        return made


class Statements:
    """`{s}` stands for the schema, `{told}` for what announces a change."""

    mine = Statement(
        "SELECT version, owner, epoch, EXISTS (SELECT 1 FROM {s}.events"
        " WHERE execution_id = %s AND version = %s AND token = %s::uuid) FROM {s}.executions WHERE id = %s"
        " UNION ALL SELECT version, NULL, 0, false FROM {s}.tombstones WHERE id = %s AND %s"
    )
    read = Statement(
        "SELECT version, type, at, data, digest FROM {s}.events WHERE execution_id = %s AND version > %s"
        " ORDER BY version"
    )
    # The size of a text is known without reading the text.
    read_page = Statement(
        "SELECT version, type, at, data, digest FROM (SELECT *, row_number() OVER so_far AS number,"
        " sum(octet_length(data)) OVER so_far AS size FROM (SELECT version, type, at, data, digest FROM {s}.events"
        " WHERE execution_id = %s AND version > %s ORDER BY version LIMIT 1000) AS following"
        " WINDOW so_far AS (ORDER BY version ROWS UNBOUNDED PRECEDING)) AS sized"
        " WHERE number = 1 OR size <= %s ORDER BY version"
    )
    own = Statement(
        "WITH written AS (UPDATE {s}.executions SET owner = %s, epoch = epoch + 1"
        " WHERE id = %s AND owner IS NOT DISTINCT FROM %s AND epoch = %s RETURNING id)"
        " SELECT count({told}) FROM written",
        kind="owner",
    )
    owner = Statement("SELECT owner, epoch FROM {s}.executions WHERE id = %s")
    _moved = ", ".join(f"{name} = excluded.{name}" for name in RUNNER[1:])
    # A lost beat is no loss, so nobody waits for the disk.
    beat = Statement(
        f"WITH quick AS (SELECT set_config('synchronous_commit', 'off', true)) INSERT INTO {{s}}.runners"
        f" ({', '.join(RUNNER)}) SELECT {', '.join(['%s'] * (len(RUNNER) - 1))}, {NOW} FROM quick"
        f" ON CONFLICT (id) DO UPDATE SET {_moved}"
    )
    note_process = Statement(
        "INSERT INTO {s}.processes AS p"
        " (execution_id, pid, start_ticks, boot_id, pid_namespace, step, attempt, session, token)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (execution_id, pid, start_ticks, boot_id, pid_namespace) DO UPDATE SET step = excluded.step,"
        " attempt = excluded.attempt, session = excluded.session, token = excluded.token"
    )
    forget_process = Statement(
        "DELETE FROM {s}.processes WHERE execution_id = %s AND pid = %s AND start_ticks = %s AND boot_id = %s"
        " AND pid_namespace = %s"
    )
    processes = Statement(
        "SELECT step, attempt, pid, pid_namespace, start_ticks, boot_id, session, token FROM {s}.processes"
        " WHERE execution_id = %s ORDER BY step, attempt, pid"
    )
    place = Statement(
        "INSERT INTO {s}.log_positions AS p (execution_id, last) VALUES (%s, %s)"
        " ON CONFLICT (execution_id) DO UPDATE SET last = p.last + excluded.last RETURNING last"
    )
    chunks_written = Statement("SELECT 1 FROM {s}.log_chunks WHERE execution_id = %s AND token = %s::uuid LIMIT 1")
    _dropped = (
        "dropped AS (DELETE FROM {s}.log_chunks AS c USING"
        " unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[]) AS d(step, attempt, low, high)"
        ' WHERE c.execution_id = %s AND c.step = d.step AND c.attempt = d.attempt AND c."offset" >= d.low'
        ' AND c."offset" < d.high)'
    )
    write_log = Statement(
        "WITH quick AS (SELECT set_config('synchronous_commit', 'off', true)),"
        " written AS (INSERT INTO {s}.log_positions AS p (execution_id, last) SELECT %s, %s FROM quick"
        " ON CONFLICT (execution_id) DO UPDATE SET last = p.last + excluded.last"
        " RETURNING execution_id AS id, last),"
        f" {_dropped}, added AS (INSERT INTO {{s}}.log_chunks"
        ' (execution_id, id, step, attempt, "offset", stream, at, data, token)'
        ' SELECT written.id, written.last - %s + c.number, c.step, c.attempt, c."offset", c.stream, c.at, c.data,'
        " %s::uuid FROM written, unnest(%s::text[], %s::int[], %s::bigint[], %s::text[], %s::bigint[], %s::bytea[])"
        ' WITH ORDINALITY AS c(step, attempt, "offset", stream, at, data, number))'
        " SELECT count({told}) FROM written",
        kind="output",
    )
    read_log = Statement(
        'SELECT id, step, attempt, "offset", stream, at, data FROM {s}.log_chunks'
        " WHERE execution_id = %s AND id > %s AND (%s::text IS NULL OR step = %s)"
        " AND (%s::int IS NULL OR attempt = %s) ORDER BY id LIMIT %s"
    )
    tombstones = Statement(
        f"SELECT {', '.join(TOMBSTONE)} FROM {{s}}.tombstones WHERE id > %s AND (%s::text IS NULL OR id = %s)"
        " ORDER BY id LIMIT %s"
    )
    locked = Statement("SELECT version, digest, owner, epoch FROM {s}.executions WHERE id = %s FOR UPDATE")
    entomb = Statement(
        f"INSERT INTO {{s}}.tombstones ({', '.join(TOMBSTONE)}) VALUES ({', '.join(['%s'] * len(TOMBSTONE))})"
    )
    there = Statement(
        "SELECT e.id, e.version, EXISTS"
        " (SELECT 1 FROM {s}.events AS v WHERE v.execution_id = e.id AND v.version = 1 AND v.token = %s::uuid)"
        " FROM {s}.executions AS e WHERE e.id = ANY(%s::text[])"
        " UNION ALL SELECT id, version, false FROM {s}.tombstones WHERE id = ANY(%s::text[])"
    )
    copy_executions = Statement(f"COPY {{s}}.executions ({', '.join(SUMMARY)}, owner, epoch) FROM STDIN")
    copy_events = Statement("COPY {s}.events (execution_id, version, type, at, data, digest, token) FROM STDIN")
    forget_output = Statement("DELETE FROM {s}.log_chunks WHERE execution_id = ANY(%s::text[])")
    places = Statement(
        "INSERT INTO {s}.log_positions AS p (execution_id, last)"
        " SELECT * FROM unnest(%s::text[], %s::bigint[])"
        " ON CONFLICT (execution_id) DO UPDATE SET last = p.last + excluded.last RETURNING execution_id, last"
    )
    copy_output = Statement(
        'COPY {s}.log_chunks (execution_id, step, attempt, "offset", stream, at, data, id, token) FROM STDIN'
    )
    tell = Statement("SELECT {told}", of="%s::text")
    tell_owner = Statement("SELECT {told}", kind="owner", of="%s::text")
    lock_group = Statement("SELECT pg_advisory_xact_lock(hashtextextended('{channel} claims ' || %s, 0))")
    claims = Statement(
        'SELECT "group", execution_id, at FROM {s}.claims WHERE %s::text IS NULL OR "group" = %s'
        ' ORDER BY "group", position'
    )
    add_claim = Statement(
        'INSERT INTO {s}.claims (execution_id, "group", position, at)'
        " SELECT %s, %s, coalesce(max(position), 0) + 1, %s FROM {s}.claims"
        ' WHERE "group" = %s'
    )
    forget_claim = Statement("DELETE FROM {s}.claims WHERE execution_id = %s")
    totals = Statement(
        "SELECT (SELECT json_object_agg(status, n) FROM (SELECT status, count(*) AS n FROM {s}.executions"
        " GROUP BY status) AS by_status), (SELECT coalesce(sum(version), 0) FROM {s}.executions),"
        " (SELECT count(*) FROM {s}.tombstones), (SELECT coalesce(sum(length(data)), 0) FROM {s}.log_chunks)"
    )
    workflows = Statement("SELECT workflow, count(*), max(started_at) FROM {s}.executions GROUP BY workflow")
    orphans = Statement(
        "SELECT DISTINCT execution_id FROM {s}.events AS v WHERE NOT EXISTS"
        " (SELECT 1 FROM {s}.executions AS e WHERE e.id = v.execution_id) ORDER BY 1"
    )

    def __init__(self, address: Address) -> None:
        # Placeholders are looked for in every statement.
        self._schema = address.quoted_schema.replace("%", "%%")
        # No index can be named here, and none has to be: each filter has one that also gives the order.
        self._dialect = Dialect(
            prefix="{s}.",
            indexed="",
            # Only so is it sure to go through the tags in their order, and to stop where it has enough.
            tagged="{prefix}tags AS t CROSS JOIN LATERAL"
            " (SELECT * FROM {prefix}executions AS x WHERE x.id = t.execution_id OFFSET 0) AS e",
            branch="({sql} ORDER BY {order} LIMIT ?)",
            among="{} = ANY(?::text[])",
            texts=lambda texts: [stored(text) for text in texts],
            by_id="",
        )
        self._channel = address.channel.replace("'", "''").replace("%", "%%")
        self._appends: dict[tuple[bool, bool, bool, int], bytes] = {}
        self._creates: dict[int, bytes] = {}
        self.listen = literally(f'LISTEN "{address.channel.replace(chr(34), chr(34) * 2)}"')
        self.removals = [self.made(f"DELETE FROM {{s}}.{table} WHERE {key} = %s") for table, key in _BELONGING]

    def create(self, entries: int) -> bytes:
        """Adds an execution: a summary with owner and epoch, the id again, then what `values` gives."""
        few = _few(entries)
        if few not in self._creates:
            self._creates[few] = self._appending(self._insert(), entries, "events")
        return self._creates[few]

    def advance(self, entries: int, *, lean: bool, fenced: bool, release: bool) -> bytes:
        """Changes an execution: a summary without id, id and version (if `lean`, what `changing` gives, and id), owner
        and epoch if `fenced`, then what `values` gives.

        `lean` is for 1 to FEW entries, of which the last one has the summary's time and digest. An update waits for
        whoever changes the row, and then looks at what it is now: the row is its lock.
        """
        key = (lean, fenced, release, _few(entries))
        if key not in self._appends:
            if lean:
                # What an entry says is sent once: values cost the server as much as the columns they are for.
                before = 4 + 2 * fenced + 5 * (entries - 1)
                version, at, digest = (f"${before + number}" for number in (1, 3, 5))
                columns = f"version = {version}, digest = {digest}, updated_at = {at}, steps_done = %s, current = %s"
                where = f"id = %s AND version = {version} - {entries}"
            else:
                columns, where = ", ".join(f"{name} = %s" for name in SUMMARY[1:]), "id = %s AND version = %s"
            self._appends[key] = self._appending(
                f"UPDATE {{s}}.executions SET {columns}{', owner = NULL' if release else ''} WHERE {where}"
                + (" AND owner IS NOT DISTINCT FROM %s AND epoch = %s" if fenced else ""),
                entries,
                "events" if fenced else "request",
            )
        return self._appends[key]

    @cached_property
    def together(self) -> bytes:
        """Adds one entry to each of many executions whose summaries are `lean`: an array for each column of `due`.

        It gives the ids of those that were what was expected of them.
        """
        text = (
            "WITH due AS (SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::int[], %s::text[],"
            " %s::int[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::uuid[])"
            " AS d(id, owner, epoch, steps_done, current, version, type, at, data, digest, token)),"
            " written AS (UPDATE {s}.executions AS x SET version = d.version, digest = d.digest, updated_at = d.at,"
            " steps_done = d.steps_done, current = d.current FROM due AS d WHERE x.id = d.id"
            " AND x.version = d.version - 1 AND x.owner IS NOT DISTINCT FROM d.owner AND x.epoch = d.epoch"
            " RETURNING d.id, d.version, d.type, d.at, d.data, d.digest, d.token)"
            " INSERT INTO {s}.events (execution_id, version, type, at, data, digest, token)"
            " SELECT * FROM written RETURNING execution_id, {told}"
        )
        return self._bare(text, "events", of="execution_id")

    def _insert(self) -> str:
        return (
            f"INSERT INTO {{s}}.executions ({', '.join(SUMMARY)}, owner, epoch)"
            f" SELECT {', '.join(['%s'] * len(SUMMARY))}, %s, %s"
            " WHERE NOT EXISTS (SELECT 1 FROM {s}.tombstones WHERE id = %s) ON CONFLICT (id) DO NOTHING"
        )

    def _appending(self, change: str, entries: int, kind: ChangeKind) -> bytes:
        few = _few(entries)
        if few == 0:
            return self._bare(f"WITH written AS ({change} RETURNING id) SELECT {{told}} FROM written", kind)
        rows = ", ".join(["(%s::int, %s, %s::bigint, %s, %s)"] * few)
        many = "unnest(%s::int[], %s::text[], %s::bigint[], %s::text[], %s::text[])"
        text = (
            f"WITH written AS ({change} RETURNING id)"
            " INSERT INTO {s}.events (execution_id, version, type, at, data, digest, token)"
            " SELECT id, e.version, e.type, e.at, e.data, e.digest, %s::uuid"
            f" FROM written, {f'(VALUES {rows})' if few > 0 else many} AS {_ENTRY} RETURNING {{told}}"
        )
        return self._bare(text, kind, of="execution_id")

    def _bare(self, text: str, kind: ChangeKind, of: str = "id") -> bytes:
        # Nothing looks for placeholders in it, so that nothing has to be doubled.
        return self.made(_numbered(text), kind, of).replace("%%", "%").encode()

    def made(self, text: str, kind: ChangeKind = "events", of: str = "id") -> LiteralString:
        """The statement for this schema; where it announces a change, that is of the kind and execution given."""
        told = f"pg_notify('{self._channel}', '{kind} ' || {of})"
        return literally(text.replace("{s}", self._schema).replace("{told}", told).replace("{channel}", self._channel))

    @staticmethod
    def values(token: str, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The values of the entries (rows of `entry_rows`) of an append."""
        few = _few(len(rows))
        if few == 0:
            return []
        if few < 0:
            return [token, *([row[at] for row in rows] for at in range(1, 6))]
        return [token, *(value for row in rows for value in row[1:])]

    def leads(self, query: Query) -> tuple[list[Lead], LiteralString, list[Any]]:
        """See `leads` in backends/sql/search.py."""
        found, sql, values = leads(query, self._dialect)
        return found, self._asking(sql), values

    def search(
        self, query: Query, limit: int, offset: int, most: int, lead: Lead | None
    ) -> tuple[LiteralString, list[Any]]:
        """SQL for one page: the server's clock and the total in every row, even if there is no execution in it."""
        sql, values = selection(query, self._dialect, limit, offset, lead)
        count, counting = counted(query, most, self._dialect, lead) if most else ("SELECT NULL::bigint", [])
        columns = (*SUMMARY, "owner", "epoch")
        runner = ", ".join(f"r.{name}" for name in RUNNER)
        text = (
            f"WITH page({', '.join(columns)}) AS ({sql}), total(n) AS ({count})"
            f" SELECT {NOW}, total.n, {', '.join(f'p.{name}' for name in columns)}, {runner} FROM total"
            " LEFT JOIN page AS p ON true LEFT JOIN {s}.runners AS r ON r.id = p.owner"
            " ORDER BY p.started_at DESC, p.id DESC"
        )
        return self._asking(text), [*values, *counting]

    def _asking(self, text: str) -> LiteralString:
        return self.made(text.replace("?", "%s"))
