"""Reads one value of a definition as what it has to be; what it is not becomes a problem and None."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from cerebelum.core.durations import FORMS, duration
from cerebelum.core.model import Retry
from cerebelum.core.step_kind import STEP_VARIABLES
from cerebelum.definition.findings import Findings, listed, quoted
from cerebelum.definition.nodes import AnyNode, Listing, Scalar, Table, kind

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}", re.ASCII)
MAX_ATTEMPTS = 10_000


def sub(path: str, key: str) -> str:
    """The path of a key below `path`."""
    return f"{path}.{key}" if path else key


def read_table(found: Findings, node: AnyNode, path: str, what: str = "a mapping") -> Table | None:
    if isinstance(node, Table):
        return node
    found.add(node, path, f"expected {what}, this is {kind(node)}")
    return None


def check_keys(found: Findings, table: Table, path: str, known: Collection[str], more: str | None = None) -> None:
    """Report every key that is not known; `more` is the hint where no known key is near."""
    for key in table.entries:
        if key not in known:
            node, spot = table.entries[key], table.spots[key]
            hint = found.suggest(key, known) or more or f"there is {listed(sorted(known), 30)}"
            if isinstance(node, Scalar) and node.value is None and not node.text and spot.line == table.line:
                hint = "inside `{ }` a comma ends a value: put a text that contains `, ` in quotes"
            found.add(table.spots[key], path, f"unknown key {quoted(key)}", hint)


def read_text(found: Findings, node: AnyNode, path: str) -> str | None:
    """A text; an unquoted number or word keeps what is written."""
    if isinstance(node, Scalar) and node.value is not None:
        return node.text
    what = "is empty" if isinstance(node, Scalar) else f"expected a text, this is {kind(node)}"
    found.add(node, path, what)
    return None


def read_boolean(found: Findings, node: AnyNode, path: str) -> bool | None:
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    hint = None
    if isinstance(node, Scalar) and node.text.lower() in {"yes", "no", "on", "off", "true", "false"}:
        hint = "write true or false, without quotes"
    found.add(node, path, f"expected true or false, this is {kind(node)}", hint)
    return None


def read_integer(found: Findings, node: AnyNode, path: str, least: int, most: int) -> int | None:
    value = node.value if isinstance(node, Scalar) else None
    if not isinstance(value, int) or isinstance(value, bool):
        found.add(node, path, f"expected an integer, this is {kind(node)}")
    elif not least <= value <= most:
        found.add(node, path, f"{value} is not between {least} and {most}")
    else:
        return value
    return None


def read_number(found: Findings, node: AnyNode, path: str, least: float, most: float) -> float | None:
    value = node.value if isinstance(node, Scalar) else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        found.add(node, path, f"expected a number, this is {kind(node)}")
    elif not least <= value <= most:
        found.add(node, path, f"{value} is not between {least:g} and {most:g}")
    else:
        return float(value)
    return None


def read_choice(found: Findings, node: AnyNode, path: str, choices: tuple[str, ...]) -> Any:
    text = read_text(found, node, path)
    if text is None or text in choices:
        return text
    hint = found.suggest(text, choices) or f"there is {listed(choices)}"
    found.add(node, path, f"{quoted(text)} is not one of the choices", hint)
    return None


def read_duration(found: Findings, node: AnyNode, path: str, zero: bool = False) -> float | None:
    """Seconds; zero only if allowed."""
    if not isinstance(node, Scalar) or node.value is None:
        found.add(node, path, f"expected a duration, this is {kind(node)}", FORMS)
        return None
    try:
        seconds = duration(node.value)
        if not seconds and not zero:
            raise ValueError("a duration of zero makes no sense here")
    except ValueError as e:
        hint = "expressions cannot be used here" if "${{" in node.text else FORMS
        found.add(node, path, f"{quoted(node.text)}: {e}", hint)
        return None
    return seconds


def read_names(found: Findings, node: AnyNode, path: str) -> list[tuple[str, Scalar]] | None:
    """A list of texts, or a single one; each with its node."""
    items: Iterable[AnyNode]
    if isinstance(node, Scalar) and isinstance(node.value, str):
        items = [node]
    elif isinstance(node, Listing):
        items = node.items
    else:
        found.add(node, path, f"expected a list of names, this is {kind(node)}")
        return None
    names: dict[str, Scalar] = {}
    for index, item in enumerate(items):
        text = read_text(found, item, f"{path}[{index}]")
        if text is None:
            continue
        if text in names:
            found.add(item, f"{path}[{index}]", f"{quoted(text)} appears twice")
        else:
            assert isinstance(item, Scalar)
            names[text] = item
    return list(names.items())


def read_variable_name(found: Findings, name: str, place: Any, path: str) -> bool:
    """Whether `name` can be an environment variable of ours; if not, it is reported."""
    if not ENV_NAME.fullmatch(name):
        message = f"{quoted(name)} cannot be the name of an environment variable"
        found.add(place, path, message, "use letters, digits and _, not starting with a digit")
    elif name in STEP_VARIABLES:
        found.add(place, path, f"{quoted(name)} is set by cerebelum for every step", "choose another name")
    else:
        return True
    return False


def read_secrets(found: Findings, node: AnyNode, path: str) -> tuple[str, ...]:
    if isinstance(node, Table):
        hint = "list their names only; the values come from the environment"
        found.add(node, path, "expected a list of names, this is a mapping", hint)
        return ()
    names = read_names(found, node, path) or []
    return tuple(name for name, item in names if read_variable_name(found, name, item, path))


def read_env(found: Findings, node: AnyNode, path: str) -> dict[str, Scalar]:
    """The variables of an `env:` block, each with its node; wrong ones are left out."""
    table = read_table(found, node, path, "a mapping of variables")
    if table is None:
        return {}
    variables: dict[str, Scalar] = {}
    for name, value in table.entries.items():
        if not read_variable_name(found, name, table.spots[name], path):
            continue
        if not isinstance(value, Scalar):
            hint = "a list or mapping can be passed as JSON text"
            found.add(value, sub(path, name), f"a variable is a text, this is {kind(value)}", hint)
        else:
            variables[name] = value
    return variables


_RETRY_KEYS = ("attempts", "delay", "backoff", "max_delay", "jitter", "on")


def read_retry(found: Findings, node: AnyNode, path: str) -> Retry | None:
    """`retry: 3`, or a mapping with at least one of its keys."""
    if isinstance(node, Scalar) and isinstance(node.value, int) and not isinstance(node.value, bool):
        attempts = read_integer(found, node, path, 1, MAX_ATTEMPTS)
        return Retry(attempts=attempts) if attempts else None
    table = read_table(found, node, path, "a mapping or a number of attempts")
    if table is None:
        return None
    check_keys(found, table, path, _RETRY_KEYS)
    values: dict[str, Any] = {}
    for key, item in table.entries.items():
        values[key] = _read_retry_value(found, key, item, sub(path, key))
    if "attempts" not in table.entries:
        found.add(table, path, "`attempts` is missing", "say how often to try in all, such as `attempts: 3`")
    known = {key: value for key, value in values.items() if value is not None and key in _RETRY_KEYS}
    return Retry(**known)


def _read_retry_value(found: Findings, key: str, node: AnyNode, path: str) -> Any:
    if key == "attempts":
        return read_integer(found, node, path, 1, MAX_ATTEMPTS)
    if key == "delay":
        return read_duration(found, node, path, zero=True)
    if key == "max_delay":
        return read_duration(found, node, path)
    if key == "backoff":
        return read_number(found, node, path, 1, 100)
    if key == "jitter":
        return read_number(found, node, path, 0, 1)
    if key == "on":
        items = node.items if isinstance(node, Listing) else [node]
        codes = [read_integer(found, item, path, 1, 255) for item in items]
        if not items:
            found.add(node, path, "is empty", "leave it out to retry every failure")
        return tuple(code for code in codes if code is not None)
    return None
