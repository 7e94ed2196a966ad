"""JSON values as `google.protobuf.Struct`, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

_DEEPEST = 25
"""Levels of a value. Each takes three messages, and readers refuse what is nested deeper than a hundred."""
_EXACT = 2.0**53
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def struct(value: Any) -> Struct:
    """A mapping as it is, anything else under the key `value`. What is nested too deeply becomes its JSON text."""
    given = value if isinstance(value, Mapping) else {"value": value}
    found = Struct()
    for key, each in given.items():
        _fill(found.fields[_text(str(key))], each, 1)
    return found


def _fill(into: Value, value: Any, depth: int) -> None:
    match value:
        case None:
            into.null_value = NULL_VALUE
        case bool():
            into.bool_value = value
        case int() | float():
            into.number_value = value
        case str():
            into.string_value = _text(value)
        case _ if depth >= _DEEPEST:
            into.string_value = _text(json.dumps(msgspec.to_builtins(value), ensure_ascii=False))
        case Mapping():
            into.struct_value.SetInParent()
            for key, each in value.items():
                _fill(into.struct_value.fields[_text(str(key))], each, depth + 1)
        case list() | tuple():
            into.list_value.SetInParent()
            for each in value:
                _fill(into.list_value.values.add(), each, depth + 1)
        case _:
            _fill(into, msgspec.to_builtins(value, str_keys=True), depth)


def _text(text: str) -> str:
    """Half a surrogate pair, which JSON may hold, is nothing that can be sent."""
    return text.encode("utf-8", "replace").decode()


def plain(given: Struct) -> dict[str, Any]:
    """What a Struct holds. It knows no integers: numbers that are whole become some."""
    return {key: _plain(value) for key, value in given.fields.items()}


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= _EXACT else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return plain(value.struct_value)
        case "list_value":
            return [_plain(each) for each in value.list_value.values]
        case _:
            return None


def stamp(moment: datetime | None) -> Timestamp | None:
    """A moment as gRPC writes it."""
    if moment is None:
        return None
    # As FromDatetime does, in a fifth of the time: a status has thirty of them.
    past = moment - _EPOCH
    return Timestamp(seconds=past.days * 86_400 + past.seconds, nanos=past.microseconds * 1000)
