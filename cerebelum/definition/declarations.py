"""Reads what a workflow declares before its steps: inputs, and the defaults that steps inherit."""

from __future__ import annotations

import re
import warnings
from typing import Any

import msgspec

from cerebelum.core.model import Input
from cerebelum.core.step_kind import StepKind
from cerebelum.definition.drafts import (
    ID,
    ID_HINT,
    ON_INTERRUPT,
    Reading,
    Use,
    expressions_in,
    read_options,
)
from cerebelum.definition.fields import (
    check_keys,
    read_boolean,
    read_choice,
    read_duration,
    read_env,
    read_retry,
    read_table,
    read_text,
    sub,
)
from cerebelum.definition.findings import Findings, quoted
from cerebelum.definition.inputs import input_variable, value_problem
from cerebelum.definition.nodes import AnyNode, Listing, Scalar, Table, kind, plain

INPUT_KEYS = ("type", "required", "default", "description", "pattern", "choices", "minimum", "maximum")
INPUT_TYPES = ("string", "integer", "number", "boolean", "list", "object")
DEFAULT_KEYS = ("env", "working_dir", "timeout", "retry", "on_interrupt")


def read_inputs(found: Findings, node: AnyNode) -> dict[str, Input]:
    """The `inputs:` block."""
    table = read_table(found, node, "inputs", "a mapping of inputs")
    if table is None:
        return {}
    inputs: dict[str, Input] = {}
    variables: dict[str, str] = {}
    for name, value in table.entries.items():
        path = sub("inputs", name)
        spot = table.spots[name]
        if not ID.fullmatch(name):
            found.add(spot, "inputs", f"{quoted(name)} cannot be the name of an input", ID_HINT)
            continue
        variable = input_variable(name)
        if (other := variables.setdefault(variable, name)) != name:
            found.add(
                spot, "inputs", f"{quoted(name)} and {quoted(other)} would both be the variable {quoted(variable)}"
            )
        inputs[name] = _read_input(found, value, path)
    return inputs


def _read_input(found: Findings, node: AnyNode, path: str) -> Input:
    if isinstance(node, Scalar) and node.value is None:
        return Input()
    if not isinstance(node, Table):
        found.add(node, path, f"expected a mapping, this is {kind(node)}", "such as {type: string, default: abc}")
        return Input()
    check_keys(found, node, path, INPUT_KEYS)
    entries = node.entries
    values: dict[str, Any] = {}
    if "type" in entries:
        values["type"] = read_choice(found, entries["type"], f"{path}.type", INPUT_TYPES) or "string"
    of = values.get("type", "string")
    if "required" in entries:
        values["required"] = read_boolean(found, entries["required"], f"{path}.required") or False
    if "description" in entries:
        values["description"] = read_text(found, entries["description"], f"{path}.description")
    if "pattern" in entries:
        values["pattern"] = _read_pattern(found, entries["pattern"], f"{path}.pattern", of)
    for key in ("minimum", "maximum"):
        if key in entries:
            values[key] = _read_limit(found, entries[key], f"{path}.{key}", of)
    if "choices" in entries:
        values["choices"] = _read_choices(found, entries["choices"], f"{path}.choices", Input(**values))
    _check_limits(found, node, path, values)
    if "default" in entries:
        _read_default(found, node, path, values)
    return Input(**values)


def _check_limits(found: Findings, node: Table, path: str, values: dict[str, Any]) -> None:
    low, high = values.get("minimum"), values.get("maximum")
    if low is not None and high is not None and low > high:
        found.add(node.spots["maximum"], f"{path}.maximum", f"{high} is less than the minimum {low}")


def _read_default(found: Findings, node: Table, path: str, values: dict[str, Any]) -> None:
    default = node.entries["default"]
    if values.get("required"):
        found.add(node.spots["default"], f"{path}.default", "a required input has no default", "leave out one of them")
    if isinstance(default, Scalar) and default.value is None:
        return
    values["default"] = _typed(default, values.get("type", "string"))
    values["has_default"] = True
    if (problem := value_problem(Input(**values), values["default"])) is not None:
        found.add(default, f"{path}.default", problem)


