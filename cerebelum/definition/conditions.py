"""What can be said of a condition before anything runs: whether it can come to true or false at all."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from cerebelum.core.model import Input

_NEVER = {
    **dict.fromkeys(("str", "json", "lower", "upper", "trim", "join"), "a text"),
    **dict.fromkeys(("int", "len"), "an integer"),
    **dict.fromkeys(("float", "round"), "a number"),
    "split": "a list",
}
_TYPES = {"string": "a text", "integer": "an integer", "number": "a number", "object": "a mapping", "array": "a list"}


def never_boolean(tree: ast.expr, inputs: Mapping[str, Input]) -> str | None:
    """What the expression always comes to instead of true or false, in words; None if it may come to one of them."""
    match tree:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=value):
            words = {str: "a text", int: "an integer", float: "a number"}
            return words.get(type(value), "nothing")
        case ast.List() | ast.Tuple():
            return "a list"
        case ast.Dict():
            return "a mapping"
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            return "a number"
        case ast.BinOp():
            return "a number or a text"
        case ast.BoolOp(values=values):
            # It comes to one of them.
            return _all([never_boolean(value, inputs) for value in values])
        case ast.IfExp(body=body, orelse=orelse):
            return _all([never_boolean(body, inputs), never_boolean(orelse, inputs)])
        case ast.Call(func=ast.Name(id=name)):
            return _NEVER.get(name)
        case ast.Subscript(value=ast.Name(id="inputs"), slice=ast.Constant(value=str(name))) if name in inputs:
            return _TYPES.get(inputs[name].type)
        case _:
            return None


def _all(found: list[str | None]) -> str | None:
    return found[0] if found and None not in found else None
