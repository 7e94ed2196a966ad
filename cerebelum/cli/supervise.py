"""`cerebelum supervise`: go on with everything that nobody drives."""

from __future__ import annotations

import click

from cerebelum.cli import terminal
from cerebelum.cli.interrupts import say_stopping
from cerebelum.cli.tools import Tools
from cerebelum.core import errors


def supervise(tools: Tools, once: bool, most: int, quiet: bool) -> int:
    """The verb; returns the exit code."""
    from cerebelum.engine.settings import Settings

    def tell(text: str) -> None:
        if not quiet:
            terminal.complain(text)

    terminal.own_process()
    settings = Settings(listeners=tools.listeners(), on_stopping=say_stopping)
    stopped = tools.client().supervise(once=once, most=most, settings=settings, tell=tell, heed_signals=True)
    return errors.OK if stopped is None else errors.SIGNALS.get(stopped.signal or "", errors.OK)


HELP = """Take up executions whose process died, wake those whose sleep is over, and move on those that were decided.

\b
  cerebelum supervise            # until stopped, as a service
  cerebelum supervise --once     # from cron or a timer: everything due now, then exit

Never two processes drive one execution, and what was paused by a signal or by `pause` is left alone. What the steps
print is in `cerebelum logs`.
"""

command = click.Command(
    "supervise",
    callback=click.pass_obj(supervise),
    help=HELP,
    params=[
        click.Option(["--once"], is_flag=True, help="Drive what is due now until it ends or waits again, then exit."),
        click.Option(
            ["--max", "most"],
            type=click.IntRange(1, 1000),
            default=16,
            show_default=True,
            help="How many executions are driven at once.",
        ),
        click.Option(["-q", "--quiet"], is_flag=True, help="Say nothing about what is taken up."),
    ],
)
