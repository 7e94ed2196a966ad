"""How things look inside the file: what marks it as ours, and how summaries, runners and times become rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from cerebelum.backends.sqlite.library import damaged
from cerebelum.core.summary import Summary
from cerebelum.store import Runner

T = TypeVar("T")

APPLICATION_ID = 0x4352424C
"""What marks an SQLite file as a store of ours: "CRBL"."""
SCHEMA_VERSION = 1
"""How many migrations of `schema.py` a store has gone through."""

SUMMARY = (
    *("id", "workflow", "status", "reason", "version", "digest", "started_at", "updated_at", "ended_at", "due_at"),
    *("tags", "correlation_id", "parent", "steps_total", "steps_done", "current"),
)
"""The columns of a summary, in the order of `summary_row`."""
RUNNER = ("id", "host", "boot_id", "pid", "pid_namespace", "start_ticks", "started_at", "lock", "beat", "beat_at")

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


def understood(where: str, read: Callable[[], T]) -> T:
    """What `read` makes of rows. Raises StoreError for rows that we cannot have written."""
    try:
        return read()
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise damaged(where, error) from error


def lasting(s: Summary) -> tuple[Any, ...]:
    """What seldom changes in a summary: all that an index covers, and more."""
    return (
        *(s.workflow, s.status, s.reason, s.started_at, s.ended_at, s.due_at),
        *(s.tags, s.correlation_id, s.parent, s.steps_total),
    )


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


def runner_of(row: tuple[Any, ...]) -> Runner:
    """The runner of a row of RUNNER."""
    identity, host, boot_id, pid, namespace, ticks, started, lock, beat, beat_at = row
    return Runner(identity, host, boot_id, pid, namespace, ticks, moment(started), lock, beat, moment(beat_at))
