"""Inputs of a workflow that are described by a dataclass or a msgspec Struct."""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from pathlib import PurePath
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from cerebelum.core.errors import UsageError
from cerebelum.core.model import Input, InputType
from cerebelum.steps.context import copied

_TYPES: dict[Any, InputType] = {bool: "boolean", int: "integer", float: "number", str: "string"}
_CONTAINERS: dict[Any, InputType] = dict.fromkeys((list, tuple, set, frozenset), "list") | {dict: "object"}  # type: ignore[assignment]
_LEAVES = ("date", "datetime", "time", "timedelta", "Decimal", "UUID", "Path")


def declared(kind: type) -> dict[str, Input]:
    """The inputs that the fields of a dataclass or Struct declare. Raises UsageError for a type that cannot be one."""
    if not _is_record(kind):
        hint = "say what the inputs are in a class: @dataclass class Inputs: region: str"
        raise UsageError(f"inputs={kind!r} is neither a dataclass nor a msgspec Struct", hint=hint)
    hints = get_type_hints(kind)
    return {name: _input(kind, name, hints[name], default) for name, default in _defaults(kind).items()}


def refining(kind: type) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What checks inputs against the type and gives them as they are recorded. It raises UsageError."""

    def refine(values: Mapping[str, Any]) -> dict[str, Any]:
        return plain(typed(values, kind))

    return refine


def typed(values: Mapping[str, Any], kind: Any) -> Any:
    """The object of the type that recorded inputs stand for. Raises UsageError."""
    try:
        return msgspec.convert(dict(values), kind, dec_hook=_decoded)
    except msgspec.ValidationError as error:
        raise UsageError(f"the inputs do not fit {kind.__name__}: {error}") from None


def plain(inputs: Any) -> dict[str, Any]:
    """Inputs, given as a mapping or as an object of their type, as JSON has them. Raises UsageError."""
    try:
        found = _builtins({} if inputs is None else inputs)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"these inputs cannot be recorded: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise UsageError("inputs are a mapping of names to values, or an object of their type")
    return found


def _builtins(value: Any) -> Any:
    # Its tuples are no lists yet.
    return copied(msgspec.to_builtins(value, enc_hook=_encoded))


def _encoded(value: Any) -> str:
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"there is no JSON for an object of type {type(value).__name__}")


def _decoded(kind: type, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    if issubclass(kind, PurePath) and isinstance(value, str):
        return kind(value)
    raise TypeError(f"{value!r} is no {kind.__name__}")


def _is_record(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))


def _defaults(kind: Any) -> dict[str, Callable[[], Any] | None]:
    """By field: what makes its default, or None if it has none."""
    found: dict[str, Callable[[], Any] | None] = {}
    fields: Any = msgspec.structs.fields(kind) if issubclass(kind, msgspec.Struct) else dataclasses.fields(kind)
    for field in fields:
        missing = (msgspec.NODEFAULT, dataclasses.MISSING)
        if field.default not in missing:
            found[field.name] = partial(copy, field.default)
        else:
            found[field.name] = None if field.default_factory in missing else field.default_factory
    return found


def _input(owner: type, name: str, hint: Any, default: Callable[[], Any] | None) -> Input:
    options = [each for each in _alternatives(hint) if each is not type(None)]
    choices: tuple[Any, ...] = ()
    if len(options) == 1 and get_origin(options[0]) is Literal:
        choices = get_args(options[0])
        options = list(dict.fromkeys(type(choice) for choice in choices))
    elif len(options) == 1 and isinstance(options[0], type) and issubclass(options[0], enum.Enum):
        choices = tuple(member.value for member in options[0])
        options = list(dict.fromkeys(type(choice) for choice in choices))
    found = {_json_type(each) for each in options}
    if len(found) != 1 or None in found:
        raise UsageError(
            f"the input {name} of {owner.__name__} has the type {hint}, which is not one thing in JSON",
            hint="use str, int, float, bool, list, dict, a date, an Enum, a dataclass or a Struct",
        )
    value = _builtins(default()) if default else None
    return Input(
        type=found.pop() or "string",
        required=default is None,
        default=value,
        has_default=value is not None,
        choices=choices,
    )


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _json_type(kind: Any) -> InputType | None:
    kind = get_origin(kind) or kind
    if kind in _TYPES:
        return _TYPES[kind]
    for container, name in _CONTAINERS.items():
        if isinstance(kind, type) and issubclass(kind, container):
            return name
    if _is_record(kind):
        return "object"
    return "string" if getattr(kind, "__name__", "") in _LEAVES else None
