"""What callers get wrong: an argument of another kind than is wanted is refused in words, before anything happens."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from cerebelum.core.errors import UsageError


def named_store(store: object) -> str | None:
    """The URL or the path that was given for a store; None for the default one. Raises UsageError."""
    if store is None:
        return None
    if not isinstance(store, str | os.PathLike):
        raise UsageError(f"store={store!r} names no store", hint="a URL, or the path of a file")
    return os.fspath(store)


def named_execution(execution_id: object) -> str | None:
    """The id that was given for an execution; None if none was. Raises UsageError."""
    if execution_id is None or isinstance(execution_id, str):
        return execution_id
    known = getattr(execution_id, "execution_id", None)
    hint = f"its execution_id is {known!r}" if isinstance(known, str) else "an id is a text"
    if isinstance(execution_id, int):
        hint = f"execution_id='order-{execution_id}'"
    raise UsageError(f"execution_id={execution_id!r:.80} is no text", hint=hint)


def workflow_file(workflow: object) -> Path:
    """The file that was given for a workflow. Raises UsageError."""
    if not isinstance(workflow, str | os.PathLike):
        hint = "give a function with @workflow above it, or the path of a file"
        raise UsageError(f"{workflow!r:.80} is no workflow", hint=hint)
    return Path(workflow)


def tag_list(tags: object) -> tuple[str, ...]:
    """The tags, of which one may be given by itself. Raises UsageError."""
    if tags is None or isinstance(tags, str):
        return () if tags is None else (tags,)
    if not isinstance(tags, Iterable):
        raise UsageError(f"tags={tags!r} is no list of texts", hint="tags=['nightly']")
    for tag in (found := tuple(tags)):
        if not isinstance(tag, str):
            raise UsageError(f"the tag {tag!r} is no text", hint="tags=['nightly']")
    return found


def count(name: str, value: object) -> int:
    """A number of things, called `name`. Raises UsageError."""
    if not isinstance(value, int):
        raise UsageError(f"{name}={value!r} is no whole number")
    if value < 0:
        raise UsageError(f"{name}={value} is less than 0")
    return value


def moment(name: str, value: object) -> datetime | None:
    """A moment that is the same for everybody; None if none was given. Raises UsageError."""
    if value is None:
        return None
    hint = "say which is meant, such as datetime.now(UTC) or .astimezone()"
    if not isinstance(value, datetime):
        raise UsageError(f"{name}={value!r} is no datetime", hint=hint)
    if value.tzinfo is None:
        raise UsageError(f"{name}={value} has no time zone", hint=hint)
    return value
