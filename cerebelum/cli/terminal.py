"""Standard output and error: always there, always able to take any text, and quiet when nobody listens."""

from __future__ import annotations

import os
import sys
from typing import Any

from cerebelum.render.display import recoded


def prepare() -> None:
    """Make standard streams safe to write any text to."""
    for number in (0, 1, 2):
        # A closed one would be given to the next file that is opened: the store, say.
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            ascii_only = "PYTHONIOENCODING" not in os.environ and stream.encoding.lower() in ("ascii", "ansi_x3.4-1968")
            stream.reconfigure(encoding="utf-8" if ascii_only else None, errors="backslashreplace")


def show(text: str) -> None:
    """Print text and a newline to standard output."""
    sys.stdout.write(text + "\n")


def show_json(value: Any) -> None:
    """Print a value as indented JSON to standard output."""
    sys.stdout.flush()
    sys.stdout.buffer.write(as_json(value) + b"\n")


def show_data(data: bytes, *, as_is: bool = False) -> None:
    """Print UTF-8 bytes to standard output, re-coded where it takes something else, or as they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data if as_is else recoded(data, sys.stdout.encoding))


def as_json(value: Any) -> bytes:
    """A value as indented JSON text."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def complain(text: str) -> None:
    """Print text and a newline to standard error."""
    try:
        sys.stdout.flush()
    except OSError:
        silence_stdout()
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        pass


def warn(text: str) -> None:
    """Print a warning to standard error."""
    complain(f"cerebelum: warning: {text}")


def silence_stdout() -> None:
    """Nobody reads standard output any more: let what is still written to it go nowhere."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.close(devnull)


def colours(stream: Any, environ: Any) -> bool:
    """Whether colours are welcome on a stream."""
    return bool(stream.isatty()) and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def takes_symbols(stream: Any) -> bool:
    """Whether the stream's encoding has the symbols we like to use."""
    try:
        "▶✓✗–…␛│■⏸".encode(stream.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
