"""Standard output and error: always there, always able to take any text, and quiet when nobody listens."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from cerebelum.render.display import recoded

if TYPE_CHECKING:
    from cerebelum.render import Style


def prepare() -> None:
    """Make standard streams safe to write any text to."""
    for number in (0, 1, 2):
        # A closed one would be given to the next file that is opened: the store, say. Writing to it fails as before.
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            ascii_only = "PYTHONIOENCODING" not in os.environ and stream.encoding.lower() in ("ascii", "ansi_x3.4-1968")
            stream.reconfigure(encoding="utf-8" if ascii_only else None, errors="backslashreplace")


_private: tuple[TextIO, TextIO] | None = None


def own_process() -> None:
    """Steps may have descriptors 1 and 2 of this process; what is printed by `cerebelum.cli` goes past them then."""
    from cerebelum.steps import descriptors

    descriptors.allow(_go_private)


def _go_private(out: int, err: int) -> None:
    global _private
    # The same text layers, on other descriptors.
    before = (sys.__stdout__ or sys.stdout, sys.__stderr__ or sys.stderr)
    _private = (_text(out, before[0]), _text(err, before[1]))


def _text(descriptor: int, like: TextIO) -> TextIO:
    return open(descriptor, "w", encoding=like.encoding, errors=like.errors, closefd=False)


def stdout() -> TextIO:
    """Standard output as this program's user sees it."""
    return sys.stdout if _private is None else _private[0]


def stderr() -> TextIO:
    """Standard error as this program's user sees it."""
    return sys.stderr if _private is None else _private[1]


def show(text: str) -> None:
    """Print text and a newline to standard output."""
    stdout().write(text + "\n")


def read_stdin(most: int = -1) -> bytes:
    """What comes from standard input, at most `most` bytes if that is not negative; nothing where it is closed."""
    with open(0, "rb", closefd=False) as stream:
        return stream.read(most)


def show_json(value: Any) -> None:
    """Print a value as indented JSON to standard output."""
    stdout().flush()
    stdout().buffer.write(as_json(value) + b"\n")


def show_data(data: bytes, *, as_is: bool = False) -> None:
    """Print UTF-8 bytes to standard output, re-coded where it takes something else, or as they are."""
    stdout().flush()
    stdout().buffer.write(data if as_is else recoded(data, stdout().encoding))


def as_json(value: Any) -> bytes:
    """A value as indented JSON text."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2)


_say: Callable[[str], None] | None = None


@contextmanager
def spoken_by(say: Callable[[str], None]) -> Iterator[None]:
    """Within it, what is complained of goes through `say(text)`, where both standard streams are the terminal."""
    global _say
    _say = say if stderr().isatty() else None
    try:
        yield
    finally:
        _say = None


def complain(text: str) -> None:
    """Print text and a newline to standard error, without the passwords of URLs in it."""
    if "://" in text:
        from cerebelum.host.addresses import without_passwords

        text = without_passwords(text)
    if _say is not None:
        _say(text)
        return
    try:
        stdout().flush()
    except OSError:
        silence_stdout()
    try:
        stderr().write(text + "\n")
        stderr().flush()
    except OSError:
        pass


def warn(text: str) -> None:
    """Print a warning to standard error."""
    complain(f"cerebelum: warning: {text}")


def silence_stdout() -> None:
    """Nobody reads standard output any more: let what is still written to it go nowhere."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, stdout().fileno())
    os.close(devnull)


def colours(stream: Any, environ: Any) -> bool:
    """Whether colours are welcome on a stream. NO_COLOR says no, FORCE_COLOR and CLICOLOR_FORCE yes, to any."""
    if environ.get("NO_COLOR"):
        return False
    if any(environ.get(name, "") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return bool(stream.isatty()) and environ.get("TERM") != "dumb"


def takes_symbols(stream: Any) -> bool:
    """Whether the stream's encoding has the symbols we like to use."""
    try:
        "▶✓✗–…␛│■⏸".encode(stream.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def can_draw(stream: Any, environ: Any) -> bool:
    """Whether a stream is a terminal that can draw lines anew."""
    return bool(stream.isatty()) and environ.get("TERM", "dumb") not in ("dumb", "")


def can_live(stream: Any, environ: Any) -> bool:
    """Whether lines may be drawn anew on a stream: it is a terminal that can, and nobody keeps what it shows."""
    if not can_draw(stream, environ) or environ.get("CI"):
        return False
    from cerebelum.render.build_systems import detect

    return detect(environ) is None


def width(stream: Any) -> int | None:
    """Columns of the terminal that a stream is; None where it is none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


_LINKING = ("iTerm.app", "WezTerm", "vscode", "ghostty", "Hyper", "rio", "Tabby")
_LINKING_VARIABLES = ("KITTY_WINDOW_ID", "WT_SESSION", "KONSOLE_VERSION", "DOMTERM")
_FIRST_VTE = 5000


def links(stream: Any, environ: Any) -> bool:
    """Whether a stream is a terminal that knows hyperlinks, as far as can be told; FORCE_HYPERLINK says yes or no."""
    if (forced := environ.get("FORCE_HYPERLINK", "")) != "":
        return bool(forced != "0")
    if not can_live(stream, environ) or environ.get("TERM", "").startswith("screen"):
        return False
    vte = environ.get("VTE_VERSION", "")
    return (
        (vte.isdigit() and int(vte) >= _FIRST_VTE)
        or environ.get("TERM_PROGRAM") in _LINKING
        or any(environ.get(name) for name in _LINKING_VARIABLES)
    )


def height(stream: Any) -> int:
    """Rows of the terminal that a stream is; 24 where it is none."""
    try:
        return os.get_terminal_size(stream.fileno()).lines or 24
    except (OSError, ValueError):
        return 24


def style(stream: Any, environ: Any) -> Style:
    """How text is to look on a stream."""
    from cerebelum.render import ASCII, UNICODE, Style

    symbols = UNICODE if takes_symbols(stream) else ASCII
    return Style(symbols, colours(stream, environ), width(stream), links(stream, environ))
