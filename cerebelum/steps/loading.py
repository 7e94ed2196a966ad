"""Whether a user's file is being loaded: what it starts then, it would start again in each process that loads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from cerebelum.core.errors import UsageError

_file: ContextVar[str | None] = ContextVar("cerebelum_loading", default=None)


@contextmanager
def loading(file: str) -> Iterator[None]:
    """Within it, this file is being loaded."""
    token = _file.set(file)
    try:
        yield
    finally:
        _file.reset(token)


def refuse_while_loading(what: str) -> None:
    """Raises UsageError where a file that is being loaded begins to run something."""
    if (file := _file.get()) is not None:
        hint = 'put that below `if __name__ == "__main__":`'
        raise UsageError(f"{what} is run while this file is being loaded", where=file, hint=hint)
