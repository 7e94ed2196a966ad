"""What identifies the code of a function: its own source and that of what it wraps, comments and layout aside."""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Callable
from types import CodeType
from typing import Any, TypeAlias

from cerebelum.core.digests import sha256

_Found: TypeAlias = dict[int, list[tuple[str, str]]]
"""Names and texts of the functions that begin on each line, decorators left out."""
_read: dict[str, tuple[list[str], _Found]] = {}


class Fingerprints:
    """Of the functions of one workflow: whether a file has changed is looked at once for all of them."""

    def __init__(self) -> None:
        self._files: dict[str, _Found] = {}

    def of(self, function: Callable[..., Any]) -> str:
        """SHA-256 (hex) over the source of a function and of every function under its `functools.wraps`.

        Decorators' own arguments do not count, and neither does what it calls. Without a source the compiled code
        counts.
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
            parts.append(self._text(code) if code is not None else repr(type(current)))
            current = getattr(current, "__wrapped__", None)
        return sha256("\n".join(parts).encode("utf-8", "surrogatepass"))

    def _text(self, code: CodeType) -> str:
        path = code.co_filename
        functions = self._files.get(path)
        if functions is None:
            functions = self._files[path] = _functions_in(path)
        named = [text for name, text in functions.get(code.co_firstlineno, ()) if name == code.co_name]
        return named[0] if len(named) == 1 else _compiled(code)


def _functions_in(path: str) -> _Found:
    """Those of a file as it is now; none where there is no source."""
    linecache.checkcache(path)
    lines = linecache.getlines(path)
    known = _read.get(path)
    # The very same list as long as the file is the same.
    if known is None or known[0] is not lines:
        known = _read[path] = lines, _functions("".join(lines))
    return known[1]


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
