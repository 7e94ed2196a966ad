"""What the verbs that ask something of an execution share: who asks, and how the answer is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cerebelum.cli import terminal
from cerebelum.cli.interrupts import say_stopping
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.store.lookup import INTERRUPTED, NOT_DRIVEN

if TYPE_CHECKING:
    from cerebelum.sdk.course import Course
    from cerebelum.store import Row

BY = click.Option(["--by"], metavar="NAME", help="In whose name; your user and host if left out.")
WHY = click.Option(["--why"], metavar="TEXT", help="The reason, for the log.")
COMMENT = click.Option(["--comment"], metavar="TEXT", help="A comment, for the log.")


def who(by: str | None) -> str:
    """Who asks: what was given, or this user's name with the host."""
    if by is not None:
        return unicode_text(by, "the name")
    from cerebelum.host import surroundings

    return surroundings.who()


def manner(tools: Tools) -> Course:
    """How this process drives an execution, where it has to finish itself what was asked for."""
    from cerebelum.engine.settings import Settings

    terminal.own_process()
    return {"settings": Settings(on_stopping=say_stopping), "heed_signals": True}


def tell(tools: Tools, row: Row, done: str, as_json: bool) -> int:
    """Print what was done, and how the execution stands now; returns the exit code."""
    from cerebelum import render

    summary = row.summary
    if as_json:
        terminal.show_json(render.summary_shape(row))
        return 0
    terminal.show(f"{summary.execution_id}: {done}")
    if summary.status == "paused" and summary.reason in (INTERRUPTED, NOT_DRIVEN):
        again = render.resume_command(summary.execution_id, tools.store, tools.plugin_files)
        terminal.show(f"nobody drives it at the moment; go on with: {again}")
    return 0
