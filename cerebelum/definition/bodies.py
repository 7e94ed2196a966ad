"""Checks what stands under an executor's key against the executor's own types, around expressions not yet evaluated."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from cerebelum.core.durations import FORMS, Duration
from cerebelum.core.errors import UsageError
from cerebelum.core.step_kind import StepKind
from cerebelum.core.typed import convert
from cerebelum.definition.findings import did_you_mean, listed, quoted
from cerebelum.definition.nodes import kind_of
from cerebelum.definition.operations import as_text

Path = tuple[str | int, ...]

_SUFFIX = r" - at (?:`key` in )?`\$(?P<path>[^`]*)`$"
_TOKEN = r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]|(?P<any>\[\.\.\.\])"
_EXPECTED = r"Expected `(?P<wanted>[^`]+)`, got `[^`]+`$"
_FIELD = r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`$"
_LIMIT = r"Expected `\w+` (?P<of>of length )?(?P<op>[<>]=?) (?P<limit>\S+)$"
_COMPARED = {">": "more than {}", ">=": "at least {}", "<": "less than {}", "<=": "at most {}"}
_WORDS = {
    "str": "a text",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_CANDIDATES: tuple[Any, ...] = ("x", 1, 1.5, True, [], {}, None, 200, 0)
"""Tried in turn in place of an expression whose value is not known yet."""
MAX_ROUNDS = 50


class Mismatch(msgspec.Struct, frozen=True):
    """Something that does not fit its type: keys and indexes from the body's root, what is wrong, and a hint."""

    path: Path
    message: str
    hint: str | None = None
    at_key: bool = False
    """The key itself is wrong, not its value."""


class Fit(msgspec.Struct, frozen=True):
    """`value` with texts where texts are wanted, and whatever does not fit."""

    value: Any
    mismatches: list[Mismatch]


def fit(value: Any, kind: Any, written: Callable[[Path], str | None], known: bool = False) -> Fit:
    """Check plain data against a type that msgspec understands.

    `written` gives the text of the scalar at a path as it is to be used where a text is expected. Unless the value is
    `known` already, what holds `${{ … }}` passes wherever it stands.
    """
    result = checked = value
    mismatches: list[Mismatch] = []
    assumed: list[Path] = []
    for _ in range(MAX_ROUNDS):
        try:
            convert(checked, kind)
            break
        except msgspec.ValidationError as e:
            path, message = _located(str(e), checked, kind)
        here = _get(checked, path)
        if (field := re.match(_FIELD, message, re.DOTALL)) is not None:
            mismatch = _field_problem(field, path, kind)
            if not mismatch.at_key:
                if not any(path[: len(start)] == start for start in assumed):
                    mismatches.append(mismatch)
                break
            mismatches.append(mismatch)
            checked = _put(checked, path, {k: v for k, v in here.items() if k != mismatch.path[-1]})
            continue
        text = written(path) if isinstance(here, bool | int | float) else None
        if text is not None and _passes(candidate := _put(checked, path, text), kind, path):
            checked, result = candidate, _put(result, path, text)
            continue
        if _open_to_expression(here, known):
            assumed.append(path)
        else:
            mismatches.append(Mismatch(path, _phrased(message, here), _choices_hint(kind, path, here)))
        candidates = (*_CANDIDATES, *_choices(kind, path))
        replaced = next((c for v in candidates if _passes(c := _put(checked, path, v), kind, path)), None)
        if replaced is None:
            break
        checked = replaced
    return Fit(result, mismatches)


def check_body(executor: StepKind, value: Any) -> Any:
    """The evaluated body of a step as its executor takes it. UsageError, naming everything, if it does not fit."""
    return _checked(executor.key, value, executor.body)


def check_options(executor: StepKind, options: dict[str, Any]) -> dict[str, Any]:
    """The evaluated further keys of a step as its executor takes them. UsageError if one does not fit."""
    return typing.cast(dict[str, Any], _checked("", options, executor.options)) if options else options


def _checked(key: str, value: Any, kind: Any) -> Any:
    done = fit(value, kind, lambda path: as_text(_get(value, path)), known=True)
    if done.mismatches:
        lines = [
            f"{spelled_path(key, m.path)}: {m.message}" + (f"; {m.hint}" if m.hint else "") for m in done.mismatches
        ]
        raise UsageError("\n".join(lines), hint="this is what the expressions came to")
    return done.value


def spelled_path(base: str, path: Path) -> str:
    """`http.expect.items[0]` for a base and the keys below it."""
    text = base + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text if base else text.removeprefix(".")


def option_names(executor: StepKind) -> frozenset[str]:
    """The further keys that an executor takes beside its own."""
    if executor.options is None:
        return frozenset()
    return frozenset(executor.options.__struct_encode_fields__)


