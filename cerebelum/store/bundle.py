"""Executions as lines of JSON, to be kept or sent elsewhere and taken in again; docs/bundle.md says how they look.

Nothing that a bundle says of an execution is believed: digests and summary are worked out anew from its events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from cerebelum.core.errors import CerebelumError, UsageError
from cerebelum.core.events import GENESIS, Entry, chain, decode
from cerebelum.core.ids import check_id
from cerebelum.core.status import Status
from cerebelum.core.typed import decoder
from cerebelum.store import (
    Chunk,
    EventStore,
    Row,
    Stream,
    Tombstone,
    Whole,
    every_chunk,
    every_tombstone,
    forget_output,
)
from cerebelum.store.copying import Intake, Outcome, bury, checked, whole_of
from cerebelum.store.verify import Flaw

FORMAT = 1

_PAGE_BYTES = 4 << 20
_PAGE_CHUNKS = 200

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Header(msgspec.Struct, frozen=True, tag_field="line", tag="bundle"):
    format: int
    cerebelum: str
    at: _Moment


class Begin(msgspec.Struct, frozen=True, tag_field="line", tag="execution"):
    id: str
    epoch: _Count
    summary: Any
    """For readers; what is taken in is worked out from the events."""


class Recorded(msgspec.Struct, frozen=True, tag_field="line", tag="event"):
    text: str
    """The event's JSON exactly as it is in the log, which is what the digest is about."""
    digest: _Digest


class Output(msgspec.Struct, frozen=True, tag_field="line", tag="output"):
    step: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")]
    attempt: _Count
    offset: _Count
    stream: Stream
    at: _Moment
    data: bytes
    """In Base64."""


class End(msgspec.Struct, frozen=True, tag_field="line", tag="end"):
    id: str
    events: int
    output: int
    """How many lines of output."""
    digest: _Digest
    output_digest: _Digest
    """SHA-256 over the lines of output, chained like events, each as it is written here."""


class Buried(msgspec.Struct, frozen=True, tag_field="line", tag="tombstone"):
    id: str
    workflow: str
    status: Status
    started_at: _Moment
    ended_at: _Moment | None
    version: Annotated[int, msgspec.Meta(ge=1, le=2**62)]
    digest: _Digest
    pruned_at: _Moment


class BundleEnd(msgspec.Struct, frozen=True, tag_field="line", tag="bundle_end"):
    executions: int
    tombstones: int


_Line = Header | Begin | Recorded | Output | End | Buried | BundleEnd
_encode = msgspec.json.Encoder().encode


# --- writing ---------------------------------------------------------------------------------------------------------


def export(
    store: EventStore, rows: Iterable[Row], write: Callable[[bytes], object], *, tombstones: bool, version: str
) -> Iterator[Outcome]:
    """Write executions as they stand, and on demand all tombstones, as a bundle; `version` is that of cerebelum.

    An execution whose log is damaged is refused. Raises StoreError, and what `write` raises.
    """
    write(_line(Header(FORMAT, version, datetime.now(UTC))))
    executions = stones = 0
    for row in rows:
        name = row.summary.execution_id
        whole = whole_of(store, row)
        if whole is None:
            continue
        if isinstance(whole, Flaw):
            yield Outcome(name, "refused", 0, f"version {whole.version}: {whole.message}")
            continue
        write(_line(Begin(name, whole.epoch, whole.summary)))
        for entry in whole.entries:
            write(_line(Recorded(entry.text, entry.digest)))
        count, digest = 0, GENESIS
        for chunk in every_chunk(store, name):
            line = _encode(Output(*(getattr(chunk, field) for field in Output.__struct_fields__)))
            count, digest = count + 1, chain(digest, name, line)
            write(line + b"\n")
        write(_line(End(name, len(whole.entries), count, whole.summary.digest, digest)))
        executions += 1
        yield Outcome(name, "added", len(whole.entries))
    for stone in every_tombstone(store) if tombstones else ():
        write(_line(Buried(*(getattr(stone, field) for field in Tombstone.__struct_fields__))))
        stones += 1
        yield Outcome(stone.execution_id, "tombstone")
    write(_line(BundleEnd(executions, stones)))


