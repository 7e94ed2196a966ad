"""`cerebelum schedules`: when the workflows in files start by themselves."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from cerebelum.cli import terminal
from cerebelum.cli.options import JSON
from cerebelum.cli.supervise import workflow_files
from cerebelum.cli.tools import Tools


def schedules(tools: Tools, files: tuple[str, ...], count: int, as_json: bool) -> int:
    """The verb; returns the exit code."""
    from cerebelum.definition import load
    from cerebelum.render.schedules import schedules_shape, schedules_text

    executors, now = tools.executors(), datetime.now(UTC)
    found = [(str(path), load(path, executors).workflow) for path in workflow_files(files)]
    without = [(file, workflow) for file, workflow in found if not workflow.schedule]
    if as_json:
        terminal.show_json(schedules_shape(found, now, count))
        return 0
    if len(without) < len(found):
        terminal.show(schedules_text(found, now, count))
    for file, workflow in without:
        terminal.complain(f"{file}: the workflow {workflow.name} has no schedule")
    return 0


HELP = """Show when the workflows in FILES start by themselves, in their time zones and in UTC.

\b
  cerebelum schedules nightly.yaml
  cerebelum schedules workflows/*.yaml --next 5
  cerebelum schedules nightly.yaml --json

Nothing starts without somebody who looks after it: `cerebelum supervise FILES`, or in a pool `cerebelum worker
--schedule FILE`. What was started is in `cerebelum list --tag schedule`.
"""

command = click.Command(
    "schedules",
    callback=click.pass_obj(schedules),
    help=HELP,
    params=[
        click.Argument(["files"], metavar="FILES...", nargs=-1, required=True, type=click.Path()),
        click.Option(
            ["--next", "count"],
            type=click.IntRange(1, 1000),
            default=1,
            show_default=True,
            help="How many ticks of each schedule are shown.",
        ),
        JSON,
    ],
)
