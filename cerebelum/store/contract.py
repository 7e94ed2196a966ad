"""The contract between cerebelum and whatever keeps its events: small, so that a backend is easy to write and check.

A backend keeps entries exactly as they are given (it neither decodes nor re-encodes them), a summary row per execution
for listing, the output of steps in chunks, and who owns what. `cerebelum.backends.conformance` is the suite that every
backend has to pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal, Protocol, TypeVar, runtime_checkable

import msgspec

from cerebelum.core.errors import CerebelumError
from cerebelum.core.events import Entry
from cerebelum.core.status import Status
from cerebelum.core.summary import Summary
from cerebelum.store.facts import Appended, Description, Started, Totals

T = TypeVar("T")

_PAGE = 200
PAGE_SIZE = 256 << 10
"""Characters of the events that are read at once."""
_ALL = 2**62
"""Beyond every offset."""


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
    silent: float | None = None
    """Seconds for which the beat had not moved when it was read, by the store's clock; None before it is stored."""


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


class Claim(msgspec.Struct, frozen=True):
    """That an execution wants the lock of a group. The first claim of a group has it; the others wait in order."""

    group: str
    execution_id: str
    at: datetime
    """When it was made, by the clock of whoever made it."""


class Row(msgspec.Struct, frozen=True):
    """One execution as `find` returns it."""

    summary: Summary
    ownership: Ownership
    runner: Runner | None
    """The owner's registration, if it has one."""
    dead: bool | None = None
    """Whether it was found dead before this was read, which `lookup` sees to."""


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
    after: tuple[datetime, str] | None = None
    """Only what comes after this start and id in that order: those of the last row of the page before."""
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


class Whole(msgspec.Struct, frozen=True):
    """An execution as one store hands it to another."""

    summary: Summary
    epoch: int
    entries: Sequence[Entry]
    output: Sequence[Chunk] | None = None
    """All output of its steps, in the place of any that is there; None if it comes, or came, by `write_log`."""


class Tombstone(msgspec.Struct, frozen=True):
    """What stays of an execution that was pruned: enough to know that it was there, and what its log ended with."""

    execution_id: str
    workflow: str
    status: Status
    started_at: datetime
    ended_at: datetime | None
    version: int
    digest: str
    pruned_at: datetime


ChangeKind = Literal["events", "request", "output", "owner", "unknown"]


class Change(msgspec.Struct, frozen=True):
    """That something happened in a store, which is worth a look."""

    kind: ChangeKind
    """The owner appended (or it was pruned); somebody else did; output was written; the owner changed; or, after a time
    in which nothing could be heard, anything."""
    execution_id: str = ""
    """Empty where it is not known."""


