"""How many columns of a terminal a text takes, and texts cut to fit."""

from __future__ import annotations

from functools import lru_cache

_OURS = "▶✓✗–■⏸·│…→"
"""Those of ours, each of one column."""


def columns(text: str) -> int:
    """Columns that the text takes: two for wide characters, none for those that combine with the one before."""
    if text.isascii():
        return len(text)
    return len(text) + sum([_columns(character) - 1 for character in text if character > "\x7f"])


@lru_cache(maxsize=1024)
def _columns(character: str) -> int:
    if character in _OURS:
        return 1
    # Loaded when it is first needed: most texts have no others.
    from unicodedata import category, east_asian_width

    if category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def clipped(text: str, most: int, ellipsis: str = "…") -> str:
    """The text, cut with an ellipsis where it takes more than `most` columns."""
    if columns(text) <= most:
        return text
    room = most - columns(ellipsis)
    if room < 0:
        return ""
    kept, used = [], 0
    for character in text:
        used += _columns(character)
        if used > room:
            break
        kept.append(character)
    return "".join(kept) + ellipsis


def padded(text: str, width: int) -> str:
    """The text with blanks behind it, up to `width` columns."""
    return text + " " * max(0, width - columns(text))
