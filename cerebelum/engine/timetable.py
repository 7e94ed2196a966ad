"""Which ticks of which workflow files are due. What was started for a tick is in the log, and there alone.

The id of its execution is made of the workflow's name and the tick: whoever comes second, after whatever crash, finds
it taken. So nothing here has to be kept, and any number of processes may look after the same files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from cerebelum.core.errors import CerebelumError, UsageError
from cerebelum.core.ids import before_ticks, tick_id, tick_of
from cerebelum.core.model import Concurrency, Schedule, Workflow
from cerebelum.definition.cron import latest, ticks
from cerebelum.engine.preflight import Checked
from cerebelum.host.clock import Clock
from cerebelum.store import EventStore, Query, every

TAG = "schedule"
"""What every execution is tagged with that a schedule started."""
ON_TIME = timedelta(minutes=1)
"""A tick that nobody looked at for longer counts as missed."""

Check = Callable[[Path], Checked]
"""Everything that a start without inputs needs. Raises UsageError."""


class Due(msgspec.Struct, frozen=True):
    """A tick for which an execution is to be started."""

    path: Path
    workflow: str
    schedule: Schedule
    at: datetime
    execution_id: str


class _Entry(msgspec.Struct):
    """One schedule of a file."""

    schedule: Schedule
    upto: datetime
    """Everything up to here has been seen to."""
    next: datetime | None = None
    """The first tick after `upto`, once that was asked for."""

    def due(self, now: datetime) -> datetime | None:
        """The latest tick that is due."""
        if now < self.upto:
            # The clock was set back. What it has made already, the log knows.
            self.upto, self.next = now, None
        self.next = self.next or next(ticks(self.schedule, self.upto), datetime.max.replace(tzinfo=now.tzinfo))
        if now < self.next:
            self.upto = now
            return None
        return latest(self.schedule, self.upto, now)

    def settle(self, upto: datetime) -> None:
        """Take everything up to then as seen to."""
        self.upto, self.next = max(upto, self.upto), None


class _File:
    """A workflow file, its schedules as they were read last, and what was said about it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stamp = _stamp(path)
        self.workflow = ""
        self.entries: list[_Entry] = []
        self.trouble: str | None = None
        """Why nothing starts at present."""


