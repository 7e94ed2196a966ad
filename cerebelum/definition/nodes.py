"""YAML values that still know where they stand in the file and how they were written."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec


class Spot(msgspec.Struct, frozen=True):
    """A position in a file, both counted from 1."""

    line: int
    column: int


class Scalar:
    """A text, number, boolean or null: `text` is as written, without quotes, `value` by the core schema."""

    __slots__ = ("column", "doubt", "line", "quoted", "text", "value")

    def __init__(self, text: str, value: Any, quoted: bool, line: int, column: int) -> None:
        self.text = text
        self.value = value
        self.quoted = quoted
        self.doubt: str | None = None
        """Why this is no number, although it looks like one; it is good as a text."""
        self.line = line
        self.column = column


class Listing:
    """A sequence."""

    __slots__ = ("column", "items", "line")

    def __init__(self, line: int, column: int) -> None:
        self.items: list[Scalar | Listing | Table] = []
        self.line = line
        self.column = column


class Table:
    """A mapping. `spots` says where each key stands."""

    __slots__ = ("column", "entries", "line", "spots")

    def __init__(self, line: int, column: int) -> None:
        self.entries: dict[str, Scalar | Listing | Table] = {}
        self.spots: dict[str, Spot] = {}
        self.line = line
        self.column = column


AnyNode = Scalar | Listing | Table


def plain(node: AnyNode) -> Any:
    """The node as plain JSON data."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Listing):
        return [plain(item) for item in node.items]
    return {key: plain(value) for key, value in node.entries.items()}


def kind(node: AnyNode) -> str:
    """What a node is, in the words of messages."""
    if isinstance(node, Scalar):
        return node.doubt or kind_of(node.value)
    return "a list" if isinstance(node, Listing) else "a mapping"


def kind_of(value: Any) -> str:
    """What a plain value is, in the words of messages."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list | tuple) else "a mapping"


class OutOfRange(ValueError):
    """A number that JSON cannot carry to everybody; the message says why."""


_WORDS = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_NUMBER_START = frozenset("0123456789+-.")
_INT = r"[-+]?[0-9]+"
_OCTAL = r"0o[0-7]+"
_HEX = r"0x[0-9a-fA-F]+"
_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_NOT_FINITE = r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"


def resolve(text: str) -> Any:
    """What a plain scalar is by the YAML 1.2 core schema; OutOfRange for a number nobody can carry."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START:
        return text
    if len(text) <= 1:
        return int(text) if text.isdigit() else text
    if re.fullmatch(_INT, text, re.ASCII):
        return _bounded(text, 10)
    if re.fullmatch(_OCTAL, text, re.ASCII):
        return _bounded(text[2:], 8)
    if re.fullmatch(_HEX, text, re.ASCII):
        return _bounded(text[2:], 16)
    if re.fullmatch(_FLOAT, text, re.ASCII):
        number = float(text)
        if not math.isfinite(number):
            raise OutOfRange("a number too large to be kept")
        return number
    if re.fullmatch(_NOT_FINITE, text):
        raise OutOfRange("not a finite number")
    return text


def _bounded(digits: str, base: int) -> int:
    if len(digits) <= 66:
        number = int(digits, base)
        if -(2**63) <= number < 2**63:
            return number
    raise OutOfRange("an integer beyond 64 bits")
