"""The way of an attempt's output: masked, bounded, shown while it comes, and kept in the store in chunks.

A writer thread batches chunks so that a chatty step costs few transactions; it starts with the first byte of output.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from cerebelum.core.errors import StoreError
from cerebelum.host import faults
from cerebelum.host.clock import Clock
from cerebelum.steps.masking import MaskedStream, Masker
from cerebelum.store import Chunk, EventStore, Stream

DEFAULT_LIMIT = 16 << 20
"""Bytes of output kept per attempt: the first half and the last half of this."""
_FLUSH_SECONDS = 0.2
_FLUSH_BYTES = 1 << 20
_MOST_PENDING = 8 << 20
_TAIL_BYTES = 4096
_TAIL_LINES = 20
_TAIL_EVERY = 1.0
_MERGE_BYTES = 64 << 10
_MERGE_SECONDS = 0.05
_KEEP_BYTES = 16 << 10

Drop = tuple[str, int, int, int]


class Live(Protocol):
    """Shows output as it comes."""

    def output(self, step: str, attempt: int, stream: Stream, data: bytes) -> None: ...

    def left_out(self, step: str, attempt: int) -> None:
        """From here on the output is too long to be shown."""
        ...

    def ended(self, step: str, attempt: int) -> None: ...


class LogWriter:
    """Collects chunks of all attempts of one execution and writes them in the background."""

    def __init__(self, store: EventStore, execution_id: str, on_error: Callable[[StoreError], None]) -> None:
        self._store = store
        self._execution_id = execution_id
        self._on_error = on_error
        self._chunks: list[Chunk] = []
        self._drops: list[Drop] = []
        self._size = 0
        self._broken = False
        self._closed = False
        self._state = threading.Condition()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, chunks: list[Chunk], drop: Drop | None = None) -> None:
        """Take chunks to be written soon; blocks while more than 8 MiB are waiting."""
        size = sum(len(c.data) for c in chunks)
        with self._state:
            while self._size > _MOST_PENDING and not self._broken:
                self._state.wait(1.0)
            if self._broken:
                return
            if drop:
                self._chunks = [c for c in self._chunks if not _dropped(c, drop)]
                self._drops.append(drop)
            for chunk in chunks:
                self._merge(chunk)
            self._size += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="cerebelum-log", daemon=True)
                self._thread.start()
            if self._size > _FLUSH_BYTES or self._size == size:
                self._state.notify_all()

    def _merge(self, chunk: Chunk) -> None:
        last = self._chunks[-1] if self._chunks else None
        if (
            last is not None
            and (last.step, last.attempt, last.stream) == (chunk.step, chunk.attempt, chunk.stream)
            and last.offset + len(last.data) == chunk.offset
            and len(last.data) + len(chunk.data) <= _MERGE_BYTES
            and (chunk.at - last.at).total_seconds() < _MERGE_SECONDS
        ):
            self._chunks[-1] = Chunk(last.step, last.attempt, last.offset, last.stream, last.at, last.data + chunk.data)
        else:
            self._chunks.append(chunk)

    def _work(self) -> None:
        while True:
            with self._state:
                if self._closed:
                    return
                if not self._chunks and not self._drops:
                    self._state.wait()
                    continue
                if self._size <= _FLUSH_BYTES:
                    self._state.wait(_FLUSH_SECONDS)
            self.flush()

    def flush(self) -> None:
        """Write what has been taken so far; returns when it is in the store."""
        with self._writing:
            with self._state:
                chunks, drops = self._chunks, self._drops
                self._chunks, self._drops, self._size = [], [], 0
                self._state.notify_all()
            if not chunks and not drops:
                return
            try:
                faults.point("before-log-flush")
                self._store.write_log(self._execution_id, chunks, drops)
                faults.point("after-log-flush")
            except StoreError as error:
                with self._state:
                    self._broken = True
                    self._state.notify_all()
                self._on_error(error)

    def close(self) -> None:
        """Write the rest and end the thread."""
        self.flush()
        with self._state:
            self._closed = True
            self._state.notify_all()
        if self._thread is not None:
            self._thread.join()


def _dropped(chunk: Chunk, drop: Drop) -> bool:
    step, attempt, low, high = drop
    return chunk.step == step and chunk.attempt == attempt and low <= chunk.offset < high


class AttemptOutput:
    """The `Sink` of one attempt."""

    # Most in-process steps write nothing: what only output changes is not even set before there is some.
    _offset = 0
    _kept_size = 0
    _unwritten = 0
    _written_at = 0.0
    _last = b""
    _closed = False

    def __init__(
        self,
        writer: LogWriter,
        step: str,
        attempt: int,
        *,
        masker: Masker,
        clock: Clock,
        live: Live | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> None:
        self._writer = writer
        self._step = step
        self._attempt = attempt
        self._masker = masker
        self._masks: dict[Stream, MaskedStream] = {}
        self._clock = clock
        self._live = live
        self._head = limit // 2
        self._most_kept = max(1, limit - self._head)
        self._kept: deque[Chunk] = deque()
        self._lock = threading.Lock()

    def write(self, stream: Stream, data: bytes) -> None:
        """Take output; secrets are masked even when they are split over several writes."""
        with self._lock:
            if not self._closed:
                mask = self._masks.get(stream) or self._masks.setdefault(stream, self._masker.stream())
                self._take(stream, mask.feed(data))

    @property
    def closed(self) -> bool:
        """Whether nothing is taken any more."""
        return self._closed

    def tail(self) -> str:
        """The last lines written so far, masked (at most 20 lines, 4 KiB)."""
        with self._lock:
            self._flush_masks()
            text = self._last.decode("utf-8", "replace")
        return "\n".join(text.rstrip("\n").split("\n")[-_TAIL_LINES:])

    def close(self) -> None:
        """The attempt is over: everything is in the store when this returns."""
        with self._lock:
            if self._closed:
                return
            self._flush_masks()
            self._closed = True
            self._write_kept()
            wrote = self._offset > 0
        if wrote:
            self._writer.flush()
            if self._live:
                self._live.ended(self._step, self._attempt)

    def _flush_masks(self) -> None:
        for stream, mask in self._masks.items():
            self._take(stream, mask.flush())

    def _take(self, stream: Stream, data: bytes) -> None:
        if not data:
            return
        self._last = data[-_TAIL_BYTES:] if len(data) >= _TAIL_BYTES else (self._last + data)[-_TAIL_BYTES:]
        room = self._head - self._offset
        if room > 0:
            head, data = data[:room], data[room:]
            self._writer.add([self._chunk(stream, head)])
            self._show(stream, head)
        if data:
            if not self._kept and self._live:
                self._live.left_out(self._step, self._attempt)
            self._keep(stream, data)

    def _show(self, stream: Stream, data: bytes) -> None:
        if self._live:
            try:
                self._live.output(self._step, self._attempt, stream, data)
            except OSError:
                # The terminal has gone away, which is no reason for the step to fail; the log goes on.
                self._live = None

    def _chunk(self, stream: Stream, data: bytes) -> Chunk:
        chunk = Chunk(self._step, self._attempt, self._offset, stream, self._clock.now(), data)
        self._offset += len(data)
        return chunk

    def _keep(self, stream: Stream, data: bytes) -> None:
        """Past the first half only the end counts: hold it in memory, write it down once a second and at the end."""
        last = self._kept[-1] if self._unwritten else None
        if last is not None and last.stream == stream and len(last.data) + len(data) <= _KEEP_BYTES:
            # A line at a time would make more of chunks than of what is in them.
            self._kept[-1] = Chunk(last.step, last.attempt, last.offset, stream, last.at, last.data + data)
            self._offset += len(data)
        else:
            self._kept.append(self._chunk(stream, data))
            self._unwritten += 1
        self._kept_size += len(data)
        while len(self._kept) > 1 and self._kept_size - len(self._kept[0].data) >= self._most_kept:
            self._kept_size -= len(self._kept.popleft().data)
        now = self._clock.elapsed()
        if now - self._written_at >= _TAIL_EVERY:
            self._written_at = now
            self._write_kept()

    def _write_kept(self) -> None:
        if not self._unwritten:
            return
        chunks = list(self._kept)
        new = chunks[max(0, len(chunks) - self._unwritten) :]
        self._unwritten = 0
        surplus = self._kept_size - self._most_kept
        if surplus > 0 and new and new[0] is chunks[0]:
            first = chunks[0]
            cut = Chunk(first.step, first.attempt, first.offset + surplus, first.stream, first.at, first.data[surplus:])
            new = [cut, *new[1:]]
        self._writer.add(new, (self._step, self._attempt, self._head, chunks[0].offset))
