"""Compiles cerebelum's own modules without what is for readers and type checkers alone: 1 to 2 ms of each command.

That is the annotations and the docstrings of functions; those of classes are used by the program itself. What the docs
let users' code import stays whole. Lines are counted as before, so tracebacks are the same.
"""

from __future__ import annotations

import ast
import marshal
import sys
from pathlib import Path
from types import CodeType

PACKAGE = "cerebelum"
_WHOLE = (
    *("__init__.py", "hookspecs.py", "testing.py", "sdk", "backends/conformance", "backends/sqlite/store.py"),
    *(f"core/{name}.py" for name in ("durations", "errors", "events", "model", "outcome", "summary", "typed")),
    *("steps/context.py", "steps/executor.py", "steps/suspension.py", "store/contract.py", "store/facts.py"),
)
_PYC_HEADER = 16


class _Bare(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self._strip(node)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        self._strip(node)
        return node

    def _strip(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.generic_visit(node)
        node.returns = None
        given = node.args
        for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
            if argument is not None:
                argument.annotation = None
        if ast.get_docstring(node, clean=False) is not None:
            # A function that was nothing else says so, and its line stays.
            node.body = node.body[1:] or [ast.copy_location(ast.Pass(), node.body[0])]


def bare(source: str, name: str) -> CodeType:
    """The code of a module without these."""
    return compile(_Bare().visit(ast.parse(source)), name, "exec", dont_inherit=True)


def is_whole(module: Path) -> bool:
    """Whether the file, as seen from the package, is left as it is."""
    return any(module.is_relative_to(whole) for whole in _WHOLE)


def lay_bare(library: Path, root: Path) -> int:
    """Compile anew all modules of the package in `library`, from their sources in `root`; returns how many."""
    count = 0
    for compiled in sorted((library / PACKAGE).rglob("*.pyc")):
        path = compiled.relative_to(library).with_suffix(".py")
        if is_whole(path.relative_to(PACKAGE)):
            continue
        header = compiled.read_bytes()[:_PYC_HEADER]
        compiled.write_bytes(header + marshal.dumps(bare((root / path).read_text("utf-8"), path.as_posix())))
        count += 1
    return count


if __name__ == "__main__":
    print(f"{lay_bare(*map(Path, sys.argv[1:]))} modules of ours are without annotations")