def _line(value: _Line) -> bytes:
    return _encode(value) + b"\n"


# --- reading ---------------------------------------------------------------------------------------------------------


class Wrong(Exception):
    """What is wrong with a line, or with what came before it; and the number of another line that it is about."""

    def __init__(self, why: str, number: int | None = None) -> None:
        super().__init__(why)
        self.number = number


def take_in(store: EventStore, lines: Iterable[bytes], name: str) -> Iterator[Outcome]:
    """Take in the executions of a bundle, each whole or not at all; `name` is what the bundle is called.

    Refused is what is not sound, not complete, or there already with another log; the others go on. Raises UsageError
    if this is no bundle or one of a newer format, StoreError.
    """
    return _Reader(store, name).read(lines)


class _Reader:
    def __init__(self, store: EventStore, name: str) -> None:
        self._store = store
        self._name = name
        self._intake = Intake(store)
        self._decode = decoder(_Line).decode
        self._number = 0
        self._opened = False
        self._executions = self._tombstones = 0
        self._now: _Arrival | None = None
        self._astray = False
        """Whether it has been said that a line between executions is wrong: what follows may belong to it."""

    def read(self, lines: Iterable[bytes]) -> Iterator[Outcome]:
        for self._number, raw in enumerate(lines, 1):
            if self._number > 1 and not raw.strip():
                continue
            try:
                yield from self._take(self._decoded(raw))
            except Wrong as wrong:
                yield from self._refuse(str(wrong), wrong.number)
        if self._number == 0:
            raise UsageError("this is not a bundle: it is empty", where=self._name)
        yield from self._break_off("the bundle is cut off here, in the middle of this execution")
        yield from self._intake.flush()
        if self._opened:
            yield from self._refuse("the bundle is cut off here: its last line is missing")

    def _decoded(self, raw: bytes) -> _Line:
        if not self._opened:
            try:
                _check_format(raw, self._where())
            except UsageError as error:
                if self._number == 1:
                    raise
                raise Wrong(error.message) from None
        try:
            line: _Line = self._decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            if not raw.endswith(b"\n"):
                raise Wrong("the bundle is cut off here, in the middle of a line") from None
            raise Wrong(f"this line is damaged: {error}") from None
        return line

    def _take(self, line: _Line) -> Iterator[Outcome]:
        if isinstance(line, Header | Begin | Buried | BundleEnd):
            yield from self._break_off("it has no end: something else begins here")
            self._astray = False
        now = self._now
        match line:
            case Header() if not self._opened:
                self._opened = True
                self._executions = self._tombstones = 0
            case Begin():
                self._executions += 1
                self._now = _Arrival(line, self._number)
                _check_id(line.id)
            case Recorded() if now is not None:
                now.event(line)
            case Output() if now is not None:
                yield from self._output(now, line)
            case End() if now is not None and now.id == line.id:
                yield from self._end(now, line)
                self._now = None
            case Buried():
                self._tombstones += 1
                _check_id(line.id)
                yield from self._intake.flush()
                yield from bury(self._store, [Tombstone(*(getattr(line, name) for name in Buried.__struct_fields__))])
            case BundleEnd():
                self._opened = False
                if (line.executions, line.tombstones) != (self._executions, self._tombstones):
                    said = f"{line.executions} executions and {line.tombstones} tombstones"
                    raise Wrong(f"of {said}, {self._executions} and {self._tombstones} were there")
            case _:
                if not self._astray:
                    raise Wrong("this line does not belong here")

    def _where(self, number: int | None = None) -> str:
        return f"{self._name}:{number or self._number}"

    def _break_off(self, why: str) -> Iterator[Outcome]:
        if self._now is not None:
            yield from self._refuse(why)
            self._now = None

    def _refuse(self, why: str, number: int | None = None) -> Iterator[Outcome]:
        """Refuse the execution that is being read, once, and whatever else of it comes."""
        now = self._now
        if now is None:
            self._astray = True
            yield Outcome(None, "refused", 0, why, self._where(number))
        elif not now.settled:
            now.settled = True
            if now.wrote:
                forget_output(self._store, now.id)
            yield Outcome(now.id, "refused", 0, why, self._where(number))

    def _output(self, now: _Arrival, line: Output) -> Iterator[Outcome]:
        yield from self._open(now)
        if not now.settled:
            now.chunk(line)
            if len(now.chunks) >= _PAGE_CHUNKS or now.size >= _PAGE_BYTES:
                self._write(now)

    def _open(self, now: _Arrival) -> Iterator[Outcome]:
        """When all events are there: see whether the execution is to be taken, and make room for its output."""
        if now.whole is not None or now.settled:
            return
        found = checked(now.id, now.entries, now.epoch)
        if isinstance(found, Flaw):
            raise Wrong(f"version {found.version}: {found.message}", now.number + found.version)
        if now.id in self._intake:
            # It is in this bundle twice.
            yield from self._intake.flush()
        standing = self._intake.standing(found, self._where(now.number))
        if isinstance(standing, Row):
            known = standing.summary.version
            raise Wrong(f"it is there already with fewer events: {known} instead of {len(now.entries)}", now.number)
        if standing is not None:
            now.settled = True
            yield msgspec.structs.replace(standing, what="refused") if standing.what == "ahead" else standing
            return
        now.whole = found

    def _write(self, now: _Arrival) -> None:
        if not now.wrote:
            forget_output(self._store, now.id)
        now.wrote = True
        self._store.write_log(now.id, now.chunks)
        now.chunks, now.size = [], 0

    def _end(self, now: _Arrival, line: End) -> Iterator[Outcome]:
        yield from self._open(now)
        if now.settled or now.whole is None:
            return
        if (line.events, line.digest) != (len(now.entries), now.whole.summary.digest):
            raise Wrong(f"events are missing: its end knows {line.events}, {len(now.entries)} were there")
        if (line.output, line.output_digest) != (now.lines, now.digest):
            raise Wrong("its output is not what it was: lines are missing, or were changed")
        if now.wrote and now.chunks:
            self._write(now)
        whole = msgspec.structs.replace(now.whole, output=None if now.wrote else now.chunks)
        yield from self._intake.add(whole, self._where(now.number))