def _open_to_expression(value: Any, known: bool) -> bool:
    if known:
        return False
    if isinstance(value, str):
        return "${{" in value
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, list) and any(_open_to_expression(item, known) for item in value)


def _located(error: str, value: Any, kind: Any) -> tuple[Path, str]:
    """Where in `value` msgspec found the error, and its message. `[...]` is settled by trying each entry alone."""
    suffix = re.search(_SUFFIX, error)
    if suffix is None:
        return (), error
    message = error[: suffix.start()]
    path: list[str | int] = []
    for token in re.finditer(_TOKEN, suffix["path"]):
        here = _get(value, tuple(path))
        if token["index"] is not None:
            path.append(int(token["index"]))
        elif token["name"] is not None:
            path.append(token["name"])
        elif isinstance(here, dict):
            path.append(_culprit(here, value, tuple(path), kind, error))
        else:
            break
    return tuple(path), message


def _culprit(entries: dict[str, Any], value: Any, path: Path, kind: Any, error: str) -> str:
    for key, entry in entries.items():
        try:
            convert(_put(value, path, {key: entry}), kind)
        except msgspec.ValidationError as e:
            if str(e) == error:
                return key
    return next(iter(entries))


def takes(value: Any, kind: Any, path: Path, candidate: Any) -> bool:
    """Whether the type would take `candidate` at this path of a value."""
    return _passes(_put(value, path, candidate), kind, path)


def _passes(candidate: Any, kind: Any, path: Path) -> bool:
    try:
        convert(candidate, kind)
    except msgspec.ValidationError as e:
        return _located(str(e), candidate, kind)[0] != path
    return True


def _get(value: Any, path: Path) -> Any:
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _put(value: Any, path: Path, new: Any) -> Any:
    """A copy of `value` with `new` at `path`."""
    if not path:
        return new
    copied = value.copy()
    copied[path[0]] = _put(value[path[0]], path[1:], new)
    return copied


def _field_problem(field: re.Match[str], path: Path, kind: Any) -> Mismatch:
    name = field["name"]
    if field["what"] == "missing required":
        return Mismatch(path, f"{quoted(name)} is missing")
    names = _field_names(kind, path)
    hint = did_you_mean(name, names) or (f"there is {listed(names, 30)}" if names else None)
    return Mismatch((*path, name), f"unknown key {quoted(name)}", hint, at_key=True)


def _field_names(kind: Any, path: Path) -> list[str]:
    """Names of the fields of the struct at `path` within a type; empty where that is not a single struct."""
    struct = _struct_in(_type_at(kind, path))
    return sorted(field.encode_name for field in msgspec.structs.fields(struct)) if struct else []


def _type_at(kind: Any, path: Path) -> Any:
    """The type at `path` within a type, as far as that leads through structs; else None."""
    for key in path:
        struct = _struct_in(kind)
        fields = {field.encode_name: field for field in msgspec.structs.fields(struct)} if struct else {}
        if key not in fields:
            return None
        kind = fields[str(key)].type
    return kind


def _struct_in(kind: Any) -> Any:
    options = [kind, *typing.get_args(kind)]
    structs = [k for k in options if isinstance(k, type) and issubclass(k, msgspec.Struct)]
    return structs[0] if len(structs) == 1 else None


def _choices(kind: Any, path: Path) -> list[str]:
    """The texts that a Literal at `path` within a type names."""
    wanted = _type_at(kind, path)
    options = [wanted, *typing.get_args(wanted)]
    return [str(c) for option in options if typing.get_origin(option) is Literal for c in typing.get_args(option)]


def _choices_hint(kind: Any, path: Path, value: Any) -> str | None:
    wanted = _type_at(kind, path) if path else kind
    if Duration in (wanted, *typing.get_args(wanted)):
        return FORMS
    choices = _choices(kind, path)
    if not choices or isinstance(value, list | dict):
        return None
    return did_you_mean(str(value), choices) or f"there is {listed(choices)}"


def _phrased(message: str, value: Any) -> str:
    if (match := re.match(_EXPECTED, message)) is not None:
        if value is None:
            return "is empty"
        wanted = " or ".join(_WORDS.get(word, word) for word in match["wanted"].split(" | "))
        return f"expected {wanted}, this is {kind_of(value)}"
    if (limit := re.match(_LIMIT, message)) is not None:
        than = _COMPARED[limit["op"]].format(limit["limit"].removesuffix(".0"))
        if limit["of"]:
            unit = "characters" if isinstance(value, str) else "entries"
            return f"the number of {unit} is not {than}"
        return f"{as_text(value)} is not {than}"
    if (pattern := re.match(r"Expected `str` matching regex (?P<pattern>.*)$", message)) is not None:
        return f"{quoted(value)} does not match the pattern {pattern['pattern']}"
    if message.startswith("Invalid enum value"):
        return f"{quoted(value)} is not one of the choices"
    return message[:1].lower() + message[1:]
