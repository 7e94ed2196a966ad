"""What a step may hand on as its output: the file it writes, and the limits that every output keeps."""

from __future__ import annotations

import math
import os
import re
import stat
from pathlib import Path
from typing import Any

from cerebelum.core.errors import CerebelumError
from cerebelum.core.strict_json import loads

MAX_OUTPUT = 1 << 20
"""Bytes of JSON (or of the output file) that a step may hand on."""
MAX_DEPTH = 200

_KEY = r"[A-Za-z_][A-Za-z0-9_-]*"


class OutputError(CerebelumError):
    """A step's output cannot be recorded."""


def read_output_file(path: Path) -> dict[str, str] | None:
    """The keys written to `$CEREBELUM_OUTPUT`; None if nothing was. Raises OutputError (too large, malformed …)."""
    try:
        # A FIFO put in the file's place must not make us wait for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"$CEREBELUM_OUTPUT cannot be read: {error.strerror}") from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OutputError("$CEREBELUM_OUTPUT is not a regular file any more", hint="append to it with >>")
        if status.st_size > MAX_OUTPUT:
            raise too_large(status.st_size)
        if not status.st_size:
            return None
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(MAX_OUTPUT)
    finally:
        os.close(fd)
    return parse_output(data.decode("utf-8", "replace")) or None


def parse_output(text: str) -> dict[str, str]:
    """Parse `KEY=value` lines and `KEY<<END … END` blocks; the last value of a key counts, blank lines are skipped.

    Raises OutputError naming the line number of what is neither.
    """
    found: dict[str, str] = {}
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        match = re.match(_KEY, line)
        rest = line[match.end() :] if match else ""
        if match and rest.startswith("="):
            found[match[0]] = rest[1:]
        elif match and rest.startswith("<<") and rest[2:].strip():
            try:
                end = lines.index(rest[2:], number)
            except ValueError:
                raise OutputError(f"$CEREBELUM_OUTPUT line {number}: no line {rest[2:]!r} ends this block") from None
            found[match[0]] = "\n".join(lines[number:end])
            number = end + 1
        elif line.strip():
            raise OutputError(
                f"$CEREBELUM_OUTPUT line {number}: neither KEY=value nor KEY<<END: {_short(line)}",
                hint="several lines go between KEY<<END and a line END; a key has letters, digits, _ and -",
            )
    return found


def parse_json(data: bytes) -> Any:
    """The one JSON value in `data`. Raises OutputError with the position and what was there."""
    import json

    if not data.strip():
        raise OutputError("stdout is empty, but `output: json` needs one JSON value there")
    try:
        text = data.decode("utf-8")
        return to_output(loads(text), "stdout")
    except UnicodeDecodeError as error:
        raise OutputError(f"stdout is not JSON: byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        there = _short(error.doc[error.pos :].split("\n", 1)[0]) if error.pos < len(error.doc) else "the end"
        raise OutputError(
            f"stdout is not JSON: {error.msg} at line {error.lineno}, column {error.colno}, where {there} stands",
            hint="print nothing else to stdout; messages can go to stderr (>&2)",
        ) from None
    except ValueError as error:
        raise OutputError(f"stdout is not JSON: {error}") from None


def to_output(value: Any, where: str = "output") -> Any:
    """`value` as plain JSON data (dates, UUIDs, enums, dataclasses and Structs become what JSON has for them).

    Raises OutputError naming the type and the place (`output.items[3].price`) of what cannot be recorded, or if the
    JSON would be larger than MAX_OUTPUT bytes.
    """
    plain = _plain(value, where, 0)
    if plain is None or isinstance(plain, bool | int | float):
        return plain
    import msgspec

    size = len(msgspec.json.encode(plain))
    if size > MAX_OUTPUT:
        raise too_large(size)
    return plain


def too_large(size: int) -> OutputError:
    """The error for an output of `size` bytes."""
    return OutputError(
        f"the output has {size} bytes, the limit is {MAX_OUTPUT} (1 MiB)",
        hint="write large results to a file and hand on its path",
    )


def one_line(error: CerebelumError) -> str:
    """An error's message with its hint, to be recorded as why a step failed."""
    said = f"{error.where}: {error.message}" if error.where else error.message
    return clean(f"{said}; {error.hint}" if error.hint else said)


def clean(text: str, limit: int = 4096) -> str:
    """`text` as it can be recorded: no lone surrogates, the middle left out beyond `limit` characters."""
    if len(text) > limit:
        text = f"{text[: limit // 2]}\n… {len(text) - limit} characters left out …\n{text[-limit // 2 :]}"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _plain(value: Any, where: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise OutputError(f"{where[:80]} … is nested deeper than {MAX_DEPTH} levels (or contains itself)")
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return _text(value, where)
    if kind is int:
        if not -(1 << 63) <= value < 1 << 64:
            raise OutputError(f"{where} is an integer beyond 64 bits", hint="hand it on as text")
        return value
    if kind is float:
        if not math.isfinite(value):
            raise OutputError(f"{where} is {value}, which JSON cannot say")
        return value
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, dict):
        plain = {_key(key, where): _plain(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
        if len(plain) < len(value):
            raise OutputError(f"{where} has keys that are the same as text", hint="such as 1 and '1'")
        return plain
    return _other(value, where, depth)


def _text(value: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise OutputError(
            f"{where} is text with a lone surrogate (character {error.start}), which UTF-8 cannot say",
            hint="decode bytes with errors='replace'",
        ) from None
    return value


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        import msgspec

        try:
            [key] = msgspec.to_builtins({key: None}, str_keys=True)
        except (TypeError, ValueError, OverflowError):
            raise OutputError(
                f"{where} has the key {key!r} of type {type(key).__name__}",
                hint="keys are text, or numbers, dates, UUIDs and enums, which become text",
            ) from None
    return _text(str(key), f"a key of {where}")


def _other(value: Any, where: str, depth: int) -> Any:
    import dataclasses
    import datetime as dt
    import decimal
    import enum
    import uuid

    import msgspec

    if isinstance(value, enum.Enum):
        return _plain(value.value, where, depth + 1)
    if isinstance(value, set | frozenset):
        items = [_plain(item, f"{where}{{…}}", depth + 1) for item in value]
        # In an order that is the same every time.
        return sorted(items, key=lambda item: msgspec.json.encode(item, order="deterministic"))
    if isinstance(value, bytes | bytearray | memoryview):
        return msgspec.to_builtins(bytes(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _plain(fields, where, depth + 1)
    leaves = (dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID, msgspec.Struct)
    if isinstance(value, leaves):
        try:
            return _plain(msgspec.to_builtins(value), where, depth + 1)
        except (TypeError, ValueError, OverflowError) as error:
            # It does not say where; whoever goes through the fields does.
            for name in getattr(value, "__struct_fields__", ()):
                _plain(getattr(value, name), f"{where}.{name}", depth + 1)
            raise OutputError(f"{where} cannot be recorded: {error}") from None
    if isinstance(value, Path):
        return _text(str(value), where)
    for plain in (str, int, float):
        if isinstance(value, plain):
            return _plain(plain(value), where, depth + 1)
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    raise OutputError(
        f"{where} is of type {name}, which cannot be recorded",
        hint="return None, bool, int, float, str, bytes, list, set, dict, dates, UUIDs, dataclasses or msgspec Structs",
    )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")
