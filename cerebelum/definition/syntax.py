"""What `${{ … }}` may contain, checked before anything runs: texts are split, expressions become safe syntax trees.

An expression is rewritten token by token into the Python it stands for (`steps.my-step.output` becomes
`steps["my-step"]["output"]`, `&&` becomes `and`), so that Python's own parser can build the tree and no attribute
access is left in it.
"""

from __future__ import annotations

import ast
import keyword
import re
import warnings
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import msgspec

from cerebelum.core.errors import ExpressionError
from cerebelum.definition.findings import did_you_mean, listed, quoted

ROOTS = ("inputs", "steps", "execution", "env")
CONSTANTS = {"true": "True", "false": "False", "null": "None", "True": "True", "False": "False", "None": "None"}
FUNCTIONS: dict[str, tuple[int, int]] = {
    "bool": (1, 1),
    "contains": (2, 2),
    "default": (2, 2),
    "endswith": (2, 2),
    "float": (1, 1),
    "int": (1, 1),
    "join": (1, 2),
    "json": (1, 1),
    "len": (1, 1),
    "lower": (1, 1),
    "max": (1, 100),
    "min": (1, 100),
    "round": (1, 2),
    "split": (1, 2),
    "startswith": (2, 2),
    "str": (1, 1),
    "trim": (1, 1),
    "upper": (1, 1),
}
"""Each function with the least and the most arguments it takes."""
MAX_LENGTH = 4096
MAX_TREE_DEPTH = 60

Reference = tuple[str | int, ...]
"""A chain of constant keys that starts with a root: `("steps", "build", "output")`."""

