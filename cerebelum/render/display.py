"""The smallest parts of what people read: lengths of time, moments, sizes, symbols, and text made harmless."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

_PICTURES: dict[int, int | str] = {
    **{code: 0x2400 + code for code in range(32) if code not in (9, 10)},
    0x7F: 0x2421,
    **{code: f"\\x{code:02x}" for code in range(0x80, 0xA0)},
    # What reverses the reading direction can make a line say something else than it does.
    **{code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}
_COLOUR = "\x1b\\[[0-9;:]*m"
_PLAIN = bytes([9, 10, *range(32, 127)])


class Symbols(msgspec.Struct, frozen=True):
    """What stands in front of steps, and between parts of a line."""

    started: str
    completed: str
    failed: str
    skipped: str
    interrupted: str
    waiting: str
    pending: str
    bar: str
    ellipsis: str


UNICODE = Symbols("▶", "✓", "✗", "–", "■", "⏸", "·", "│", "…")
ASCII = Symbols(">", "+", "x", "-", "#", "~", ".", "|", "...")


def harmless(text: str) -> str:
    """Text that cannot command a terminal: colours are removed, other control characters are shown as `␛` and the like.

    Tabs and newlines stay.
    """
    if text.isascii() and text.isprintable():
        return text
    if "\x1b" in text:
        text = re.sub(_COLOUR, "", text)
    return text.replace("\r\n", "\n").translate(_PICTURES)


def harmless_data(data: bytes) -> bytes:
    """The same for a step's output, as UTF-8; invalid bytes become `\ufffd`.

    Ordinary text passes at the speed of a copy.
    """
    strange = data.translate(None, _PLAIN)
    if not strange:
        return data
    if b"\x1b" in strange:
        data = re.sub(_COLOUR.encode(), b"", data)
        strange = data.translate(None, _PLAIN)
    if strange and min(strange) >= 0x80 and b"\xc2" not in strange and b"\xe2" not in strange:
        try:
            data.decode()
            return data
        except UnicodeDecodeError:
            pass
    return data.decode("utf-8", "replace").translate(_PICTURES).encode() if strange else data


_SPELLED = {picture: f"\\x{code:02x}" for code, picture in _PICTURES.items() if isinstance(picture, int)}


def recoded(data: bytes, encoding: str) -> bytes:
    """UTF-8 in another encoding; what that lacks is spelled out, such as `\\x1b` for the picture of an escape."""
    if encoding.lower() in ("utf-8", "utf8"):
        return data
    return data.decode("utf-8", "replace").translate(_SPELLED).encode(encoding, "backslashreplace")


def one_line(text: str, most: int = 200) -> str:
    """The first line of a text, harmless and at most `most` characters long."""
    line = harmless(text.strip().split("\n", 1)[0]).replace("\t", " ")
    return line if len(line) <= most else line[: most - 1] + "…"


def length(seconds: float) -> str:
    """A length of time as people say it: `0.2 s`, `1 min 5 s`, `2 h 3 min`, `4 d 1 h`."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    for unit, name, smaller, small_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit} {name}" + (f" {rest} {small_name}" if rest else "")
    return f"{whole} s"


def moment(at: datetime | None) -> str:
    """A moment in local time, to the second."""
    return "" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ago(at: datetime, now: datetime) -> str:
    """How long ago a moment was."""
    return f"{length(max(0.0, (now - at).total_seconds()))} ago"


def size(count: int) -> str:
    """A number of bytes as people say it."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if value < 1024:
            return f"{count} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
