"""Takes executions from one store into another: each whole or not at all, and nothing that is there is overwritten.

Little output comes with its execution. More of it is written first, the execution itself last: until then it is not
there, and whoever repeats what was interrupted finds the output and completes or replaces it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from cerebelum.core.errors import UsageError
from cerebelum.core.events import Entry
from cerebelum.core.ids import check_tags
from cerebelum.core.summary import summarise
from cerebelum.store import (
    Chunk,
    Conflict,
    EventStore,
    Fenced,
    Query,
    Row,
    Tombstone,
    Whole,
    every,
    every_chunk,
    every_tombstone,
    forget_output,
)
from cerebelum.store.liveness import driven
from cerebelum.store.lookup import buried
from cerebelum.store.verify import Flaw, folded, lost

What = Literal["added", "carried forward", "there already", "ahead", "left out", "refused", "tombstone"]

_BATCH_EVENTS = 6000
_BATCH_BYTES = 16 << 20
_PAGE = 200
_PAGE_BYTES = 4 << 20
LITTLE_BYTES = 256 << 10
"""Output of no more than this is handed over together with its execution."""
_MEANWHILE = "somebody else changed it there at the same time; try again"


class Outcome(msgspec.Struct, frozen=True):
    """What became of one execution, or (`tombstone`) of what stays of one."""

    execution_id: str | None
    """None where it is the source as a whole that is wrong."""
    what: What
    events: int = 0
    """How many were written."""
    why: str | None = None
    where: str | None = None
    """The place in a bundle."""


class Intake:
    """Takes in executions that are not there yet, in batches."""

    def __init__(self, store: EventStore, *, alone: bool = False) -> None:
        self.store = store
        self._fresh = alone and not store.find(Query(limit=1)).rows and not store.tombstones(limit=1)
        """Whether nothing is there that this intake would not know of: with `alone`, each execution comes once."""
        self._batch: dict[str, tuple[Whole, str | None]] = {}
        self._events = self._bytes = 0

    def __contains__(self, execution_id: str) -> bool:
        """Whether the execution is among those that have not been written yet."""
        return execution_id in self._batch

    def standing(self, whole: Whole, where: str | None = None, there: Row | None = None) -> Outcome | Row | None:
        """How an execution stands to what the store has under its id, which may be `there`.

        None if that is nothing, the row if it is an earlier part of the same log; else what is to be said. `where` is
        the execution's place.
        """
        name, version = whole.summary.execution_id, whole.summary.version
        if there is None:
            if self._fresh:
                return None
            if not (rows := self.store.find(Query(id=name, limit=1)).rows):
                for stone in self.store.tombstones(name):
                    why = f"it {buried(stone)}, and does not come back into that store"
                    return Outcome(name, "refused", 0, why, where)
                return None
            [there] = rows
        head = there.summary
        if head.digest == whole.summary.digest:
            return Outcome(name, "there already")
        if head.version < version:
            if whole.entries[head.version - 1].digest == head.digest:
                return there
        elif [entry.digest for entry in self.store.read(name, version - 1)[:1]] == [whole.summary.digest]:
            return Outcome(name, "ahead", 0, f"it has gone on there: {head.version} events instead of {version}", where)
        return Outcome(name, "refused", 0, "another log is there under this id", where)

    def add(self, whole: Whole, where: str | None = None) -> Iterator[Outcome]:
        """Take an execution; gives what became of those that were written meanwhile."""
        self._batch[whole.summary.execution_id] = whole, where
        self._events += len(whole.entries)
        self._bytes += sum(len(entry.text) for entry in whole.entries)
        self._bytes += sum(len(chunk.data) for chunk in whole.output or ())
        if self._events >= _BATCH_EVENTS or self._bytes >= _BATCH_BYTES:
            yield from self.flush()

    def flush(self) -> Iterator[Outcome]:
        """Write what is left."""
        waiting = list(self._batch.values())
        self._batch.clear()
        self._events = self._bytes = 0
        while waiting:
            written = len(waiting)
            refused: Outcome | None = None
            try:
                self.store.restore([whole for whole, _ in waiting])
            except Conflict as conflict:
                # Somebody else had the same in mind at the same time.
                written = next(n for n, (each, _) in enumerate(waiting) if each.summary.execution_id == conflict.where)
                self._fresh = False
                whole, where = waiting[written]
                found = self.standing(whole, where)
                refused = (
                    found
                    if isinstance(found, Outcome)
                    else Outcome(whole.summary.execution_id, "refused", 0, _MEANWHILE, where)
                )
            for whole, _ in waiting[:written]:
                yield Outcome(whole.summary.execution_id, "added", len(whole.entries))
            if refused is not None:
                yield refused
            waiting = waiting[written + 1 :]


def copy(source: EventStore, target: EventStore, *, as_it_stands: bool = False) -> Iterator[Outcome]:
    """Bring all executions, their output, and the tombstones of `source` into `target`; can be repeated at any time.

    What is there with the same log is left, what is there with an earlier part of it is carried forward, and what is
    there with another one is refused. Executions that a live process drives are left out, since each of two stores
    would have them go on; `as_it_stands` takes them, too. Raises StoreError.
    """
    intake = Intake(target, alone=True)
    for row, there in _beside(every(source), every(target)):
        name = row.summary.execution_id
        if there is not None and there.summary.digest == row.summary.digest:
            yield Outcome(name, "there already")
        elif not as_it_stands and driven(row):
            yield Outcome(name, "left out", 0, "a process drives it")
        else:
            whole = whole_of(source, row)
            if isinstance(whole, Flaw):
                yield Outcome(name, "refused", 0, f"version {whole.version}: {whole.message}")
            elif whole is not None:
                yield from _brought(source, intake, whole, there)
    yield from intake.flush()
    yield from bury(target, every_tombstone(source))


def _beside(rows: Iterable[Row], others: Iterable[Row]) -> Iterator[tuple[Row, Row | None]]:
    """Each row with its like among the others, which come in the same order; some may not be found that are there."""
    others = iter(others)
    other = next(others, None)
    for row in rows:
        while other is not None and _place(other) > _place(row):
            other = next(others, None)
        yield row, other if other is not None and _place(other) == _place(row) else None


def _place(row: Row) -> tuple[datetime, str]:
    return row.summary.started_at, row.summary.execution_id


def _brought(source: EventStore, intake: Intake, whole: Whole, there: Row | None) -> Iterator[Outcome]:
    target, name = intake.store, whole.summary.execution_id
    found = intake.standing(whole, there=there)
    if isinstance(found, Outcome):
        # What was copied, and then went on there, has nothing to fetch here.
        yield msgspec.structs.replace(found, what="there already") if found.what == "ahead" else found
        return
    if found is not None and driven(found):
        yield Outcome(name, "refused", 0, "it has gone on here, and a process drives it there")
        return
    if found is None:
        output = little(every_chunk(source, name))
        if output is None:
            complete_output(source, target, name)
        yield from intake.add(msgspec.structs.replace(whole, output=output))
        return
    complete_output(source, target, name)
    rest = whole.entries[found.summary.version :]
    try:
        target.append(name, found.summary.version, rest, whole.summary, fence=found.ownership, release=True)
    except (Conflict, Fenced):
        yield Outcome(name, "refused", 0, _MEANWHILE)
    else:
        yield Outcome(name, "carried forward", len(rest))


def whole_of(store: EventStore, row: Row) -> Whole | Flaw | None:
    """An execution as it stands, checked, and with the summary that its events add up to; None if it was pruned."""
    name = row.summary.execution_id
    entries = store.read(name)
    if not entries and not store.find(Query(id=name, limit=1)).rows:
        return None
    return checked(name, entries, row.ownership.epoch) if (flaw := lost(row.summary, entries)) is None else flaw


def checked(execution_id: str, entries: Sequence[Entry], epoch: int) -> Whole | Flaw:
    """The execution with these entries, after their digests and their meaning were worked out anew."""
    found = folded(execution_id, entries)
    if isinstance(found, Flaw):
        return found
    try:
        check_tags(found[0].tags)
    except UsageError as error:
        # Some stores would not take it.
        return Flaw(execution_id, 1, error.message)
    return Whole(summarise(*found), epoch, entries)


def little(chunks: Iterable[Chunk]) -> list[Chunk] | None:
    """The output if it is little enough to be handed over with its execution; else None."""
    found: list[Chunk] = []
    size = 0
    for chunk in chunks:
        found.append(chunk)
        size += len(chunk.data)
        if len(found) > _PAGE or size > LITTLE_BYTES:
            return None
    return found


def write_output(store: EventStore, execution_id: str, chunks: Iterable[Chunk]) -> None:
    """Add output, in pages that fit into memory."""
    page: list[Chunk] = []
    size = 0
    for chunk in chunks:
        page.append(chunk)
        size += len(chunk.data)
        if len(page) >= _PAGE or size >= _PAGE_BYTES:
            store.write_log(execution_id, page)
            page, size = [], 0
    if page:
        store.write_log(execution_id, page)


def complete_output(source: EventStore, target: EventStore, execution_id: str) -> None:
    """Add what the output in `target` lacks at its end; what is not the beginning of that in `source` is replaced."""
    ours = every_chunk(source, execution_id)
    for chunk in every_chunk(target, execution_id):
        if next(ours, None) != chunk:
            forget_output(target, execution_id)
            ours = every_chunk(source, execution_id)
            break
    write_output(target, execution_id, ours)


def bury(store: EventStore, stones: Iterable[Tombstone]) -> Iterator[Outcome]:
    """Keep tombstones, but those of executions that are there, or were pruned there, too."""
    for stone in stones:
        name = stone.execution_id
        if not store.tombstones(name) and not store.find(Query(id=name, limit=1)).rows:
            store.prune(stone)
            yield Outcome(name, "tombstone")
