"""The contract between cerebelum and whatever keeps its events: small, so that a backend is easy to write and check.

A backend keeps entries exactly as they are given (it neither decodes nor re-encodes them), a summary row per execution
for listing, the output of steps in chunks, and who owns what. `cerebelum.backends.conformance` is the suite that every
backend has to pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from cerebelum.core.errors import CerebelumError
from cerebelum.core.events import Entry
from cerebelum.core.state import Status
from cerebelum.core.summary import Summary


class Conflict(CerebelumError):
    """Somebody else appended first; the caller reads the tail and decides again."""

    def __init__(self, execution_id: str, expected: int, actual: int) -> None:
        super().__init__(f"expected version {expected}, the log is at {actual}", where=execution_id)
        self.expected = expected
        self.actual = actual


class Fenced(CerebelumError):
    """The execution now belongs to another runner (or epoch); this one must stop and write no more."""

    def __init__(self, execution_id: str, owner: str | None, epoch: int) -> None:
        super().__init__(f"ownership was lost (owner {owner or 'nobody'}, epoch {epoch})", where=execution_id)
        self.owner = owner
        self.epoch = epoch


class Runner(msgspec.Struct, frozen=True):
    """A process that drives executions, as it registered itself. `beat` only ever counts up."""

    id: str
    host: str
    boot_id: str
    pid: int
    pid_namespace: str
    start_ticks: int
    """Kernel start time of the process in clock ticks since boot."""
    started_at: datetime
    lock: str
    """Path of a file the runner holds an exclusive `flock` on while it lives."""
    beat: int = 0
    beat_at: datetime | None = None


class Process(msgspec.Struct, frozen=True):
    """A process group a runner spawned for an attempt, recorded so that a successor can find what is left of it."""

    step: str
    attempt: int
    pid: int
    pid_namespace: str
    start_ticks: int
    boot_id: str
    session: int
    token: str
    """Value of CEREBELUM_TOKEN in the environment of the attempt's processes."""


class Ownership(msgspec.Struct, frozen=True):
    """Who may write: the runner's id (None: nobody) and the epoch, which grows with every change of owner."""

    owner: str | None
    epoch: int


class Row(msgspec.Struct, frozen=True):
    """One execution as `find` returns it."""

    summary: Summary
    ownership: Ownership
    runner: Runner | None
    """The owner's registration, if it has one."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which executions `find` returns; every condition must hold. Newest start first."""

    id: str | None = None
    id_prefix: str | None = None
    status: tuple[Status, ...] = ()
    workflow: str | None = None
    tag: tuple[str, ...] = ()
    """Tags that must all be there."""
    since: datetime | None = None
    """Started at or after."""
    due_before: datetime | None = None
    dead_runners: tuple[str, ...] = ()
    """Runners known to be dead: their executions stored as `running` count as `paused`; an empty name is nobody's."""
    limit: int = 50
    offset: int = 0
    count_to: int = 0
    """Count all matches up to this many (0: do not count)."""


class Page(msgspec.Struct, frozen=True):
    rows: list[Row]
    has_more: bool
    total: int | None
    """Matches in all, at most `count_to` (a total equal to `count_to` means that many or more); None if not asked."""


Stream = Literal["stdout", "stderr"]


class Chunk(msgspec.Struct, frozen=True):
    """A piece of an attempt's output, already masked. A gap between offsets means that bytes were left out."""

    step: str
    attempt: int
    offset: int
    """Bytes of this attempt's output (both streams together) before this chunk."""
    stream: Stream
    at: datetime
    data: bytes


class LogPage(msgspec.Struct, frozen=True):
    chunks: list[Chunk]
    position: int
    """To be given as `after` of the next call."""


class EventStore(Protocol):
    """What a backend does. Safe to use from several threads at once.

    Every method raises StoreError when the store cannot be reached, read or written (disk full, damaged …).
    """

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
        """Append `entries` (versions expected+1 …) and replace the summary, durably and in one transaction.

        `expected` is the version of the log before; 0 creates the execution, then owned by `fence`. With `fence`, the
        stored ownership must equal it, checked in the same transaction; without, anybody may append. `release` leaves
        the execution without owner (the epoch stays). Empty `entries` are allowed (for a release).

        Raises Fenced if the ownership differs (checked first), Conflict if the log is not at `expected` (also when
        `expected` is 0 and the execution is there).
        """
        ...

    def read(self, execution_id: str, after: int = 0) -> list[Entry]:
        """The entries with a version greater than `after`, in order; empty if there is no such execution."""
        ...

    def find(self, query: Query) -> Page:
        """The executions that match. One consistent snapshot; served by indexes."""
        ...

    def own(self, execution_id: str, owner: str | None, expected: Ownership) -> Ownership | None:
        """Compare and swap the ownership: if it is `expected`, set `owner` and epoch + 1 and return that; else None."""
        ...

    def beat(self, runner: Runner) -> None:
        """Register the runner, or move its beat on (`runner.beat` replaces the stored one; `beat_at` is set here)."""
        ...

    def note_process(self, execution_id: str, process: Process, *, gone: bool = False) -> None:
        """Record a process that was spawned for an attempt; `gone`: forget it."""
        ...

    def processes(self, execution_id: str) -> list[Process]:
        """The recorded processes of an execution."""
        ...

    def write_log(
        self, execution_id: str, chunks: Sequence[Chunk], drop: Sequence[tuple[str, int, int, int]] = ()
    ) -> None:
        """Add `chunks`, after removing those whose (step, attempt, from offset, below offset) is in `drop`.

        Survives a crash of the process; after a power cut the last moments may be missing.
        """
        ...

    def read_log(
        self,
        execution_id: str,
        *,
        step: str | None = None,
        attempt: int | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> LogPage:
        """Chunks in the order they were written, beginning after position `after` (0: from the start)."""
        ...

    def close(self) -> None:
        """Release everything. Closing twice is allowed."""
        ...
