"""File descriptors 1 and 2 of a process that performs steps in itself: what arrives there belongs to a step.

A library writes to them past `sys.stdout`, and so does every process that a function starts. In a process that is
cerebelum's own both become pipes when the first such step starts; what comes out is masked and given to the step that
started last, and to the terminal when there is none. Somebody else's process lends them while it drives executions.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol

from cerebelum.steps.masking import MaskedStream, Masker
from cerebelum.store import Stream

_NUMBERS: dict[Stream, int] = {"stdout": 1, "stderr": 2}
_PIPE_BYTES = 1 << 20
_READ_BYTES = 64 << 10
_MOST_MASKERS = 100
"""Of so many executions with different secrets a process that drives one after the other still knows them."""
_LOWEST = 10
"""Private copies are out of the way of scripts, which like to use single digits."""


class Target(Protocol):
    """A running step that takes what arrives."""

    @property
    def closed(self) -> bool: ...

    def take(self, stream: Stream, data: bytes) -> None: ...


def _libc_flusher() -> Callable[[], object] | None:
    """What flushes C's `stdout`; None where it cannot be had."""
    try:
        import ctypes

        library = ctypes.CDLL(None)
        return partial(library.fflush, ctypes.c_void_p.in_dll(library, "stdout"))
    except (ImportError, OSError, AttributeError, ValueError):
        return None


class _Pipes:
    """The two pipes, and the private copies of what the descriptors were before."""

    def __init__(self) -> None:
        self.before: dict[Stream, int] = {}
        self._ends: dict[Stream, int] = {}
        for stream, number in _NUMBERS.items():
            self.before[stream] = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _LOWEST)
            reading, writing = os.pipe()
            with suppress(AttributeError, OSError):
                # What is written by code that holds the interpreter's lock has to find room in it.
                fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            os.set_blocking(reading, False)
            os.dup2(writing, number)
            os.close(writing)
            self._ends[stream] = reading
        self._ready = self._poll()
        self._flush_libc = _libc_flusher()

    def _poll(self) -> select.poll:
        poll = select.poll()
        for end in self._ends.values():
            poll.register(end, select.POLLIN)
        return poll

    def work(self) -> None:
        """Hand on what arrives, in a thread of its own."""
        poll = self._poll()
        while self._ends:
            ready = poll.poll()
            with _lock:
                for stream, data in self.read():
                    put(stream, data)
            for end, what in ready:
                if not what & select.POLLIN:
                    # Nobody has it any more.
                    poll.unregister(end)
                    with _lock:
                        self._ends = {stream: other for stream, other in self._ends.items() if other != end}
                        self._ready = self._poll()
                    os.close(end)

    def give_back(self) -> None:
        """Have the descriptors be again what they were; what others still write to the pipes is handed on."""
        for stream, number in _NUMBERS.items():
            os.dup2(self.before[stream], number)
            os.close(self.before[stream])

    def arrived(self) -> bool:
        """Whether there is anything to read."""
        ready = self._ready.poll(0)
        return bool(ready) and any(what & select.POLLIN for _, what in ready)

    def read(self) -> Iterator[tuple[Stream, bytes]]:
        """What has arrived so far. One thread at a time."""
        while self.arrived():
            for stream, end in self._ends.items():
                with suppress(BlockingIOError):
                    yield stream, os.read(end, _READ_BYTES)

    def flush_libc(self) -> None:
        """Have the C library write what `printf` has collected: a pipe is not a terminal."""
        if self._flush_libc is None:
            self._flush_libc = _libc_flusher()
        if self._flush_libc is not None:
            self._flush_libc()


_allowed: Callable[[int, int], None] | None = None
_borrowers = 0
_lock = threading.RLock()
_pipes: _Pipes | None = None
_forked = False
_running: list[Target] = []
_maskers: list[Masker] = []
_masks: dict[Stream, list[MaskedStream]] = {"stdout": [], "stderr": []}


def allow(tell: Callable[[int, int], None]) -> None:
    """This process is cerebelum's own. `tell(out, err)` is called with descriptors for the terminal, once 1 and 2 are
    no longer that.
    """
    global _allowed
    _allowed = tell


