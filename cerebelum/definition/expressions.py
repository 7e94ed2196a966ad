"""Evaluates `${{ … }}`: one small, safe expression language over inputs, steps, execution and env.

A text that is exactly one expression keeps the type of its value; otherwise values are put into the text.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from cerebelum.core.errors import ExpressionError
from cerebelum.definition.findings import did_you_mean, listed, quoted
from cerebelum.definition.nodes import kind_of
from cerebelum.definition.operations import FUNCTIONS, MAX_TEXT, as_text, operators
from cerebelum.definition.syntax import (
    ROOTS,
    BadSyntax,
    chain,
    check_syntax,
    has_expression,
    parse,
    references,
    spelled,
    split,
)

__all__ = ["ROOTS", "BadSyntax", "as_text", "check_syntax", "evaluate", "has_expression", "references", "truthy"]


class Missing(ExpressionError):
    """A key, item or step that an expression asks for is not there."""


def evaluate(value: Any, scope: Mapping[str, Any]) -> Any:
    """The value with every `${{ … }}` in its texts replaced, through lists and mappings; keys stay as they are.

    `scope` maps `inputs`, `steps`, `execution` and `env` to plain JSON data (`steps` by id, each with `output` and
    `status`). Raises ExpressionError that names what is missing and the nearest name, or why a value does not fit.
    """
    if isinstance(value, str):
        return _text(value, scope) if has_expression(value) else value
    if isinstance(value, Mapping):
        return {key: evaluate(item, scope) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [evaluate(item, scope) for item in value]
    return value


def truthy(value: Any) -> bool:
    """How a condition's value counts: null, false, 0, and the empty text, list and mapping do not hold."""
    return bool(value)


def _text(text: str, scope: Mapping[str, Any]) -> Any:
    parts = split(text)
    if len(parts) == 1 and parts[0].expression:
        return _value(parts[0].text, scope)
    pieces = [as_text(_value(part.text, scope)) if part.expression else part.text for part in parts]
    if sum(map(len, pieces)) > MAX_TEXT:
        raise ExpressionError(
            f"the text becomes longer than {MAX_TEXT:,} characters", hint="pass a file's path instead"
        )
    return "".join(pieces)


def _value(expression: str, scope: Mapping[str, Any]) -> Any:
    inside = expression.strip()
    where = "${{ " + (inside if len(inside) <= 80 else inside[:79] + "…") + " }}"
    try:
        result = _evaluator()(scope).run(parse(expression))
        _check_result(result)
    except ExpressionError as e:
        e.where = where
        raise
    except ZeroDivisionError:
        raise ExpressionError("division by zero", where=where) from None
    except OverflowError:
        raise ExpressionError("a number becomes too large", where=where) from None
    except RecursionError:
        raise ExpressionError("the value is too deeply nested", where=where) from None
    except (TypeError, ValueError) as e:
        raise ExpressionError(str(e), where=where) from None
    return result


def _check_result(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ExpressionError("a number becomes too large")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ExpressionError("a number becomes too large")


@lru_cache(maxsize=1)
def _evaluator() -> Callable[[Mapping[str, Any]], Any]:
    """The evaluator's class, made when the first expression is met: its base takes a while to import."""
    from simpleeval import SimpleEval

    class Evaluator(SimpleEval):  # type: ignore[misc]
        nodes: dict[type[ast.AST], Callable[[Any], Any]]

        def __init__(self, scope: Mapping[str, Any]) -> None:
            super().__init__(operators=operators(), functions=FUNCTIONS, names=scope)
            inherited = self.nodes
            kept = (ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Constant)
            self.nodes = {kind: inherited[kind] for kind in kept} | {
                ast.Name: self._name,
                ast.Call: self._call,
                ast.Subscript: self._subscript,
                ast.List: lambda node: [self._eval(item) for item in node.elts],
                ast.Dict: self._dict,
            }

        def run(self, node: ast.expr) -> Any:
            return self._eval(node)

        def _eval(self, node: ast.AST) -> Any:
            # The base class also walks every value in search of modules; ours are JSON data, and can be large.
            return self.nodes[type(node)](node)

        def _name(self, node: ast.Name) -> Any:
            if node.id not in self.names:
                raise Missing(f"{quoted(node.id)} is not available here")
            return self.names[node.id]

        def _call(self, node: ast.Call) -> Any:
            name = node.func.id  # type: ignore[attr-defined]
            if name == "default":
                try:
                    found = self._eval(node.args[0])
                except Missing:
                    found = None
                return self._eval(node.args[1]) if found is None else found
            return FUNCTIONS[name](*[self._eval(argument) for argument in node.args])

        def _dict(self, node: ast.Dict) -> dict[str, Any]:
            keys = [self._eval(key) for key in node.keys if key is not None]
            if bad := [key for key in keys if not isinstance(key, str)]:
                raise ExpressionError(f"a key has to be a text, not {kind_of(bad[0])}")
            return dict(zip(keys, map(self._eval, node.values), strict=True))

        def _subscript(self, node: ast.Subscript) -> Any:
            container = self._eval(node.value)
            if isinstance(node.slice, ast.Slice):
                bounds = [None if b is None else self._eval(b) for b in (node.slice.lower, node.slice.upper)]
                return _sliced(container, bounds, node)
            return _item(container, self._eval(node.slice), node)

    return Evaluator


def _sliced(container: Any, bounds: list[Any], node: ast.Subscript) -> Any:
    assert isinstance(node.slice, ast.Slice)
    if not isinstance(container, str | list) or node.slice.step is not None:
        raise ExpressionError(f"{_named(node.value)} is {kind_of(container)}, it has no [a:b]")
    if not all(b is None or (isinstance(b, int) and not isinstance(b, bool)) for b in bounds):
        raise ExpressionError("the bounds of [a:b] have to be integers")
    return container[bounds[0] : bounds[1]]


def _item(container: Any, key: Any, node: ast.Subscript) -> Any:
    if isinstance(container, Mapping):
        if isinstance(key, str) and key in container:
            return container[key]
        _missing(container, key, node)
    if isinstance(container, list | str | tuple) and isinstance(key, int) and not isinstance(key, bool):
        if -len(container) <= key < len(container):
            return container[key]
        raise Missing(f"{_named(node.value)} has {len(container)} items, there is no [{key}]")
    asked = f".{key}" if isinstance(key, str) else f"[{as_text(key)}]"
    what = "null" if container is None else kind_of(container)
    raise Missing(f"{_named(node.value)} is {what}, so it has no {quoted(asked)}")


def _missing(container: Mapping[str, Any], key: Any, node: ast.Subscript) -> None:
    names = [str(name) for name in container]
    hint = did_you_mean(str(key), names[:1000])
    if isinstance(key, str) and "-" in key and key.split("-", 1)[0] in container:
        hint = "to subtract, put spaces around the `-`"
    if hint is None:
        hint = f"there is {listed(names)}" if names else "it is empty"
    what = f"{_named(node.value)} has no {quoted(key)}"
    raise Missing(what, hint=hint)


def _named(node: ast.expr) -> str:
    reference = chain(node)
    return quoted(spelled(reference)) if reference else "the value"
