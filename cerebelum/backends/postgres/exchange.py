"""Statements sent together through libpq itself: one transaction, one round trip, and none of a cursor's work.

An append waits for this and for the disk alone, and psycopg's cursors cost as much as a fast disk does.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import NamedTuple, TypeAlias, cast

from cerebelum.backends.postgres.driver import psycopg
from cerebelum.backends.postgres.server import Connection

_BAD = psycopg.pq.ConnStatus.BAD
_FAILED = psycopg.pq.ExecStatus.FATAL_ERROR
_END = psycopg.pq.ExecStatus.PIPELINE_SYNC

PGresult: TypeAlias = psycopg.pq.abc.PGresult

_numbers = count()


class Command(NamedTuple):
    """A statement with `$1` … for its values, and these as the server reads them."""

    sql: bytes
    values: Sequence[bytes | None]


def wire(value: str | int | Sequence[str | int] | None) -> bytes | None:
    """A value, or an array of them, as text that the server reads.

    Raises UnicodeError for a lone surrogate, and for NUL, at which libpq would cut the text off.
    """
    if value is None:
        return None
    if isinstance(value, str):
        if "\0" in value:
            raise UnicodeError("a NUL character")
        return value.encode()
    if isinstance(value, int):
        return b"%d" % value
    return b"{%s}" % b",".join(b'"%s"' % _quoted(item) for item in value)


def _quoted(item: str | int) -> bytes:
    return cast(bytes, wire(item)).replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def exchange(connection: Connection, commands: Sequence[Command]) -> list[PGresult]:
    """Perform the commands in one transaction; what each has given. Raises the library's errors."""
    pgconn, prepared = connection.pgconn, connection.prepared
    if prepared is not None and len(commands) == 1 and commands[0].sql in prepared:
        # What is sent is the same, with less to do here.
        pgconn.send_query_prepared(prepared[commands[0].sql], commands[0].values)
        return _good(_results(connection, last=None))
    asked: list[bool] = []
    new: list[bytes] = []
    pgconn.enter_pipeline_mode()
    for sql, values in commands:
        if prepared is None:
            pgconn.send_query_params(sql, values)
        else:
            if sql not in prepared:
                prepared[sql] = b"cerebelum_%d" % next(_numbers)
                pgconn.send_prepare(prepared[sql], sql)
                new.append(sql)
                asked.append(False)
            pgconn.send_query_prepared(prepared[sql], values)
        asked.append(True)
    pgconn.pipeline_sync()
    results = _results(connection, last=_END)
    if pgconn.status != _BAD:
        pgconn.exit_pipeline_mode()
    try:
        _good(results)
    except psycopg.Error:
        for sql in new:
            # The server may not have come to keep them.
            cast(dict[bytes, bytes], prepared).pop(sql)
        raise
    return [result for result, wanted in zip(results, asked, strict=True) if wanted]


def _good(results: list[PGresult]) -> list[PGresult]:
    """The results, unless one of them is an error, which is raised."""
    for result in results:
        if result.status == _FAILED:
            raise psycopg.errors.error_from_result(result)
    return results


def _results(connection: Connection, last: int | None) -> list[PGresult]:
    """All that comes until the server has finished, which is told by `last`, or is gone."""
    pgconn = connection.pgconn
    while pgconn.flush():
        if connection.attend(sending=True):
            # It may not read on before its answers are read.
            pgconn.consume_input()
    results: list[PGresult] = []
    while True:
        while pgconn.is_busy():
            connection.attend()
            pgconn.consume_input()
        result = pgconn.get_result()
        status = None if result is None else result.status
        if result is not None and status != _END:
            results.append(result)
        elif status == last:
            return results
        elif pgconn.status == _BAD:
            # Between the results of two statements, of which the second one will not come.
            if not results or results[-1].status != _FAILED:
                raise psycopg.OperationalError("the connection is lost")
            return results
