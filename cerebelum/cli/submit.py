"""`cerebelum submit`: put a workflow into a queue, for whichever worker takes it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cerebelum.cli import terminal
from cerebelum.cli.options import JSON
from cerebelum.cli.run import INPUT, INPUTS_FILE, LOCK, TAG
from cerebelum.cli.starting import read_inputs
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.core.errors import UsageError

if TYPE_CHECKING:
    from cerebelum.render import contract


def submit(
    tools: Tools,
    file: str,
    queue: str,
    priority: int,
    at: str | None,
    input_pairs: tuple[str, ...],
    inputs_file: str | None,
    execution_id: str | None,
    tags: tuple[str, ...],
    lock: str | None,
    correlation_id: str | None,
    working_dir: str | None,
    by: str | None,
    as_json: bool,
) -> int:
    """The verb; returns the exit code."""
    from cerebelum.core.events import Queued
    from cerebelum.sdk import pool

    name = pool.submit(
        tools.client(),
        Path(unicode_text(file, "the file")),
        read_inputs(input_pairs, inputs_file),
        Queued(unicode_text(queue, "the queue"), priority, None if at is None else moment(at)),
        execution_id=execution_id,
        tags=tuple(unicode_text(tag, "the tag") for tag in tags),
        working_dir=None if working_dir is None else folder(unicode_text(working_dir, "the folder")),
        lock=None if lock is None else unicode_text(lock, "the lock"),
        correlation_id=None if correlation_id is None else unicode_text(correlation_id, "the correlation id"),
        by=None if by is None else unicode_text(by, "the name"),
    )
    if as_json:
        submitted: contract.Detached = {"execution_id": name}
        terminal.show_json(submitted)
    else:
        terminal.show(name)
    return 0


def moment(text: str) -> datetime:
    """A time (ISO 8601; local time if it has no offset). Raises UsageError."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        hint = "write it like 2026-11-22T20:15 (local time) or 2026-11-22T20:15:00Z"
        raise UsageError(f"--at {text!r} is not a time", hint=hint) from None


def folder(text: str) -> Path:
    """A folder on the workers' machines, which need not be there on this one. Raises UsageError."""
    path = Path(text)
    if not path.is_absolute():
        raise UsageError(f"--working-dir {text} is not absolute", hint="give the path that it has on the workers")
    return path


HELP = """Put the workflow in FILE into a queue, print the execution's id, and return.

\b
  cerebelum submit deploy.yaml --queue build --input version=1.4.0
  cerebelum submit report.yaml --queue build --priority 10
  cerebelum submit nightly.yaml --queue build --at 2026-11-22T03:00

It is `queued` until a worker takes it: see `cerebelum worker`. Queues are in a PostgreSQL store. Secrets are not looked
for here; the worker has them. Files do not travel: the workflow runs in the folder that has the same path there.
"""

command = click.Command(
    "submit",
    callback=click.pass_obj(submit),
    help=HELP,
    params=[
        click.Argument(["file"], type=click.Path(), shell_complete=None),
        click.Option(["--queue"], metavar="NAME", required=True, help="The queue to put it into."),
        click.Option(["--priority"], type=int, default=0, show_default=True, help="The higher, the sooner."),
        click.Option(["--at"], metavar="TIME", help="Not before then: 2026-11-22T20:15, or with an offset."),
        INPUT,
        INPUTS_FILE,
        click.Option(["--id", "execution_id"], metavar="ID", help="The execution's id; made up if not given."),
        TAG,
        LOCK,
        click.Option(["--correlation-id"], metavar="TEXT", help="What another system knows it by."),
        click.Option(["--working-dir"], metavar="DIR", help="The folder to run in, as the workers know it."),
        click.Option(["--by"], metavar="NAME", help="In whose name, for the log, if not in yours."),
        JSON,
    ],
)
