"""The contract, on LMDB: each method is one transaction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime

import lmdb
from msgspec.msgpack import decode, encode

from cerebelum.core.errors import StoreError
from cerebelum.core.events import Entry
from cerebelum.core.summary import Summary
from cerebelum.store import (
    Chunk,
    Claim,
    Conflict,
    Description,
    EventStore,
    Fenced,
    LogPage,
    Ownership,
    Page,
    Process,
    Query,
    Row,
    Runner,
    Tombstone,
)
from cerebelum_example_lmdb.executions import (
    Kept,
    candidates,
    claims_in,
    keep,
    kept,
    matches,
    put_claim,
    put_runner,
    runner_of,
)
from cerebelum_example_lmdb.shelf import LONGEST_ID, SCHEMA_VERSION, Handle, below, digested, named, number_of


class LmdbStore(EventStore):
    """An EventStore in a folder."""

    def __init__(self, folder: str) -> None:
        self._handle = Handle(folder)

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
        """See EventStore."""
        key = self._valid(execution_id)
        with self._handle.transaction(write=True) as t:
            assert t is not None
            old = kept(t, key)
            grave = t.get("graves", key)
            there: Summary | Tombstone | None = old.summary if old else None
            if grave is not None and expected == 0:
                # What was pruned stands in the way of creating it, and is otherwise just not there.
                there = decode(grave, type=Tombstone)
            ownership = old.ownership if old else Ownership(None, 0)
            if expected == 0:
                ownership = fence or ownership
            elif fence not in (None, ownership):
                raise Fenced(execution_id, ownership.owner, ownership.epoch)
            actual = there.version if there else 0
            if actual != expected:
                raise Conflict(execution_id, expected, actual)
            for version, entry in enumerate(entries, expected + 1):
                if entry.version != version:
                    raise StoreError(f"entry {entry.version} stands where {version} belongs", where=execution_id)
                t.put("events", below(key, version), encode(entry))
            if release:
                ownership = Ownership(None, ownership.epoch)
            keep(t, key, old, Kept(summary, ownership))

    def read(self, execution_id: str, after: int = 0) -> list[Entry]:
        """See EventStore."""
        key = named(execution_id)
        with self._handle.transaction() as t:
            if t is None or key is None:
                return []
            found = t.up("events", key + b"\0", below(key, after))
            return [decode(value, type=Entry) for _, value in found]

    def find(self, query: Query) -> Page:
        """See EventStore."""
        rows: list[Row] = []
        found = 0
        end = query.offset + query.limit
        with self._handle.transaction() as t:
            for each in candidates(t, query) if t is not None else ():
                if not matches(each, query):
                    continue
                found += 1
                if query.offset < found <= end:
                    assert t is not None
                    rows.append(Row(each.summary, each.ownership, runner_of(t, each.ownership.owner)))
                if found > end and found >= query.count_to:
                    break
        return Page(rows, found > end, min(found, query.count_to) if query.count_to > 0 else None)

    def own(self, execution_id: str, owner: str | None, expected: Ownership) -> Ownership | None:
        """See EventStore."""
        key = named(execution_id)
        with self._handle.transaction(write=True, create=False) as t:
            old = None if t is None or key is None else kept(t, key)
            if t is None or key is None or old is None or old.ownership != expected:
                return None
            taken = Ownership(owner, expected.epoch + 1)
            keep(t, key, old, Kept(old.summary, taken))
            return taken

    def claim(
        self, execution_id: str, group: str, at: datetime, fence: Ownership, *, alone: bool = False
    ) -> list[Claim]:
        """See EventStore."""
        key = self._valid(execution_id)
        with self._handle.transaction(write=True) as t:
            assert t is not None
            old = kept(t, key)
            if old is not None and old.ownership != fence:
                raise Fenced(execution_id, old.ownership.owner, old.ownership.epoch)
            there = claims_in(t)
            others = [claim for claim in there if claim.group == group]
            if any(claim.execution_id == execution_id for claim in others):
                return others
            t.delete("claims", key)
            if alone and others:
                return others
            claim = Claim(group, execution_id, at)
            put_claim(t, key, claim)
            return [*others, claim]

    def unclaim(self, execution_id: str, expected: Ownership | None) -> bool:
        """See EventStore."""
        key = named(execution_id)
        with self._handle.transaction(write=True, create=False) as t:
            if t is None or key is None or t.get("claims", key) is None:
                return False
            old = kept(t, key)
            if (old.ownership if old else None) != expected:
                return False
            t.delete("claims", key)
            return True

    def claims(self, group: str | None = None) -> list[Claim]:
        """See EventStore."""
        with self._handle.transaction() as t:
            return [] if t is None else [claim for claim in claims_in(t) if group in (None, claim.group)]

    def beat(self, runner: Runner) -> None:
        """See EventStore."""
        with self._handle.transaction(write=True) as t:
            assert t is not None
            put_runner(t, self._valid(runner.id), runner)

    def note_process(self, execution_id: str, process: Process, *, gone: bool = False) -> None:
        """See EventStore. A process is the same when pid, start ticks, boot id and pid namespace are."""
        same = (process.pid, process.start_ticks, process.boot_id, process.pid_namespace)
        key = self._valid(execution_id) + b"\0" + digested(repr(same))
        with self._handle.transaction(write=True) as t:
            assert t is not None
            if gone:
                t.delete("processes", key)
            else:
                t.put("processes", key, encode(process))

    def processes(self, execution_id: str) -> list[Process]:
        """See EventStore. By step, attempt and pid."""
        key = named(execution_id)
        with self._handle.transaction() as t:
            if t is None or key is None:
                return []
            found = [decode(value, type=Process) for _, value in t.up("processes", key + b"\0")]
            return sorted(found, key=lambda process: (process.step, process.attempt, process.pid))

    def write_log(
        self, execution_id: str, chunks: Sequence[Chunk], drop: Sequence[tuple[str, int, int, int]] = ()
    ) -> None:
        """See EventStore."""
        key = self._valid(execution_id)
        with self._handle.transaction(write=True, create=bool(chunks)) as t:
            if t is None:
                return
            if drop:
                for place, value in list(t.up("output", key + b"\0")):
                    chunk = decode(value, type=Chunk)
                    if any((chunk.step, chunk.attempt) == d[:2] and d[2] <= chunk.offset < d[3] for d in drop):
                        t.delete("output", place)
            # There is one writer at a time, so that no position becomes visible after a greater one.
            last = t.get("places", key)
            position = int.from_bytes(last) if last else 0
            for chunk in chunks:
                position += 1
                t.put("output", below(key, position), encode(chunk))
            if chunks:
                t.put("places", key, position.to_bytes(8))

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
        key = named(execution_id)
        chunks: list[Chunk] = []
        position = after
        with self._handle.transaction() as t:
            if t is not None and key is not None:
                for place, value in t.up("output", key + b"\0", below(key, after)):
                    if len(chunks) >= limit:
                        break
                    chunk = decode(value, type=Chunk)
                    if step in (None, chunk.step) and attempt in (None, chunk.attempt):
                        chunks.append(chunk)
                        position = number_of(place)
        return LogPage(chunks, position)

    def prune(self, tombstone: Tombstone) -> None:
        """See EventStore."""
        key = self._valid(tombstone.execution_id)
        with self._handle.transaction(write=True) as t:
            assert t is not None
            old = kept(t, key)
            if old is not None and old.ownership.owner is not None:
                raise Fenced(tombstone.execution_id, old.ownership.owner, old.ownership.epoch)
            grave = t.get("graves", key)
            there = old.summary if old else decode(grave, type=Tombstone) if grave else None
            if there is not None and (there.version, there.digest) != (tombstone.version, tombstone.digest):
                raise Conflict(tombstone.execution_id, tombstone.version, there.version)
            if grave is not None:
                return
            t.put("graves", key, encode(tombstone))
            if old is not None:
                keep(t, key, old, None)
            for name in ("events", "output", "processes"):
                for each, _ in list(t.up(name, key + b"\0")):
                    t.delete(name, each)
            t.delete("places", key)
            t.delete("claims", key)

    def tombstones(self, execution_id: str | None = None, *, after: str = "", limit: int = 1000) -> list[Tombstone]:
        """See EventStore."""
        with self._handle.transaction() as t:
            if t is None:
                return []
            if execution_id is not None:
                key = named(execution_id)
                grave = None if key is None else t.get("graves", key)
                return [] if grave is None else [decode(grave, type=Tombstone)]
            found = t.up("graves", b"", after.encode("utf-8", "replace")[:LONGEST_ID])
            return [decode(value, type=Tombstone) for _, (_, value) in zip(range(limit), found, strict=False)]

    def close(self) -> None:
        """See EventStore."""
        self._handle.close()

    def describe(self) -> Description:
        """See EventStore."""
        file = os.path.join(self._handle.folder, "data.mdb")
        with self._handle.transaction() as t:
            return Description(
                kind="LMDB",
                where=f"lmdb:///{self._handle.folder}",
                exists=t is not None,
                library=f"lmdb {lmdb.__version__}, LMDB {'.'.join(map(str, lmdb.version()))}",
                schema_version=None if t is None else SCHEMA_VERSION,
                known_schema_version=SCHEMA_VERSION,
                size=None if t is None else os.path.getsize(file),
            )

    def _valid(self, identity: str) -> bytes:
        key = named(identity)
        if key is None:
            raise StoreError(f"{identity[:40]!r} cannot be an id", where=self._handle.folder)
        return key
