"""How summaries, runners, times and tombstones become rows of an SQL database, and are made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

import msgspec

from cerebelum.core.events import Entry
from cerebelum.core.summary import Summary
from cerebelum.store import Chunk, Claim, Runner, Tombstone

MOST = 2**62
"""No number beyond this is asked for: the databases count in 64 bits."""
SUMMARY = (
    *("id", "workflow", "status", "reason", "version", "digest", "started_at", "updated_at", "ended_at", "due_at"),
    *("tags", "correlation_id", "parent", "steps_total", "steps_done", "current"),
)
"""The columns of a summary, in the order of `summary_row`."""
RUNNER = ("id", "host", "boot_id", "pid", "pid_namespace", "start_ticks", "started_at", "lock", "beat", "beat_at")
TOMBSTONE = ("id", "workflow", "status", "started_at", "ended_at", "version", "digest", "pruned_at")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[str, ...]).decode


def micros(moment: datetime) -> int:
    """Microseconds since 1970, exactly: how times are stored."""
    past = moment - _EPOCH
    return (past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds


def moment(micros: int) -> datetime:
    """The time (UTC) of a stored number."""
    return _EPOCH + timedelta(microseconds=micros)


def strings(text: str) -> tuple[str, ...]:
    """The strings of a stored JSON list."""
    return _decode(text)


def strings_text(strings: tuple[str, ...]) -> str:
    """The JSON list that `strings` are stored as."""
    return _encode(strings).decode()


lasting: Callable[[Summary], tuple[Any, ...]] = attrgetter(
    *("workflow", "status", "reason", "started_at", "ended_at", "due_at"),
    *("tags", "correlation_id", "parent", "steps_total"),
)
"""What seldom changes in a summary: all that an index covers, and more."""


def summary_row(s: Summary) -> tuple[Any, ...]:
    """The values of SUMMARY."""
    ended = None if s.ended_at is None else micros(s.ended_at)
    due = None if s.due_at is None else micros(s.due_at)
    return (
        *(s.execution_id, s.workflow, s.status, s.reason, s.version, s.digest, micros(s.started_at)),
        *(micros(s.updated_at), ended, due, strings_text(s.tags), s.correlation_id, s.parent),
        *(s.steps_total, s.steps_done, strings_text(s.current)),
    )


def summary_of(row: tuple[Any, ...]) -> Summary:
    """The summary of a row of SUMMARY (and maybe more)."""
    return Summary(
        execution_id=row[0],
        workflow=row[1],
        status=row[2],
        reason=row[3],
        version=row[4],
        digest=row[5],
        started_at=moment(row[6]),
        updated_at=moment(row[7]),
        ended_at=None if row[8] is None else moment(row[8]),
        due_at=None if row[9] is None else moment(row[9]),
        tags=strings(row[10]),
        correlation_id=row[11],
        parent=row[12],
        steps_total=row[13],
        steps_done=row[14],
        current=strings(row[15]),
    )


def entry_rows(execution_id: str, expected: int, entries: Sequence[Entry], summary: Summary) -> list[tuple[Any, ...]]:
    """The rows of entries that are appended to a log at `expected`: id, version, type, time, text, digest.

    Raises ValueError if they don't follow it one by one, or the summary is not the one after them.
    """
    rows = [(execution_id, e.version, e.type, micros(e.at), e.text, e.digest) for e in entries]
    last = expected
    for row in rows:
        last += 1
        if row[1] != last:
            raise ValueError(f"{execution_id}: entry {row[1]} stands where {last} belongs")
    if last == 0 or summary.version != last or summary.execution_id != execution_id:
        raise ValueError(f"{execution_id}: the summary is not that of version {last}")
    return rows


def chunk_rows(execution_id: str, chunks: Sequence[Chunk]) -> list[tuple[Any, ...]]:
    """The rows of output: id, step, attempt, offset, stream, time, bytes."""
    return [(execution_id, c.step, c.attempt, c.offset, c.stream, micros(c.at), c.data) for c in chunks]


def runner_row(runner: Runner, now: datetime) -> tuple[Any, ...]:
    """The values of RUNNER, with a beat that moved `now`."""
    return (
        *(runner.id, runner.host, runner.boot_id, runner.pid, runner.pid_namespace, runner.start_ticks),
        *(micros(runner.started_at), runner.lock, runner.beat, micros(now)),
    )


def runner_of(row: tuple[Any, ...], now: datetime) -> Runner:
    """The runner of a row of RUNNER, read `now`."""
    identity, host, boot_id, pid, namespace, ticks, started, lock, beat, beat_at = row
    silent = (micros(now) - beat_at) / 1e6
    return Runner(identity, host, boot_id, pid, namespace, ticks, moment(started), lock, beat, silent)


def tombstone_row(t: Tombstone) -> tuple[Any, ...]:
    """The values of TOMBSTONE."""
    ended = None if t.ended_at is None else micros(t.ended_at)
    return (
        *(t.execution_id, t.workflow, t.status, micros(t.started_at), ended),
        *(t.version, t.digest, micros(t.pruned_at)),
    )


def tombstone_of(row: tuple[Any, ...]) -> Tombstone:
    """The tombstone of a row of TOMBSTONE."""
    identity, workflow, status, started, ended, version, digest, pruned = row
    ended_at = None if ended is None else moment(ended)
    return Tombstone(identity, workflow, status, moment(started), ended_at, version, digest, moment(pruned))


def claim_of(row: tuple[Any, ...]) -> Claim:
    """The claim of a row: group, execution, time."""
    group, execution_id, at = row
    return Claim(group, execution_id, moment(at))


def storable(*values: str | int | None) -> bool:
    """False if nothing stored can equal one of them: numbers beyond 62 bits, text that is not Unicode.

    Bytes of a command line that are no UTF-8 arrive as lone surrogates.
    """
    for value in values:
        if isinstance(value, int):
            if abs(value) > MOST:
                return False
        elif value is not None:
            try:
                value.encode()
            except UnicodeEncodeError:
                return False
    return True
