"""HTML and SVG out of values: text becomes markup at one place, so that nobody's text can be taken for markup."""

from __future__ import annotations

import re

from cerebelum.render.display import harmless

_SIGNS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
# What XML cannot hold at all, however it is written; the control characters have their pictures by then.
_UNSPEAKABLE = re.compile("[\ud800-\udfff\ufffe\uffff]")
_ALONE = {"meta", "br", "path", "rect", "line", "circle"}


class Markup(str):
    """Text that is markup already, and is not escaped again."""

    __slots__ = ()


def speakable(text: str) -> str:
    """Text with nothing in it that commands a terminal, or that XML does not take."""
    return _UNSPEAKABLE.sub("\ufffd", harmless(text))


def escaped(text: str) -> Markup:
    """Text as it stands between tags and in attributes, with nothing in it that commands a browser or a terminal."""
    if isinstance(text, Markup):
        return text
    return Markup(speakable(text).translate(_SIGNS))


def element(tag: str, *inside: str, **attributes: str | float | None) -> Markup:
    """An element around texts and markup. Attributes that are None are left out; `class_` is `class`, `_` is `-`."""
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _ALONE and not inside:
        return Markup(f"<{tag}{given}/>")
    return Markup(f"<{tag}{given}>{''.join(map(escaped, inside))}</{tag}>")


def joined(*parts: str) -> Markup:
    """Parts one behind the other."""
    return Markup("".join(map(escaped, parts)))


def number(value: float) -> str:
    """A coordinate: to a tenth, without what says nothing."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _attribute(value: str | float) -> Markup:
    return escaped(value if isinstance(value, str) else number(value))
