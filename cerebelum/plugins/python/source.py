"""What identifies the code of a Python step, found by reading its source and without running it."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

from cerebelum.core.digests import sha256
from cerebelum.core.errors import CerebelumError
from cerebelum.plugins.python.call import Target, syntax_error


def function_digest(target: Target) -> str | None:
    """SHA-256 (hex) over the function's source, comments and layout aside; None if there is no source file.

    Only the function itself counts, not what it calls. Where it is not a plain `def` but assigned or imported, the
    whole file counts. Raises CerebelumError for a missing function and, with file:line:col, a syntax error.
    """
    if target.path is None:
        return None
    try:
        status = target.path.stat()
        return _digest(target.path, target.function, status.st_mtime_ns, status.st_size, status.st_ino)
    except OSError as error:
        raise CerebelumError(f"{target.path} cannot be read: {error.strerror}") from None


@functools.lru_cache(maxsize=16)
def _parsed(path: Path, *stamp: int) -> tuple[bytes, ast.Module]:
    source = path.read_bytes()
    try:
        return source, ast.parse(source, str(path))
    except (SyntaxError, ValueError) as error:
        raise syntax_error(error, path) from None
    except (RecursionError, MemoryError):
        raise CerebelumError("nested too deeply to be read", where=str(path)) from None


@functools.lru_cache(maxsize=1024)
def _digest(path: Path, function: str, *stamp: int) -> str:
    source, tree = _parsed(path, *stamp)
    found: ast.stmt | None = None
    names: set[str] = set()
    for node in _statements(tree.body):
        named = _names(node)
        names |= named
        if function in named or ("*" in named and found is None):
            found = node  # the last one counts, as in Python
    if found is None:
        import difflib

        near = difflib.get_close_matches(function, sorted(names), 1, 0.6)
        raise CerebelumError(
            f"there is no function {function} in {path}", hint=f"did you mean {near[0]}?" if near else None
        )
    if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef):
        return sha256(ast.unparse(found).encode("utf-8", "surrogatepass"))
    return sha256(source)


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of a module, those under `if`, `try`, `with` and loops included."""
    found: list[ast.stmt] = []
    for node in body:
        found.append(node)
        for field in ("body", "orelse", "finalbody"):
            inner = getattr(node, field, None)
            if isinstance(inner, list) and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found += _statements(inner)
        for handler in getattr(node, "handlers", ()):
            found += _statements(handler.body)
    return found


def _names(node: ast.stmt) -> set[str]:
    """The names a statement defines; `*` for whatever a star import brings."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.For | ast.With | ast.AugAssign):
        return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    return set()
