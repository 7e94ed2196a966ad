"""What identifies the code of a function: its own source and that of what it wraps, comments and layout aside."""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Callable
from types import CodeType
from typing import Any, TypeAlias

from cerebelum.core.digests import sha256


def code_digest(function: Callable[..., Any]) -> str:
    """SHA-256 (hex) over the source of a function and of every function under its `functools.wraps`.

    Decorators' own arguments do not count, and neither does what it calls. Without a source the compiled code counts.
    """
    parts = []
    seen: set[int] = set()
    current: Any = function
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, functools.partial):
            parts.append(f"{current.args!r} {current.keywords!r}")
            current = current.func
            continue
        code = getattr(current, "__code__", None) or getattr(type(current).__call__, "__code__", None)
        parts.append(_text(code) if code is not None else repr(type(current)))
        current = getattr(current, "__wrapped__", None)
    return sha256("\n".join(parts).encode("utf-8", "surrogatepass"))


def _text(code: CodeType) -> str:
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename)
    if not lines:
        return _compiled(code)
    known = _read.get(code.co_filename)
    # The very same list as long as the file is the same.
    if known is None or known[0] is not lines:
        known = _read[code.co_filename] = lines, _functions("".join(lines))
    found = known[1].get(code.co_firstlineno, [])
    named = [text for name, text in found if name == code.co_name]
    return named[0] if len(named) == 1 else _compiled(code)


_Found: TypeAlias = dict[int, list[tuple[str, str]]]
"""Names and texts of the functions that begin on each line, decorators left out."""
_read: dict[str, tuple[list[str], _Found]] = {}


def _functions(source: str) -> _Found:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: _Found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
            line = min([node.lineno, *(each.lineno for each in decorators)])
            name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
            if not isinstance(node, ast.Lambda):
                node.decorator_list = []
            found.setdefault(line, []).append((name, ast.unparse(node)))
    return found


def _compiled(code: CodeType) -> str:
    constants = [_compiled(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {constants}"