class _Arrival:
    """The execution that is being read."""

    def __init__(self, line: Begin, number: int) -> None:
        self.id = line.id
        self.epoch = line.epoch
        self.number = number
        """The line that it begins with."""
        self.entries: list[Entry] = []
        self.whole: Whole | None = None
        self.settled = False
        """Whether it has been said what became of it."""
        self.wrote = False
        self.chunks: list[Chunk] = []
        self.size = self.lines = 0
        self.digest = GENESIS

    def event(self, line: Recorded) -> None:
        if self.settled:
            return
        if self.whole is not None:
            raise Wrong("an event comes after the output")
        try:
            event = decode(line.text)
        except CerebelumError as error:
            raise Wrong(error.message) from None
        self.entries.append(Entry(event.version, type(event).__name__, event.at, line.text, line.digest))

    def chunk(self, line: Output) -> None:
        self.chunks.append(Chunk(line.step, line.attempt, line.offset, line.stream, line.at, line.data))
        self.size += len(line.data)
        self.lines += 1
        self.digest = chain(self.digest, self.id, _encode(line))


def _check_format(raw: bytes, where: str) -> None:
    try:
        said = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        said = None
    if not isinstance(said, dict) or said.get("line") != "bundle" or type(said.get("format")) is not int:
        raise UsageError("this is not a bundle", where=where, hint="it takes what `cerebelum store export` writes")
    if said["format"] > FORMAT:
        from cerebelum import __version__

        raise UsageError(
            f"the bundle has format {said['format']}; cerebelum {__version__} knows formats up to {FORMAT}",
            where=where,
            hint=f"cerebelum {said.get('cerebelum', 'of a newer version')} wrote it; use that version or a newer one",
        )


def _check_id(execution_id: str) -> None:
    try:
        check_id(execution_id)
    except UsageError as error:
        raise Wrong(error.message) from None