def allowed() -> bool:
    """Whether this process is cerebelum's own."""
    return _allowed is not None


def may_be_caught() -> bool:
    """Whether the descriptors may be given to steps: this process is cerebelum's own, or has lent them."""
    return not _forked and (_allowed is not None or _borrowers > 0)


@contextmanager
def lent() -> Iterator[None]:
    """Within it, steps may have the descriptors of this process, which is somebody else's, and get them back after."""
    global _borrowers, _pipes
    with _lock:
        _borrowers += 1
    try:
        yield
    finally:
        if not _forked:
            with _lock:
                _borrowers -= 1
                if not _borrowers and _allowed is None and _pipes is not None:
                    _pipes.flush_libc()
                    drain()
                    _flush()
                    pipes, _pipes = _pipes, None
                    pipes.give_back()


def diverted() -> bool:
    """Whether what arrives at 1 and 2 is caught."""
    return _pipes is not None and not _forked


def forked() -> bool:
    """Whether this is a child that a step's code forked."""
    return _forked


def mask_with(masker: Masker) -> None:
    """From now on mask its secrets in whatever arrives, whichever execution that is from."""
    if not masker or not may_be_caught():
        return
    with _lock:
        # Kept when its execution is over, since what that started may go on writing.
        known = [m for m in _maskers if m.patterns != masker.patterns]
        if len(known) < len(_maskers):
            return
        drain()
        _flush()
        _maskers[:] = [*known[-_MOST_MASKERS:], masker]
        for stream in _masks:
            _masks[stream] = [m.stream() for m in _maskers]


def give_to(target: Target) -> bool:
    """From now on what arrives is the target's, unless another one comes after it; False where nothing is caught."""
    if not may_be_caught():
        return False
    with _lock:
        _divert(_allowed)
        drain()
        _running.append(target)
    return True


def take_from(target: Target) -> None:
    """What has arrived so far was the target's, and nothing will be any more."""
    if _forked:
        return
    if _pipes is not None:
        _pipes.flush_libc()
    with _lock:
        drain()
        _flush()
        _running.remove(target)


def drain() -> None:
    """Hand on what has arrived so far."""
    if _pipes is None or _forked:
        return
    with _lock:
        if _pipes.arrived():
            for stream, data in _pipes.read():
                put(stream, data)


def put(stream: Stream, data: bytes) -> None:
    """Hand on data as if it had arrived at the descriptor just now."""
    with _lock:
        for mask in _masks[stream]:
            data = mask.feed(data)
        _give(stream, data)


def show(stream: Stream, data: bytes) -> None:
    """Write data, masked, to where the descriptor leads, or led before it was diverted."""
    with _lock, suppress(OSError):
        for masker in _maskers:
            data = masker.data(data)
        while data:
            data = data[os.write(_NUMBERS[stream] if _pipes is None else _pipes.before[stream], data) :]


def _give(stream: Stream, data: bytes) -> None:
    if not data:
        return
    for target in reversed(_running):
        if not target.closed:
            target.take(stream, data)
            return
    # A thread or a process that outlived its step. Our own standard output may be read by a program.
    show("stderr" if _allowed else stream, data)


def _flush() -> None:
    """Let go of ends that might have been the beginning of a secret."""
    if not _maskers:
        return
    for stream, masks in _masks.items():
        data = b""
        for mask in masks:
            data = mask.feed(data) + mask.flush()
        _give(stream, data)


def _divert(tell: Callable[[int, int], None] | None) -> None:
    global _pipes
    if _pipes is None:
        for text in {sys.__stdout__, sys.__stderr__, sys.stdout, sys.stderr}:
            # What was printed before is no step's.
            with suppress(OSError, ValueError, AttributeError):
                text.flush()  # type: ignore[union-attr]
        _pipes = _Pipes()
        if tell is not None:
            tell(_pipes.before["stdout"], _pipes.before["stderr"])
        threading.Thread(target=_pipes.work, name="cerebelum-descriptors", daemon=True).start()


def _after_fork() -> None:
    # What runs here is some function's child: it writes to the pipes like every other process.
    global _forked, _lock
    _forked, _lock = True, threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
