"""Checks a store against itself: nothing missing, nothing changed, and every summary the fold of its events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cerebelum.core.errors import CerebelumError
from cerebelum.core.events import GENESIS, Entry, chain, decode
from cerebelum.core.evolve import evolve
from cerebelum.core.state import State
from cerebelum.core.summary import Summary, summarise
from cerebelum.store import EventStore, Query, Row, Tombstone, every
from cerebelum.store.heads import Heads, problem


class Flaw(NamedTuple):
    """Something in a store that is not as it was written."""

    execution_id: str | None
    """None where it is the database that is wrong."""
    version: int
    """The first version that is wrong; 0 where the whole execution is meant."""
    message: str


class Verified(NamedTuple):
    """One execution that was looked at, or (None) the database as a whole."""

    execution_id: str | None
    events: int
    flaws: tuple[Flaw, ...]


def verify(store: EventStore, execution_id: str | None = None, heads: Heads | None = None) -> Iterator[Verified]:
    """Check one execution, or all of them and the database, also against `heads` that were kept elsewhere.

    An execution that was pruned is sound if its tombstone has that head, or a later version.

    Raises StoreError if the store cannot be read at all.
    """
    kept = {key: value for key, value in (heads or {}).items() if execution_id in (None, key)}
    if execution_id is None and (flaws := tuple(Flaw(None, 0, sentence) for sentence in store.check())):
        yield Verified(None, 0, flaws)
    for row in every(store, Query(id=execution_id)):
        entries = store.read(row.summary.execution_id)
        flaw = _flaw(row, _as_of(store, row, entries))
        found = [flaw] if flaw else _head_flaws(row.summary.execution_id, entries, kept)
        kept.pop(row.summary.execution_id, None)
        yield Verified(row.summary.execution_id, len(entries), tuple(found))
    for missing in list(kept):
        if stones := store.tombstones(missing):
            yield Verified(missing, 0, tuple(_tombstone_flaws(stones[0], kept)))
        else:
            entries = store.read(missing)
            yield Verified(missing, len(entries), tuple(_head_flaws(missing, entries, kept)))


def _as_of(store: EventStore, row: Row, entries: list[Entry]) -> list[Entry]:
    """The log as it was when its summary was read, if somebody has appended to both since."""
    known = row.summary.version
    if entries and entries[-1].version > known:
        now = store.find(Query(id=row.summary.execution_id, limit=1)).rows
        if now and now[0].summary.version >= entries[-1].version:
            return [entry for entry in entries if entry.version <= known]
    return entries


def _head_flaws(execution_id: str, entries: list[Entry], heads: Heads) -> list[Flaw]:
    """The latest head that the log does not have any more."""
    for version, digest in sorted(heads.get(execution_id, {}).items(), reverse=True):
        if (message := problem(entries, version, digest)) is not None:
            return [Flaw(execution_id, version, message)]
    return []


def _tombstone_flaws(stone: Tombstone, heads: Heads) -> list[Flaw]:
    """The latest head that the log of a pruned execution cannot have had when it was pruned."""
    for version, digest in sorted(heads.get(stone.execution_id, {}).items(), reverse=True):
        if version > stone.version:
            message = f"it was pruned with {stone.version} events; its log had {version}"
        elif version == stone.version and digest != stone.digest:
            message = "it was pruned, and its log was not the one that it was: the digest is another one"
        else:
            continue
        return [Flaw(stone.execution_id, version, message)]
    return []


def folded(execution_id: str, entries: Sequence[Entry]) -> tuple[State, str] | Flaw:
    """The state that a log adds up to and the digest of its last entry, both worked out anew; or what is wrong."""
    state: State | None = None
    previous = GENESIS
    for expected, entry in enumerate(entries, 1):
        if entry.version != expected:
            return Flaw(execution_id, expected, f"version {expected} is missing; the next one is {entry.version}")
        previous = chain(previous, execution_id, entry.text.encode())
        if previous != entry.digest:
            return Flaw(
                execution_id, expected, "its text does not match its digest: it, or what is before it, was changed"
            )
        try:
            event = decode(entry.text)
            if (event.version, type(event).__name__, event.at) != (entry.version, entry.type, entry.at):
                return Flaw(execution_id, expected, "its columns differ from its text")
            state = evolve(state, event, execution_id)
        except (CerebelumError, AssertionError, KeyError, IndexError) as error:
            return Flaw(execution_id, expected, str(error))
    return (state, previous) if state is not None else Flaw(execution_id, 1, "it has no events")


def lost(summary: Summary, entries: Sequence[Entry]) -> Flaw | None:
    """What is missing of a log at its end, as far as its stored summary knows."""
    if summary.version <= len(entries):
        return None
    message = f"events are missing at the end: the summary knows {summary.version}, the log ends at {len(entries)}"
    return Flaw(summary.execution_id, len(entries) + 1, message)


def _flaw(row: Row, entries: list[Entry]) -> Flaw | None:
    """The first thing wrong with an execution's log, or with its summary."""
    summary = row.summary
    found = folded(summary.execution_id, entries)
    if isinstance(found, Flaw):
        return found
    if (missing := lost(summary, entries)) is not None:
        return missing
    real = summarise(*found)
    for name in summary.__struct_fields__:
        if getattr(real, name) != getattr(summary, name):
            message = f"the summary's {name} is {getattr(summary, name)!r}, its events say {getattr(real, name)!r}"
            return Flaw(summary.execution_id, len(entries), message)
    return None