_OPEN = r"\$\$\{\{|\$\{\{"
_INSIDE = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[{}]"""
_TOKEN = r"""(?P<space>\s+)
    |(?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<op>&&|\|\||==|!=|<=|>=|\*\*|//|[-+*/%<>!()\[\]{},:.])"""
_SEGMENT = r"[A-Za-z_][A-Za-z0-9_-]*"
_OPERATORS = {"&&": "and", "||": "or", "!": "~"}
_KEYWORDS = frozenset({"and", "or", "not", "in", "if", "else"})
_ESCAPE = r"\\(.)"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
_HINTS = {
    "=": "compare with `==`",
    "?": "write `a if condition else b`",
    "&": "write `and` or `&&`",
    "|": "write `or` or `||`",
    "'": "a quote is not closed",
    '"': "a quote is not closed",
    "~": "write `not` or `!`",
}


class BadSyntax(ExpressionError):
    """An expression is not written correctly; `opening` counts the `${{` of its text, from 0."""

    def __init__(self, message: str, *, hint: str | None = None, opening: int = 0, offset: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.opening = opening
        self.offset = offset
        """Characters between the `${{` (its first character) and what is wrong."""


class Part(msgspec.Struct, frozen=True):
    """A piece of a text: literal, or the inside of one `${{ … }}`."""

    text: str
    expression: bool


def has_expression(text: str) -> bool:
    """Whether `text` contains `${{` (an escaped one counts: it still has to be evaluated)."""
    return "${{" in text


@lru_cache(maxsize=4096)
def split(text: str) -> tuple[Part, ...]:
    """The literal pieces and expressions of a text, `$${{` unescaped. BadSyntax if a `${{` is not closed."""
    parts: list[Part] = []
    literal: list[str] = []
    at = openings = 0
    if "${{" not in text:
        return (Part(text, False),) if text else ()
    opening = re.compile(_OPEN)
    while found := opening.search(text, at):
        literal.append(text[at : found.start()])
        if len(found[0]) == 4:
            literal.append("${{")
            at = found.end()
            continue
        end = _closing(text, found.end())
        if end is None:
            raise BadSyntax("`${{` is not closed by `}}`", hint="a literal one is written `$${{`", opening=openings)
        if before := "".join(literal):
            parts.append(Part(before, False))
        literal = []
        parts.append(Part(text[found.end() : end], True))
        at = end + 2
        openings += 1
    if after := "".join(literal) + text[at:]:
        parts.append(Part(after, False))
    return tuple(parts)


def _closing(text: str, at: int) -> int | None:
    depth = 0
    inside = re.compile(_INSIDE, re.DOTALL)
    while found := inside.search(text, at):
        at = found.end()
        if found[0] == "{":
            depth += 1
        elif found[0] == "}":
            if depth:
                depth -= 1
            elif text.startswith("}}", found.start()):
                return found.start()
    return None


@lru_cache(maxsize=4096)
def parse(expression: str) -> ast.expr:
    """The checked syntax tree of one expression (what stands between `${{` and `}}`). BadSyntax if it is not one."""
    if not expression.strip():
        raise BadSyntax("the expression is empty")
    if len(expression) > MAX_LENGTH:
        raise BadSyntax(f"the expression is longer than {MAX_LENGTH} characters")
    source, offsets = _translated(expression)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, mode="eval")
    except SyntaxError as e:
        at = _original(offsets, (e.offset or 1) - 1)
        raise BadSyntax(f"{quoted(expression.strip())} is not an expression", hint=_why(e), offset=at) from None
    except (RecursionError, MemoryError, ValueError, OverflowError):
        raise BadSyntax("the expression is too deeply nested") from None
    _check_tree(tree, offsets)
    return tree.body


def _why(error: SyntaxError) -> str | None:
    text = error.msg
    if "was never closed" in text or "unmatched" in text or "does not match" in text:
        return "the brackets do not match"
    return "an operator or a value is missing here" if "invalid syntax" in text else None


def _original(offsets: list[tuple[int, int]], at: int) -> int:
    return next((original for emitted, original in reversed(offsets) if emitted <= at), 0)


def _translated(expression: str) -> tuple[str, list[tuple[int, int]]]:
    """Python source for an expression, and where its tokens were: pairs of (offset in the source, original offset)."""
    out: list[str] = []
    offsets: list[tuple[int, int]] = []
    length = at = 0
    before = ""
    token, key = re.compile(_TOKEN, re.VERBOSE | re.ASCII | re.DOTALL), re.compile(_SEGMENT, re.ASCII)
    while at < len(expression):
        match = token.match(expression, at)
        if match is None:
            found = expression[at]
            raise BadSyntax(f"unexpected {quoted(found)}", hint=_HINTS.get(found), offset=at)
        if match.lastgroup == "space":
            at = match.end()
            continue
        start, text = at, match[0]
        at = match.end()
        if text == "." and match.lastgroup == "op":
            segment = key.match(expression, at)
            if before not in {")", "]", "}", "value"} or segment is None:
                raise BadSyntax("unexpected `.`", offset=start)
            at = segment.end()
            piece = f"[{segment[0]!r}]"
            before = "value"
        else:
            piece = _piece(match, expression)
            before = "value" if match.lastgroup in {"name", "string"} and piece not in _KEYWORDS else text
        offsets.append((length, start))
        out.append(piece)
        length += len(piece) + 1
    return " ".join(out), offsets


def _piece(match: re.Match[str], expression: str) -> str:
    text = match[0]
    if match.lastgroup == "string":
        return repr(re.sub(_ESCAPE, lambda m: _ESCAPES.get(m[1], m[0]), text[1:-1], flags=re.DOTALL))
    if match.lastgroup == "op":
        return _OPERATORS.get(text, text)
    if match.lastgroup == "number":
        if len(text) > 40:
            raise BadSyntax("the number is too long", offset=match.start())
        return text
    return _name(text, match.start(), expression[match.end() :].lstrip()[:1])


def _name(name: str, offset: int, following: str) -> str:
    if name in CONSTANTS:
        return CONSTANTS[name]
    if name in _KEYWORDS or name in ROOTS:
        return name
    if following == "(" and name not in FUNCTIONS:
        hint = did_you_mean(name, FUNCTIONS) or f"there are {listed(FUNCTIONS, 30)}"
        raise BadSyntax(f"there is no function {quoted(name)}", hint=hint, offset=offset)
    if following == "(":
        return name
    if name == "secrets":
        raise BadSyntax("secrets cannot be used in expressions", hint=SECRETS_HINT, offset=offset)
    what = "is not part of the expression language" if keyword.iskeyword(name) else "is not a known name"
    hint = did_you_mean(name, ROOTS) or f"expressions know {listed(ROOTS)}; a text needs quotes"
    raise BadSyntax(f"{quoted(name)} {what}", hint=hint, offset=offset)


SECRETS_HINT = "a step's process finds each of its secrets in the environment variable of that name"


def _check_tree(tree: ast.Expression, offsets: list[tuple[int, int]]) -> None:
    level: list[ast.AST] = [tree]
    for _ in range(MAX_TREE_DEPTH):
        for node in level:
            _check_node(node, offsets)
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    raise BadSyntax("the expression is too deeply nested")


@cache
def _allowed() -> tuple[type[ast.AST], ...]:
    return (
        ast.Expression,
        ast.UnaryOp,
        ast.BinOp,
        ast.BoolOp,
        ast.Compare,
        ast.IfExp,
        ast.Call,
        ast.Name,
        ast.Subscript,
        ast.Slice,
        ast.Constant,
        ast.List,
        ast.Dict,
        ast.operator,
        ast.unaryop,
        ast.boolop,
        ast.cmpop,
        ast.expr_context,
    )


def _check_node(node: ast.AST, offsets: list[tuple[int, int]]) -> None:
    at = _original(offsets, getattr(node, "col_offset", 0))
    if not isinstance(node, _allowed()) or (isinstance(node, ast.Dict) and None in node.keys):
        names = {ast.Tuple: "use [ ] for a list", ast.Set: "use [ ] for a list"}
        raise BadSyntax("this is not part of the expression language", hint=names.get(type(node)), offset=at)
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name) or node.keywords:
            raise BadSyntax(
                "only the named functions can be called", hint=f"there are {listed(FUNCTIONS, 30)}", offset=at
            )
        if node.func.id not in FUNCTIONS:
            raise BadSyntax(f"there is no function {quoted(node.func.id)}", offset=at)
        least, most = FUNCTIONS[node.func.id]
        if not least <= len(node.args) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise BadSyntax(f"{quoted(node.func.id)} takes {wanted} arguments, not {len(node.args)}", offset=at)


