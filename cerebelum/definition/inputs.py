"""Checks the values a user gives for a workflow's inputs, all at once, and passes them on as variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from cerebelum.core.errors import UsageError
from cerebelum.core.model import Input, InputType, Workflow
from cerebelum.core.strict_json import loads
from cerebelum.definition.findings import did_you_mean, listed, quoted
from cerebelum.definition.nodes import kind_of
from cerebelum.definition.operations import as_text

MAX_INPUT_BYTES = 128_000
"""What one environment variable can carry (Linux allows 128 KiB with its name)."""
MAX_INPUTS_BYTES = 1024 * 1024

_INTEGER = r"[-+]?\d{1,19}"
_NUMBER = r"[-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][-+]?\d{1,4})?"
_WORDS = {
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "list": "a list",
    "object": "a mapping",
}
_LONGEST_SHOWN = 60
_UNSTORABLE = "[\x00\ud800-\udfff]"


class Text(str):
    """A value as typed on a command line: it becomes whatever type the input is declared with."""

    __slots__ = ()


class Unfit(ValueError):
    """A value does not fit its input; the message says why."""


def input_variable(name: str) -> str:
    """The environment variable that carries an input."""
    return "INPUT_" + name.upper().replace("-", "_")


def input_env(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Inputs as environment variables: true/false, lists and mappings as JSON, one without a value as nothing."""
    return {input_variable(name): as_text(value) for name, value in inputs.items()}


def resolve_inputs(workflow: Workflow, given: Mapping[str, Any]) -> dict[str, Any]:
    """A value for every declared input: the one given, else its default, else None.

    A `Text` (from `--input k=v`) is converted to the declared type; anything else has to be of that type already.
    Raises UsageError that names everything that is missing, unknown, wrong, or too large.
    """
    problems: list[str] = []
    for name in given if not workflow.free_inputs else ():
        if name not in workflow.inputs:
            hint = did_you_mean(name, workflow.inputs)
            declared = f"declared are {listed(workflow.inputs)}" if workflow.inputs else "the workflow has no inputs"
            problems.append(f"there is no input {quoted(name)}; {hint or declared}")
    values: dict[str, Any] = {}
    total = 0
    free = {name: _declaration(value) for name, value in given.items() if name not in workflow.inputs}
    for name, declared_input in {**workflow.inputs, **free}.items():
        try:
            value = values[name] = _resolved(declared_input, given.get(name))
            total += len(as_text(value).encode())
        except Unfit as e:
            problems.append(f"input {quoted(name)}: {e}")
    if total > MAX_INPUTS_BYTES:
        problems.append(f"the inputs are {total:,} bytes together, at most {MAX_INPUTS_BYTES:,} are possible")
    if problems:
        raise UsageError("\n".join(problems), where=workflow.name)
    return values


def _declaration(value: Any) -> Input:
    """What an input that nobody declared is taken as: what it is."""
    return Input(type=next((name for name, fits in _FITS.items() if fits(value)), "string"))


def _resolved(declared: Input, given: Any) -> Any:
    if given is None:
        if declared.required:
            example = f"; {declared.description}" if declared.description else ""
            raise Unfit(f"is missing, it has to be {_WORDS[declared.type]}{example}")
        return declared.default if declared.has_default else None
    if isinstance(given, str) and len(given) > MAX_INPUT_BYTES:
        raise Unfit(_too_large(len(given.encode("utf-8", "surrogatepass"))))
    value = _converted(declared.type, given) if isinstance(given, Text) else given
    if (problem := value_problem(declared, value)) is not None:
        raise Unfit(problem)
    return value


def _too_large(size: int) -> str:
    return f"is {size:,} bytes, at most {MAX_INPUT_BYTES:,} are possible; pass a file's path instead"


