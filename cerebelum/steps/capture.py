"""Where `print` goes while a step is performed in this process: to the step's output, whoever else prints meanwhile.

The step is known by a context variable, which the tasks of `async def` functions inherit. Threads that a function
starts by itself do not, nor do child processes: `cerebelum.steps.descriptors` says where their output goes.
"""

from __future__ import annotations

import contextvars
import io
import sys
import threading
from collections.abc import Iterable
from typing import Any

from cerebelum.steps import descriptors
from cerebelum.steps.executor import Sink
from cerebelum.store import Stream

_FLUSH_AT = 8192


class _Stray:
    """Takes what is printed by threads that belong to no step, where the descriptors are caught."""

    def write(self, stream: Stream, data: bytes) -> None:
        descriptors.drain()
        descriptors.put(stream, data)

    def flush(self, stream: Stream) -> None:
        """Nothing is held back."""


class _Aside:
    """Takes what is printed by a thread that has nothing to do with steps: whole lines for the terminal."""

    def __init__(self) -> None:
        self._waiting: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}

    def write(self, stream: Stream, data: bytes) -> None:
        lines, newline, rest = (self._waiting[stream] + data).rpartition(b"\n")
        self._waiting[stream] = rest
        descriptors.show(stream, lines + newline)

    def flush(self, stream: Stream) -> None:
        data, self._waiting[stream] = self._waiting[stream], b""
        descriptors.show(stream, data)


class _Host(_Stray):
    """Takes what is printed by somebody else's process that has lent its descriptors, and is none of a step's."""

    def write(self, stream: Stream, data: bytes) -> None:
        descriptors.show(stream, data)


_STRAY, _HOST = _Stray(), _Host()


class _Output:
    """Collects what one step prints into lines."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = threading.RLock()
        self._waiting: dict[Stream, bytearray] = {}
        self._over = False

    @property
    def closed(self) -> bool:
        """Whether nothing is taken any more."""
        return self._over or getattr(self._sink, "closed", False)

    def take(self, stream: Stream, data: bytes) -> None:
        """What came by the descriptor, in its place among what is printed."""
        with self._lock:
            self.flush("stdout")
            self.flush("stderr")
            self._hand_on(stream, data)

    def write(self, stream: Stream, data: bytes) -> None:
        # Before this one's lock is taken, since handing on takes it.
        descriptors.drain()
        with self._lock:
            waiting = self._waiting.get(stream) or self._waiting.setdefault(stream, bytearray())
            waiting += data
            if len(waiting) >= _FLUSH_AT or b"\n" in data:
                self.flush(stream)

    def flush(self, stream: Stream) -> None:
        with self._lock:
            waiting = self._waiting.get(stream)
            if not waiting or self._over:
                return
            data = bytes(waiting)
            waiting.clear()
            self._hand_on(stream, data)

    def _hand_on(self, stream: Stream, data: bytes) -> None:
        # Whoever is behind the sink may print too, to the terminal.
        token = _current.set(_Aside())
        try:
            self._sink.write(stream, data)
        finally:
            _current.reset(token)

    def close(self) -> None:
        with self._lock:
            for stream in tuple(self._waiting):
                self.flush(stream)
            self._over = True


_current: contextvars.ContextVar[_Output | _Stray | _Aside | None] = contextvars.ContextVar(
    "cerebelum_output", default=None
)


def _printing() -> _Output | _Stray | _Aside | None:
    """Who takes what this thread prints; None: whoever always did."""
    output = _current.get()
    if descriptors.forked():
        return None
    if isinstance(output, _Aside):
        return output if descriptors.allowed() or descriptors.diverted() else None
    if output is not None or not descriptors.diverted():
        return output
    return _STRAY if descriptors.allowed() else _HOST


class _Binary(io.RawIOBase):
    def __init__(self, output: _Output | _Stray | _Aside, stream: Stream) -> None:
        super().__init__()
        self._output, self._stream = output, stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        block = bytes(data)
        self._output.write(self._stream, block)
        return len(block)

    def flush(self) -> None:
        self._output.flush(self._stream)


class _Proxy(io.TextIOBase):
    """Stands for sys.stdout or sys.stderr."""

    def __init__(self, real: Any, stream: Stream) -> None:
        super().__init__()
        self._real, self._stream = real, stream

    @property
    def real(self) -> Any:
        """What it stands for."""
        return self._real

    def write(self, text: str) -> int:
        output = _printing()
        if output is None:
            return int(self._real.write(text) or 0) if self._real is not None else len(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        output.write(self._stream, text.encode("utf-8", "backslashreplace"))
        return len(text)

    def writelines(self, lines: Iterable[Any]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        output = _printing()
        if output is not None:
            output.flush(self._stream)
        elif self._real is not None and not getattr(self._real, "closed", False):
            self._real.flush()

    @property
    def buffer(self) -> Any:
        output = _printing()
        return self._real.buffer if output is None else _Binary(output, self._stream)

    def isatty(self) -> bool:
        return _printing() is None and self._real is not None and bool(self._real.isatty())

    def fileno(self) -> int:
        if descriptors.diverted():
            return 1 if self._stream == "stdout" else 2
        if _printing() is not None or self._real is None:
            raise io.UnsupportedOperation("the output of a step function has no descriptor; use isolated: true")
        return int(self._real.fileno())

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8" if _printing() is not None else str(getattr(self._real, "encoding", "utf-8"))

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return "backslashreplace" if _printing() is not None else getattr(self._real, "errors", None)

    def close(self) -> None:
        """Only its owner closes the real stream."""

    def __del__(self) -> None:
        """Nothing to close."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


_installing = threading.Lock()


def _install() -> None:
    if isinstance(sys.stdout, _Proxy) and isinstance(sys.stderr, _Proxy):
        return
    with _installing:
        if not isinstance(sys.stdout, _Proxy):
            sys.stdout = _Proxy(sys.stdout, "stdout")
        if not isinstance(sys.stderr, _Proxy):
            sys.stderr = _Proxy(sys.stderr, "stderr")


class Captured:
    """Within it, what this thread and the tasks started from it print goes to `sink`."""

    __slots__ = ("_given", "_output", "_token")

    def __init__(self, sink: Sink) -> None:
        self._output = _Output(sink)

    def __enter__(self) -> None:
        _install()
        self._given = descriptors.give_to(self._output)
        self._token = _current.set(self._output)

    def __exit__(self, *raised: object) -> None:
        try:
            if self._given:
                descriptors.take_from(self._output)
        finally:
            _current.reset(self._token)
            self._output.close()


class Echo:
    """Shows what steps print where a program that drives them prints, too."""

    def output(self, step: str, attempt: int, stream: Stream, data: bytes) -> None:
        """Show it."""
        shown = sys.stdout if stream == "stdout" else sys.stderr
        real = shown.real if isinstance(shown, _Proxy) else shown
        try:
            descriptor = real.fileno()
        except (OSError, ValueError, AttributeError):
            descriptor = -1
        if descriptor in (1, 2):
            descriptors.show(stream, data)
        elif real is not None:
            # As in a notebook, whose cells are not what the process prints to.
            real.write(data.decode("utf-8", "backslashreplace"))

    def left_out(self, step: str, attempt: int) -> None:
        """Its log ends here, too."""

    def ended(self, step: str, attempt: int) -> None:
        """There is nothing to wind up."""


def aside() -> None:
    """What this thread prints from here on is no step's: it goes to the terminal, masked."""
    if descriptors.allowed():
        _install()
        _current.set(_Aside())
