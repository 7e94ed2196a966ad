"""`cerebelum supervise`: go on with everything that nobody drives."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cerebelum.cli import terminal
from cerebelum.cli.drive import unwritten
from cerebelum.cli.interrupts import say_stopping
from cerebelum.cli.outlet import Outlet
from cerebelum.cli.screen import JsonLines
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.core import errors

if TYPE_CHECKING:
    from cerebelum.core.decide import Stopping
    from cerebelum.engine.settings import Settings

_PATIENCE = 2.0
"""Seconds that the last lines may take when it was stopped and nobody reads them."""


def supervise(tools: Tools, files: tuple[str, ...], once: bool, most: int, quiet: bool, as_json: bool) -> int:
    """The verb; returns the exit code."""
    paths = workflow_files(files)
    return serving(
        quiet,
        as_json,
        lambda settings, tell: tools.client().supervise(
            once=once, most=most, files=paths, settings=settings, tell=tell, heed_signals=True
        ),
    )


def workflow_files(files: tuple[str, ...]) -> list[Path]:
    """The files whose schedules are meant."""
    return [Path(unicode_text(file, "the file")) for file in files]


def serving(quiet: bool, as_json: bool, drive: Callable[[Settings, Callable[[str], None]], Stopping | None]) -> int:
    """Drive executions as a service does: with a line on standard error for each, or all events on standard output.

    Returns the exit code.
    """
    from cerebelum.engine.settings import Settings

    def tell(text: str) -> None:
        if not quiet:
            terminal.complain(text)

    terminal.own_process()
    outlet = Outlet(sys.stdout.fileno()) if as_json else None
    lines = () if outlet is None else (JsonLines(outlet).event,)
    settings = Settings(listeners=lines, on_stopping=say_stopping)
    patience: float | None = _PATIENCE
    try:
        stopped = drive(settings, tell)
        if stopped is None:
            patience = None
    finally:
        if outlet is not None:
            outlet.close(patience)
    code = errors.OK if stopped is None else errors.SIGNALS.get(stopped.signal or "", errors.OK)
    return code or unwritten(None if outlet is None else outlet.broken)


HELP = """Take up executions whose process died, wake those whose sleep is over, and move on those that were decided.

\b
  cerebelum supervise                  # until stopped, as a service
  cerebelum supervise --once           # from cron or a timer: everything due now, then exit
  cerebelum supervise nightly.yaml     # and start what its `schedule` says

With FILES, workflows with a `schedule`, it starts an execution for each tick: one, however many do this on one store,
and after whatever crash. `cerebelum schedules FILES` says when.

Never two processes drive one execution, and what was paused by a signal or by `pause` is left alone. What the steps
print is in `cerebelum logs`; what happens is on standard output with --json, of all executions.
"""

command = click.Command(
    "supervise",
    callback=click.pass_obj(supervise),
    help=HELP,
    params=[
        click.Argument(["files"], metavar="[FILES]...", nargs=-1, type=click.Path()),
        click.Option(["--once"], is_flag=True, help="Drive what is due now until it ends or waits again, then exit."),
        click.Option(
            ["--max", "most"],
            type=click.IntRange(1, 1000),
            default=16,
            show_default=True,
            help="How many executions are driven at once.",
        ),
        click.Option(["-q", "--quiet"], is_flag=True, help="Say nothing about what is taken up."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print each event as a line of JSON."),
    ],
)
