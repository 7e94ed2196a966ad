"""`cerebelum status`: one execution, step by step."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from cerebelum.cli.answers import show_status
from cerebelum.cli.options import ID, JSON, STEP
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.core.errors import UsageError


def status(tools: Tools, execution_id: str, step: str | None, at: str | None, as_json: bool) -> int:
    """The verb; returns the exit code."""
    name, then = unicode_text(execution_id, "the id"), None if at is None else moment(at)
    wanted = None if step is None else unicode_text(step, "the step")
    return show_status(tools, name, then, wanted, as_json=as_json)


def moment(text: str) -> int | datetime:
    """A version, or a time (ISO 8601; local time if it has no offset). Raises UsageError."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        hint = "write a version such as 12, or a time such as 2026-11-22T20:15:00Z"
        raise UsageError(f"--at {text!r} is neither a version nor a time", hint=hint) from None


AT = click.Option(["--at"], metavar="VERSION|TIME", help="Show it as it was then.")

HELP = """Show how an execution stands: its steps, what failed and why, and how to go on.

\b
  cerebelum status deploy-k3
  cerebelum status last unit
  cerebelum status last --json
  cerebelum status last --at 12
  cerebelum status last --at 2026-11-22T20:15

With a STEP, that step is shown in full. With --at things are shown as they were then: after the event of that version,
or at that time.
"""

command = click.Command(
    "status",
    callback=click.pass_obj(status),
    help=HELP,
    params=[ID, STEP, AT, JSON],
)