class Timetable:
    """The schedules of workflow files, as this process looks after them.

    Raises UsageError for a file that is wrong, has no schedule, or whose workflow is called as another one's.
    """

    def __init__(
        self, store: EventStore, clock: Clock, check: Check, paths: Iterable[Path], tell: Callable[[str], None]
    ) -> None:
        self._store, self._clock, self._check, self._tell = store, clock, check, tell
        self._files = [_File(path) for path in dict.fromkeys(paths)]
        self._looked = False
        of: dict[str, Path] = {}
        for file in self._files:
            self._read(file)
            if (other := of.setdefault(file.workflow, file.path)) != file.path:
                raise UsageError(
                    f"{file.path} and {other} both define the workflow {file.workflow}",
                    hint="executions of a schedule are known by its workflow's name: give one another name",
                )

    def __bool__(self) -> bool:
        return bool(self._files)

    def due(self) -> list[Due]:
        """What is to be started now; again each time until it is settled. Raises StoreError."""
        found: list[Due] = []
        first, self._looked = not self._looked, True
        for file in self._files:
            if first:
                self._tell(f"{file.path}: {self._next(file)}")
            self._reread(file)
            for entry in file.entries if file.trouble is None else ():
                now = self._clock.now()
                at = entry.due(now)
                if at is None:
                    continue
                each = Due(file.path, file.workflow, entry.schedule, at, tick_id(file.workflow, at))
                if self._is_made(each.execution_id) or any(each.execution_id == other.execution_id for other in found):
                    entry.settle(at)
                elif now - at > ON_TIME and entry.schedule.missed == "skip":
                    self._tell(f"{file.workflow}: {said(at)} was missed, and is skipped")
                    entry.settle(at)
                else:
                    found.append(each)
        return found

    def start(self, due: Due) -> Checked:
        """How the execution of a tick is to begin: as the file is now. Raises UsageError."""
        start = self._check(due.path)
        if start.workflow.name != due.workflow:
            raise UsageError(f"the workflow is called {start.workflow.name} now", where=str(due.path))
        group = concurrency_for(due.schedule, due.workflow, start.concurrency)
        return msgspec.structs.replace(start, concurrency=group)

    def settle(self, due: Due, why: str | None = None) -> None:
        """A tick has its execution, or, as `why` says, needs none."""
        if why is not None:
            self._tell(f"{due.workflow}: nothing is started for {said(due.at)}: {why}")
        for file in self._files:
            for entry in file.entries if file.path == due.path else ():
                if entry.schedule == due.schedule:
                    entry.settle(due.at)

    def _is_made(self, execution_id: str) -> bool:
        found = self._store.find(Query(id=execution_id, limit=1)).rows
        return bool(found or self._store.tombstones(execution_id))

    # -- the files ----------------------------------------------------------------------------------------------------

    def _reread(self, file: _File) -> None:
        """Read a file again that has changed; while it cannot be used, none of its ticks is due."""
        stamp = _stamp(file.path)
        if stamp == file.stamp:
            return
        file.stamp, before = stamp, file.trouble
        try:
            self._read(file)
        except CerebelumError as error:
            file.trouble = error.text()
            if file.trouble != before:
                self._tell(f"{file.path}: nothing is started until this is mended: {file.trouble}")
        else:
            file.trouble = None
            self._tell(f"{file.path}: read again; {self._next(file)}")

    def _next(self, file: _File) -> str:
        """When a file's next execution is to start, in words."""
        coming = [tick for entry in file.entries if (tick := self._coming(file, entry)) is not None]
        return f"next at {said(min(coming))}" if coming else "no time to come"

    def _coming(self, file: _File, entry: _Entry) -> datetime | None:
        """The tick that is due, unless it has its execution or counts as missed; else the next one to come."""
        now = self._clock.now()
        due = entry.due(now)
        if due is not None and now - due <= ON_TIME and not self._is_made(tick_id(file.workflow, due)):
            return due
        return next(ticks(entry.schedule, now), None)

    def _read(self, file: _File) -> None:
        workflow = self._check(file.path).workflow
        if file.workflow and workflow.name != file.workflow:
            raise UsageError(
                f"the workflow is called {workflow.name} now, and was {file.workflow}",
                where=str(file.path),
                hint="start this process anew",
            )
        file.workflow = workflow.name
        seen = min((entry.upto for entry in file.entries), default=None)
        known = {entry.schedule: entry for entry in file.entries}
        file.entries = [
            known.get(each) or _Entry(each, seen or self._seen_to(workflow, each)) for each in workflow.schedule
        ]

    def _seen_to(self, workflow: Workflow, schedule: Schedule) -> datetime:
        """Up to when the log says that the ticks were seen to; if nothing was ever started, nothing was missed."""
        now = self._clock.now()
        last, ended = _last_made(self._store, workflow.name)
        if last is None:
            return now - ON_TIME
        group = concurrency_for(schedule, workflow.name, workflow.concurrency)
        if ended is not None and group is not None and group.policy == "fail":
            # What came due while that went on was skipped.
            last = max(last, ended)
        return min(last, now)


def concurrency_for(schedule: Schedule, workflow: str, own: Concurrency | None) -> Concurrency | None:
    """The group of an execution that a schedule starts, whose workflow may have one of its `own`."""
    overlap = schedule.overlap or ("skip" if own is None else "allow")
    if overlap == "allow":
        return own
    group = f"schedule of {workflow}" if own is None else own.group
    return Concurrency(group, "fail" if overlap == "skip" else "queue")


def said(tick: datetime) -> str:
    """A tick, as it is told."""
    return f"{tick:%Y-%m-%d %H:%M:%S} UTC"


def _last_made(store: EventStore, workflow: str) -> tuple[datetime | None, datetime | None]:
    """The last tick that has an execution, as far as the log says, and when that execution ended."""
    last, ended, after = None, None, before_ticks(workflow)
    for row in every(store, Query(workflow=workflow, tag=(TAG,))):
        name = row.summary.execution_id
        if (last := tick_of(workflow, name)) is not None:
            ended, after = row.summary.ended_at, name
            break
    while stones := store.tombstones(after=after):
        for stone in stones:
            if not stone.execution_id.startswith(before_ticks(workflow)):
                return last, ended
            if (tick := tick_of(workflow, stone.execution_id)) is not None and (last is None or tick > last):
                last, ended = tick, stone.ended_at
        after = stones[-1].execution_id
    return last, ended


def _stamp(path: Path) -> tuple[int, ...] | None:
    """What changes with a file's content; None if it is gone. `file.py:workflow` is the file."""
    for name in filter(None, (str(path), str(path).rpartition(":")[0])):
        try:
            there = os.stat(name)
        except OSError:
            continue
        return there.st_mtime_ns, there.st_size, there.st_ino
    return None