def _typed(node: AnyNode, of: str) -> Any:
    """The value of a node; where a text is wanted, an unquoted number or word keeps what is written."""
    return node.text if of == "string" and isinstance(node, Scalar) and node.value is not None else plain(node)


def _read_pattern(found: Findings, node: AnyNode, path: str, of: str) -> str | None:
    text = read_text(found, node, path)
    if text is None:
        return None
    if of != "string":
        found.add(node, path, f"a pattern is for inputs of type string, this is of type {of}")
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text)
    except (re.error, RecursionError, OverflowError) as e:
        found.add(node, path, f"{quoted(text)} is not a regular expression: {e}", "as Python's re module writes them")
        return None
    return text


def _read_limit(found: Findings, node: AnyNode, path: str, of: str) -> float | int | None:
    value = plain(node)
    if of not in {"integer", "number"}:
        found.add(node, path, f"a limit is for inputs of type integer or number, this is of type {of}")
    elif isinstance(value, bool) or not isinstance(value, int | float):
        found.add(node, path, f"expected a number, this is {kind(node)}")
    else:
        return value
    return None


def _read_choices(found: Findings, node: AnyNode, path: str, declared: Input) -> tuple[Any, ...]:
    if not isinstance(node, Listing) or not node.items:
        what = "is empty" if isinstance(node, Listing) else f"expected a list, this is {kind(node)}"
        found.add(node, path, what)
        return ()
    import json

    choices: list[Any] = []
    for index, item in enumerate(node.items):
        value = _typed(item, declared.type)
        if (problem := value_problem(declared, value)) is not None:
            found.add(item, f"{path}[{index}]", problem)
        else:
            choices.append(value)
    seen = {json.dumps(choice, sort_keys=True) for choice in choices}
    if len(seen) < len(choices):
        found.add(node, path, "a choice appears twice")
    return tuple(choices)


class Defaults(msgspec.Struct):
    """What steps inherit where they do not say it themselves."""

    env: dict[str, Scalar] = msgspec.field(default_factory=dict)
    values: dict[str, Any] = msgspec.field(default_factory=dict)
    options: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    """Further keys by executor."""
    uses: list[Use] = msgspec.field(default_factory=list)


def read_defaults(reading: Reading, node: AnyNode) -> Defaults:
    """The `defaults:` block."""
    found = reading.found
    defaults = Defaults()
    table = read_table(found, node, "defaults")
    if table is None:
        return defaults
    options = frozenset().union(*reading.options.values()) - frozenset(DEFAULT_KEYS)
    check_keys(found, table, "defaults", frozenset(DEFAULT_KEYS) | options)
    entries = table.entries
    if "env" in entries:
        defaults.env = read_env(found, entries["env"], "defaults.env")
        for name, value in defaults.env.items():
            defaults.uses.extend(expressions_in(reading, value, sub("defaults.env", name), name))
    if "working_dir" in entries:
        defaults.values["working_dir"] = read_text(found, entries["working_dir"], "defaults.working_dir")
        defaults.uses.extend(expressions_in(reading, entries["working_dir"], "defaults.working_dir"))
    if "timeout" in entries:
        defaults.values["timeout"] = read_duration(found, entries["timeout"], "defaults.timeout")
    if "retry" in entries:
        defaults.values["retry"] = read_retry(found, entries["retry"], "defaults.retry")
    if "on_interrupt" in entries:
        path = "defaults.on_interrupt"
        defaults.values["on_interrupt"] = read_choice(found, entries["on_interrupt"], path, ON_INTERRUPT)
    defaults.values = {key: value for key, value in defaults.values.items() if value is not None}
    for key, executor in reading.executors.items():
        _read_default_options(reading, table, key, executor, defaults)
    return defaults


def _read_default_options(reading: Reading, table: Table, key: str, executor: StepKind, defaults: Defaults) -> None:
    own = reading.options[key] - frozenset(DEFAULT_KEYS)
    chosen = {name: node for name, node in table.entries.items() if name in own}
    if chosen:
        defaults.options[key], uses = read_options(reading, table, chosen, executor, "defaults")
        defaults.uses.extend(uses)
