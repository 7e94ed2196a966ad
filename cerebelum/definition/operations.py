"""The operators and functions of expressions, each bounded so that no expression can take long or grow large."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NoReturn

from cerebelum.core.errors import ExpressionError
from cerebelum.definition.nodes import kind_of

MAX_TEXT = 1024 * 1024
MAX_ITEMS = 100_000
MAX_BITS = 1024


def as_text(value: Any) -> str:
    """A value put into a text: true/false, null as nothing, lists and mappings as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return _json(value)


def _json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refuse(sign: str, a: Any, b: Any) -> NoReturn:
    hint = "convert one of them with str(), int() or float()" if {type(a), type(b)} & {str} else None
    raise ExpressionError(f"`{sign}` does not work between {kind_of(a)} and {kind_of(b)}", hint=hint)


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ExpressionError("a number becomes too large")
    return value


def _arithmetic(sign: str, apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def calculate(a: Any, b: Any) -> Any:
        if not (_number(a) and _number(b)):
            _refuse(sign, a, b)
        return _bounded(apply(a, b))

    return calculate


def _add(a: Any, b: Any) -> Any:
    if _number(a) and _number(b):
        return _bounded(a + b)
    if isinstance(a, str) and isinstance(b, str):
        if len(a) + len(b) > MAX_TEXT:
            raise ExpressionError(f"the text becomes longer than {MAX_TEXT:,} characters")
        return a + b
    if isinstance(a, list) and isinstance(b, list):
        if len(a) + len(b) > MAX_ITEMS:
            raise ExpressionError(f"the list becomes longer than {MAX_ITEMS:,} items")
        return a + b
    return _refuse("+", a, b)


def _power(a: Any, b: Any) -> Any:
    if not (_number(a) and _number(b)):
        _refuse("**", a, b)
    if abs(b) > 64 or (isinstance(a, int) and a.bit_length() * abs(b) > MAX_BITS):
        raise ExpressionError("a number becomes too large")
    result = a**b
    if isinstance(result, complex):
        raise ExpressionError("the result is not a real number")
    return result


def _ordering(sign: str, apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def compare(a: Any, b: Any) -> Any:
        if not ((_number(a) and _number(b)) or (isinstance(a, str) and isinstance(b, str))):
            _refuse(sign, a, b)
        return apply(a, b)

    return compare


def _in(a: Any, b: Any) -> bool:
    return contains(b, a)


def _sign(apply: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def signed(value: Any) -> Any:
        if not _number(value):
            raise ExpressionError(f"a sign does not work before {kind_of(value)}")
        return apply(value)

    return signed


@cache
def operators() -> dict[type[ast.AST], Callable[..., Any]]:
    """Each operator by its node; made when the first expression is evaluated, since most workflows have few."""
    return {
        ast.Add: _add,
        ast.Sub: _arithmetic("-", operator.sub),
        ast.Mult: _arithmetic("*", operator.mul),
        ast.Div: _arithmetic("/", operator.truediv),
        ast.FloorDiv: _arithmetic("//", operator.floordiv),
        ast.Mod: _arithmetic("%", operator.mod),
        ast.Pow: _power,
        ast.Eq: operator.eq,
        ast.NotEq: operator.ne,
        ast.Lt: _ordering("<", operator.lt),
        ast.LtE: _ordering("<=", operator.le),
        ast.Gt: _ordering(">", operator.gt),
        ast.GtE: _ordering(">=", operator.ge),
        ast.In: _in,
        ast.NotIn: lambda a, b: not _in(a, b),
        ast.Not: operator.not_,
        # `!` is written as `~` for Python's parser, because it binds as tightly as `!` does everywhere else.
        ast.Invert: operator.not_,
        ast.USub: _sign(operator.neg),
        ast.UAdd: _sign(operator.pos),
    }


def contains(where: Any, what: Any) -> bool:
    """Whether a list has the item, a mapping the key, a text the part."""
    if isinstance(where, str):
        if not isinstance(what, str):
            raise ExpressionError(f"a text cannot contain {kind_of(what)}", hint="convert it with str()")
        return what in where
    if isinstance(where, Mapping):
        return isinstance(what, str) and what in where
    if isinstance(where, list | tuple):
        return what in where
    raise ExpressionError(f"{kind_of(where)} cannot contain anything")


def _integer(value: Any) -> int:
    try:
        if isinstance(value, str) and len(value) > 40:
            raise ValueError
        return _bounded(int(value))  # type: ignore[no-any-return]
    except (TypeError, ValueError, OverflowError):
        raise ExpressionError(f"{_shown(value)} is not an integer") from None


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ExpressionError(f"{_shown(value)} is not a number") from None


def _shown(value: Any) -> str:
    return f"the text {value[:60]!r}" if isinstance(value, str) else kind_of(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, str):
        words = {"true": True, "false": False, "": False}
        if value.lower() not in words:
            raise ExpressionError(f"{_shown(value)} is neither true nor false")
        return words[value.lower()]
    return bool(value)


def _length(value: Any) -> int:
    if not isinstance(value, str | list | tuple | Mapping):
        raise ExpressionError(f"{kind_of(value)} has no length")
    return len(value)


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ExpressionError(f"`{name}` takes a text, not {kind_of(value)}", hint="convert it with str()")
    return value


def _on_text(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    def call(*values: Any) -> Any:
        return apply(*(_string(name, value) for value in values))

    return call


def _join(items: Any, separator: Any = ",") -> str:
    if not isinstance(items, list | tuple):
        raise ExpressionError(f"`join` takes a list, not {kind_of(items)}")
    texts = [as_text(item) for item in items]
    glue = _string("join", separator)
    if sum(map(len, texts)) + len(glue) * len(texts) > MAX_TEXT:
        raise ExpressionError(f"the text becomes longer than {MAX_TEXT:,} characters")
    return glue.join(texts)


def _split(value: Any, separator: Any = None) -> list[str]:
    text = _string("split", value)
    if separator is None:
        return text.split()
    if not _string("split", separator):
        raise ExpressionError("`split` cannot split at an empty text")
    return text.split(separator)


def _extreme(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    def call(*values: Any) -> Any:
        items = values[0] if len(values) == 1 and isinstance(values[0], list) else values
        if not items:
            raise ExpressionError(f"`{name}` of nothing")
        if not (all(map(_number, items)) or all(isinstance(item, str) for item in items)):
            raise ExpressionError(f"`{name}` takes numbers, or texts, but not mixed or anything else")
        return apply(items)

    return call


def _round(value: Any, digits: Any = None) -> Any:
    if not _number(value) or not (digits is None or (isinstance(digits, int) and abs(digits) <= 20)):
        raise ExpressionError("`round` takes a number, and how many digits to keep")
    return round(value, digits)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "bool": _boolean,
    "contains": contains,
    "endswith": _on_text("endswith", str.endswith),
    "float": _float,
    "int": _integer,
    "join": _join,
    "json": _json,
    "len": _length,
    "lower": _on_text("lower", str.lower),
    "max": _extreme("max", max),
    "min": _extreme("min", min),
    "round": _round,
    "split": _split,
    "startswith": _on_text("startswith", str.startswith),
    "str": as_text,
    "trim": _on_text("trim", str.strip),
    "upper": _on_text("upper", str.upper),
}
