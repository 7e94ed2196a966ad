"""Starting a workflow and seeing it through, as `cerebelum run` does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from cerebelum.cli import terminal
from cerebelum.cli.drive import see_through
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import named_texts, unicode_text
from cerebelum.core.errors import UsageError

if TYPE_CHECKING:
    from cerebelum.cli.manner import Manner
    from cerebelum.engine.session import Result
    from cerebelum.sdk.course import How

_MOST_INPUTS = 64 << 20


def read_inputs(pairs: tuple[str, ...], file: str | None) -> dict[str, Any]:
    """Inputs of the file, and over them those of the command line. Raises UsageError."""
    from cerebelum.definition import Text

    inputs: dict[str, Any] = {} if file is None else _from_file(file)
    inputs |= {name: Text(text) for name, text in named_texts(pairs, "input").items()}
    return inputs


def _from_file(file: str) -> dict[str, Any]:
    from cerebelum.definition import parse_inputs_file

    try:
        if file == "-":
            data = sys.stdin.buffer.read(_MOST_INPUTS + 1)
        else:
            with Path(file).open("rb") as source:
                data = source.read(_MOST_INPUTS + 1)
    except (OSError, ValueError, AttributeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"the inputs cannot be read: {why}", where=file) from None
    name = "standard input" if file == "-" else file
    if len(data) > _MOST_INPUTS:
        raise UsageError("this is too large for inputs", where=name, hint="pass the path of a file instead")
    try:
        return parse_inputs_file(data.decode(), name)
    except UnicodeDecodeError as error:
        raise UsageError(f"this is not UTF-8 (byte {error.start})", where=name) from None


def run(
    tools: Tools,
    file: str,
    input_pairs: tuple[str, ...],
    inputs_file: str | None,
    execution_id: str | None,
    or_resume: bool,
    tags: tuple[str, ...],
    correlation_id: str | None,
    lock: str | None,
    dry_run: bool,
    **manner: Unpack[Manner],
) -> int:
    """The verb; returns the exit code."""
    path = Path(unicode_text(file, "the file"))
    inputs = read_inputs(input_pairs, inputs_file)
    tags = tuple(unicode_text(tag, "the tag") for tag in tags)
    correlation = None if correlation_id is None else unicode_text(correlation_id, "the correlation id")
    lock = None if lock is None else unicode_text(lock, "the lock")
    client = tools.client()
    if dry_run:
        from cerebelum import render

        preview = client.preview(path, inputs, lock)
        if manner["as_json"]:
            terminal.show_json(render.preview_shape(preview))
        else:
            terminal.show(render.preview_text(preview))
        return 0

    def start(how: How) -> Result:
        how["correlation_id"] = correlation
        return client.run(path, inputs, execution_id=execution_id, or_resume=or_resume, tags=tags, lock=lock, **how)

    return see_through(tools, start, manner)