def check_syntax(text: str) -> None:
    """BadSyntax (an ExpressionError) if a text with `${{ … }}` in it is not written correctly."""
    for opening, part in enumerate(p for p in split(text) if p.expression):
        try:
            parse(part.text)
        except BadSyntax as e:
            e.opening = opening
            e.offset += 3
            raise


def chain(node: ast.expr) -> Reference | None:
    """`("steps", "build", "output")` for a node that is a root, or constant keys below one."""
    keys: list[str | int] = []
    while isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        keys.append(node.slice.value)  # type: ignore[arg-type]  # the tokens allow no other constants
        node = node.value
    return (node.id, *reversed(keys)) if isinstance(node, ast.Name) and node.id in ROOTS else None


def expression_references(expression: str) -> list[Reference]:
    """What one expression (without `${{ }}`) refers to, each chain as far as its keys are constants."""
    found: list[Reference] = []
    pending: list[ast.AST] = [parse(expression)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.expr) and (reference := chain(node)) is not None:
            found.append(reference)
        else:
            pending.extend(ast.iter_child_nodes(node))
    return found


def spelled(reference: Reference) -> str:
    """A reference as people write it: `steps.build.output[0]`."""
    first, *rest = reference
    return str(first) + "".join(
        f".{key}" if isinstance(key, str) and re.fullmatch(_SEGMENT, key, re.ASCII) else f"[{key!r}]" for key in rest
    )


def references(value: Any) -> list[Reference]:
    """Everything the expressions in a value (texts, also inside lists and mappings) refer to.

    Each reference is a chain of constant keys that starts with a root, such as `("steps", "build", "output")`.
    """
    if isinstance(value, str):
        if not has_expression(value):
            return []
        return [ref for part in split(value) if part.expression for ref in expression_references(part.text)]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [ref for item in value for ref in references(item)] if isinstance(value, list | tuple) else []
