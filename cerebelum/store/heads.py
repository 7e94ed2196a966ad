"""Heads that somebody kept: how far a log had come, and what its digest was then.

A log that lost its end is sound in itself, so only something from outside the store can tell that there was more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cerebelum.core.errors import UsageError
from cerebelum.core.events import Entry

Heads = Mapping[str, Mapping[int, str]]
"""Digests by version, by execution."""


def read_heads(text: str, name: str) -> Heads:
    """The heads in JSON, one value after another, as `status`, `list` and `history` print them with `--json`.

    Raises UsageError, naming the line, for what is not JSON, and if there is no head at all.
    """
    found: dict[str, dict[int, str]] = {}
    for value in _values(text.removeprefix("\ufeff"), name):
        for execution_id, version, digest in _heads(value):
            found.setdefault(execution_id, {})[version] = digest
    if not found:
        hint = "it takes what `cerebelum status --json`, `list --json` and `history --json` print"
        raise UsageError("there is no head in it", where=name, hint=hint)
    return found


def problem(entries: list[Entry], version: int, digest: str) -> str | None:
    """What is wrong with a log that once had this digest at this version; None if it still has."""
    if not entries:
        return f"it is not there; its log had {version} events"
    if len(entries) < version:
        return f"events were lost at the end: there were {version}, there are {len(entries)}"
    if entries[version - 1].digest != digest:
        return "it is not the log that it was: the digest is another one"
    return None


def _values(text: str, name: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(), 0
    while True:
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
        if at == len(text):
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, at) + 1
            raise UsageError(f"what begins here is not JSON: {error}", where=f"{name}:{line}") from None
        yield value


def _heads(value: Any) -> Iterator[tuple[str, int, str]]:
    if isinstance(value, list):
        for item in value:
            yield from _heads(item)
    elif isinstance(value, dict):
        head = (value.get("execution_id"), value.get("version"), value.get("digest"))
        match head:
            case (str(execution_id), int(version), str(digest)) if version > 0:
                yield execution_id, version, digest
        if isinstance(value.get("executions"), list):
            yield from _heads(value["executions"])