def _converted(of: str, text: str) -> Any:
    """A typed value from a text, for the declared type."""
    if of == "string":
        return str(text)
    stripped = text.strip()
    if of == "boolean" and stripped in {"true", "false"}:
        return stripped == "true"
    if of == "integer" and re.fullmatch(_INTEGER, stripped, re.ASCII):
        return int(stripped)
    if of == "number" and re.fullmatch(_NUMBER, stripped, re.ASCII):
        return int(stripped) if re.fullmatch(_INTEGER, stripped, re.ASCII) else float(stripped)
    if of in {"list", "object"}:
        try:
            return loads(stripped)
        except ValueError as e:
            raise Unfit(f"is not JSON: {e}; write it like {'[1, 2]' if of == 'list' else '{}'}") from None
    hint = "; write true or false" if of == "boolean" else ""
    raise Unfit(f"has to be {_WORDS[of]}, not {_shown(text)}{hint}")


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, str) else as_text(value)
    return repr(text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…")


_FITS: dict[InputType, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def value_problem(declared: Input, value: Any) -> str | None:
    """Why a value does not fit its declaration; None if it does."""
    if not _FITS[declared.type](value):
        return f"has to be {_WORDS[declared.type]}, this is {kind_of(value)}"
    import json

    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError, TypeError):
        return "cannot be recorded: it is not finite, or nested too deeply"
    if not text.isprintable() and re.search(_UNSTORABLE, text):
        return "contains half of a surrogate pair"
    if "\\u0000" in text and _has_nul(value):
        return "contains a NUL character"
    size = len(as_text(value).encode())
    if size > MAX_INPUT_BYTES:
        return _too_large(size)
    if isinstance(value, int | float) and not -(2**63) <= value < 2**63 and isinstance(value, int):
        return "does not fit into 64 bits"
    return _constraint_problem(declared, value)


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))


def _constraint_problem(declared: Input, value: Any) -> str | None:
    if declared.minimum is not None and value < declared.minimum:
        return f"{as_text(value)} is less than {declared.minimum}"
    if declared.maximum is not None and value > declared.maximum:
        return f"{as_text(value)} is more than {declared.maximum}"
    if declared.pattern is not None:
        from cerebelum.definition import patterns

        try:
            if not patterns.matches(declared.pattern, value):
                return f"{_shown(value)} does not match the pattern {declared.pattern}"
        except patterns.TooLong:
            limit = f"{patterns.SECONDS:g} s"
            return f"to match {_shown(value)} with the pattern {declared.pattern} takes longer than {limit}"
    if declared.choices and not any(value == choice and type(value) is type(choice) for choice in declared.choices):
        hint = did_you_mean(value, [str(c) for c in declared.choices]) if isinstance(value, str) else None
        every = ", ".join(as_text(choice) for choice in declared.choices[:20])
        return f"{_shown(value)} is not one of {every}" + (f"; {hint}" if hint else "")
    return None


def parse_inputs_file(text: str, name: str) -> dict[str, Any]:
    """The inputs in a JSON object or YAML mapping; `name` is the file's, for messages.

    In YAML, an unquoted scalar becomes a `Text`, so that `version: 3.10` stays what it looks like for a string input.
    Raises UsageError with the position of what is wrong.
    """
    text = text.removeprefix("\ufeff")
    if name.endswith(".json") or (text.lstrip().startswith("{") and not name.endswith((".yaml", ".yml"))):
        return _json_inputs(text, name)
    return _yaml_inputs(text, name)


def _json_inputs(text: str, name: str) -> dict[str, Any]:
    import json

    try:
        values = loads(text)
    except json.JSONDecodeError as e:
        raise UsageError(f"broken JSON: {e.msg}", where=f"{name}:{e.lineno}:{e.colno}") from None
    except ValueError as e:
        raise UsageError(f"broken JSON: {e}", where=name) from None
    if not isinstance(values, dict):
        raise UsageError(f"expected an object of inputs, this is {kind_of(values)}", where=f"{name}:1:1")
    return values


def _yaml_inputs(text: str, name: str) -> dict[str, Any]:
    from cerebelum.definition.findings import Findings
    from cerebelum.definition.nodes import Scalar, Table, kind, plain
    from cerebelum.definition.reading import read

    found = Findings(name)
    node = read(text, found)
    if len(found):
        raise UsageError(found.error().message) from None
    if node is None:
        raise UsageError("the file is empty", where=name, hint="write `name: value` lines, or {} for no inputs")
    if not isinstance(node, Table):
        message = f"expected a mapping of inputs, this is {kind(node)}"
        raise UsageError(message, where=f"{name}:{node.line}:{node.column}")
    return {
        key: Text(item.text) if isinstance(item, Scalar) and not item.quoted and item.value is not None else plain(item)
        for key, item in node.entries.items()
    }
