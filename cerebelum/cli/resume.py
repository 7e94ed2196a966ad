"""`cerebelum resume`: go on with an execution where it stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import click

from cerebelum.cli import terminal
from cerebelum.cli.drive import see_through
from cerebelum.cli.driving import MANNER
from cerebelum.cli.options import TARGET, complete_steps
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.core.errors import DefinitionChanged, UsageError

if TYPE_CHECKING:
    from cerebelum.cli.manner import Manner


def resume(
    tools: Tools,
    execution_id: str,
    plan: bool,
    from_step: str | None,
    anew: bool,
    accept_changes: bool,
    file: str | None,
    recorded: bool,
    working_dir: str | None,
    take_over: bool,
    **manner: Unpack[Manner],
) -> int:
    """The verb; returns the exit code."""
    client = tools.client()
    name = unicode_text(execution_id, "the id")
    if anew and from_step is not None:
        raise UsageError("--from and --from-start exclude each other")
    choice: dict[str, Any] = {
        "anew": anew,
        "from_step": None if from_step is None else unicode_text(from_step, "the step"),
        "accept_changes": accept_changes,
        "file": None if file is None else Path(unicode_text(file, "the file")),
        "recorded": recorded,
    }
    if plan:
        show_plan(client.plan(name, **choice), manner["as_json"])
        return 0
    folder = None if working_dir is None else Path(unicode_text(working_dir, "the folder"))
    try:
        return see_through(
            tools,
            lambda how: client.resume(name, **choice, working_dir=folder, take_over=take_over, **how),
            manner,
        )
    except DefinitionChanged:
        show_plan(client.plan(name, **choice), manner["as_json"])
        raise


def show_plan(plan: Any, as_json: bool) -> None:
    """Print a plan to standard output."""
    from cerebelum import render

    if as_json:
        terminal.show_json(render.plan_shape(plan))
    else:
        terminal.show(render.plan_text(plan))


HELP = """Go on with an execution that failed, was paused, or whose process died. Completed steps are not run again.

\b
  cerebelum resume deploy-k3f9q2xm7p --plan
  cerebelum resume last
  cerebelum resume last --from build

The workflow file is read again: edits to steps that have not completed are simply used. An edit to a completed step is
refused with exit code 5 and the plan, unless --accept-changes or --from says what is meant.
"""

command = click.Command(
    "resume",
    callback=click.pass_obj(resume),
    help=HELP,
    params=[
        TARGET,
        click.Option(["--plan"], is_flag=True, help="Show what would become of each step, and stop."),
        click.Option(
            ["--from", "from_step"],
            metavar="STEP",
            help="Run again from this step, with everything after it.",
            shell_complete=complete_steps,
        ),
        click.Option(["--from-start", "anew"], is_flag=True, help="Run every step again."),
        click.Option(["--accept-changes"], is_flag=True, help="Keep the outputs of completed steps that have changed."),
        click.Option(["--file"], metavar="FILE", help="The workflow file, if it has moved."),
        click.Option(["--recorded"], is_flag=True, help="Use the definition as it was recorded."),
        click.Option(["--working-dir"], metavar="DIR", help="Go on in this folder, if the one it was in is gone."),
        click.Option(
            ["--take-over"], is_flag=True, help="Kill the process here that drives it, if it hangs or is stopped."
        ),
        *MANNER,
    ],
)