class EventStore(Protocol):
    """What a backend does. Safe to use from several threads at once, and by as many handles and processes as there are.

    Every method raises StoreError when the store cannot be reached, read or written (disk full, damaged …), when it has
    been closed, and in a process that was forked from the one that opened it. A backend that has this class as its base
    inherits the methods that have a body, and may do better.

    Ids of executions, steps and runners have at most 64 characters, which are ASCII letters, digits, dots, underscores
    and hyphens. The `text` of an entry is JSON, so that it holds no NUL and nothing that is not Unicode. All other
    texts (workflows, reasons, tags …) may hold anything but lone surrogates; a tag has at most 255 characters. What is
    asked for may be any text, and is then just not there.
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

        `expected` is the version of the log before; 0 creates the execution, with the ownership `fence`. Otherwise,
        with `fence`, the stored ownership must equal it, checked in the same transaction; without, anybody may append.
        `release` leaves the execution without owner (the epoch stays). Empty `entries` are allowed (for a release).

        Raises Fenced if the ownership differs (checked first), Conflict if the log is not at `expected` (also when
        `expected` is 0 and the execution is there, or was and has been pruned).
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

    def claim(
        self, execution_id: str, group: str, at: datetime, fence: Ownership, *, alone: bool = False
    ) -> list[Claim]:
        """Put the execution at the end of those that claim `group`, unless it is among them already: all of them, in
        their order.

        With `alone`, only if nobody else claims it. An execution claims one group at a time: a claim to another one is
        given up by this. It need not be there yet; if it is, its ownership must be `fence`. Raises Fenced.
        """
        ...

    def unclaim(self, execution_id: str, expected: Ownership | None) -> bool:
        """Remove the claim of an execution if its ownership is `expected` (None: if there is no such execution).

        Both in one transaction, so that nobody can have become its owner meanwhile. True if a claim was removed.
        """
        ...

    def claims(self, group: str | None = None) -> list[Claim]:
        """The claims to a group in their order, or those to all groups, by group."""
        ...

    def beat(self, runner: Runner) -> None:
        """Register the runner, or move its beat on (`runner.beat` replaces the stored one)."""
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
        """Chunks in the order they were written, beginning after position `after` (0: from the start).

        Fewer than `limit` are all that there are so far.
        """
        ...

    def prune(self, tombstone: Tombstone) -> None:
        """Remove an execution with all that belongs to it (events, summary, output, processes, claim); the tombstone
        stays.

        In one transaction. Of an execution that is not there the tombstone is kept, which is how it gets into another
        store, and what output and processes there may be is removed; nothing is done if it has been pruned at just this
        version and digest. Raises Fenced if somebody owns it, Conflict if its log (or its tombstone) is not at that
        version and digest.
        """
        ...

    def tombstones(self, execution_id: str | None = None, *, after: str = "", limit: int = 1000) -> list[Tombstone]:
        """Tombstones by id, those with an id greater than `after`; or only that of `execution_id`."""
        ...

    def close(self) -> None:
        """Release everything. Closing twice is allowed."""
        ...

    # What follows has a body that works with any store.

    def restore(self, executions: Sequence[Whole]) -> None:
        """Add executions that nobody owns as they are, one after the other, each whole or not at all.

        Raises Conflict at the first one that is there, or was and has been pruned; those before it stay.
        """
        for each in executions:
            name, nobody = each.summary.execution_id, Ownership(None, each.epoch)
            if each.output is not None and not self.find(Query(id=name, limit=1)).rows:
                forget_output(self, name)
                self.write_log(name, each.output)
            self.append(name, 0, each.entries, each.summary, fence=nobody)

    def read_page(self, execution_id: str, after: int = 0, *, size: int = PAGE_SIZE) -> list[Entry]:
        """The first of what `read` gives: no more than have `size` characters of text together, but at least one.

        Empty only if `read` gives nothing. Inherited, it reads everything.
        """
        return list(fitting(self.read(execution_id, after), size, lambda entry: len(entry.text)))

    def subscribe(self, hear: Callable[[Change], None], execution_id: str = "") -> Callable[[], None] | None:
        """Have `hear(change)` called from another thread soon after something changed, until the end that is returned.

        With an `execution_id`, only what may concern that execution has to be told. None if the store has no way to
        tell, so that one has to look now and then. A hint, not a promise: it may come for nothing, and not at all
        while the store cannot be reached.
        """
        return None

    def appended(self, after: str | None) -> Appended | None:
        """Which executions were appended to after an earlier answer's `mark`; none, but a mark, for None.

        None if the store has no cheap way to tell. One that was appended to is missed by no answer; but where the store
        cannot say which they are, as after something was pruned, `executions` is None.
        """
        return None

    def describe(self) -> Description:
        """What there is to know about this store, quickly."""
        return Description(kind=type(self).__name__, where="")

    def totals(self) -> Totals:
        """How much there is in it; may take a while."""
        executions: Counter[Status] = Counter()
        events = 0
        for row in every(self):
            executions[row.summary.status] += 1
            events += row.summary.version
        return Totals(dict(executions), events, sum(1 for _ in every_tombstone(self)))

    def workflows(self) -> list[Started]:
        """The workflows of which there are executions, by name."""
        found: dict[str, Started] = {}
        for row in every(self):
            name, at = row.summary.workflow, row.summary.started_at
            known = found.get(name)
            # The newest come first.
            found[name] = Started(name, 1, at) if known is None else Started(name, known.executions + 1, known.last)
        return [found[name] for name in sorted(found)]

    def check(self) -> Iterator[str]:
        """What the database's own check of its integrity finds wrong, one sentence each; may take a while."""
        return iter(())


@runtime_checkable
class BacksUp(Protocol):
    """A store with means of its own to write a copy of itself."""

    def backup(self, path: str, heed: Callable[[], None]) -> None:
        """Write the store as it is now into the empty file `path`, as an SQLite store, while others go on writing.

        `heed` is called now and then; what it raises ends the backup. Nothing is promised of the file if this raises.
        """
        ...


def every(store: EventStore, query: Query | None = None) -> Iterator[Row]:
    """The rows that match, newest start first, page by page while others write: none twice, and none left out that is
    there all the time.
    """
    query = msgspec.structs.replace(query or Query(), limit=_PAGE)
    while True:
        page = store.find(query)
        yield from page.rows
        if not page.has_more:
            return
        last = page.rows[-1].summary
        query = msgspec.structs.replace(query, after=(last.started_at, last.execution_id))


def every_tombstone(store: EventStore) -> Iterator[Tombstone]:
    """All tombstones, by id."""
    after = ""
    while found := store.tombstones(after=after):
        yield from found
        after = found[-1].execution_id


def fitting(items: Iterable[T], most: int, size: Callable[[T], int]) -> Iterator[T]:
    """The first ones, as many as are no larger than that together, and at least one."""
    total = 0
    for number, item in enumerate(items):
        total += size(item)
        if number and total > most:
            return
        yield item


def every_entry(store: EventStore, execution_id: str, after: int = 0) -> Iterator[list[Entry]]:
    """All entries after a version, page by page."""
    while page := store.read_page(execution_id, after):
        yield page
        after = page[-1].version


def every_chunk(store: EventStore, execution_id: str) -> Iterator[Chunk]:
    """All output of an execution, in order, page by page."""
    position = 0
    while True:
        page = store.read_log(execution_id, after=position, limit=_PAGE)
        position = page.position
        yield from page.chunks
        if len(page.chunks) < _PAGE:
            return


def forget_output(store: EventStore, execution_id: str) -> None:
    """Remove all output of an execution."""
    attempts = dict.fromkeys((chunk.step, chunk.attempt) for chunk in every_chunk(store, execution_id))
    if attempts:
        store.write_log(execution_id, [], drop=[(step, attempt, 0, _ALL) for step, attempt in attempts])
