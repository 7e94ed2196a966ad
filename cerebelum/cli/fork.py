"""`cerebelum fork`: a new execution that starts in the middle of an old one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from cerebelum.cli.drive import see_through
from cerebelum.cli.driving import MANNER
from cerebelum.cli.options import TARGET, complete_steps
from cerebelum.cli.resume import show_plan
from cerebelum.cli.run import INPUTS_FILE
from cerebelum.cli.starting import read_inputs
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.core.errors import DefinitionChanged

if TYPE_CHECKING:
    from cerebelum.cli.manner import Manner


def fork(
    tools: Tools,
    execution_id: str,
    from_step: str,
    input_pairs: tuple[str, ...],
    inputs_file: str | None,
    new_id: str | None,
    file: str | None,
    recorded: bool,
    accept_changes: bool,
    **manner: Unpack[Manner],
) -> int:
    """The verb; returns the exit code."""
    inputs = read_inputs(input_pairs, inputs_file)
    client = tools.client()
    name = unicode_text(execution_id, "the id")
    step = unicode_text(from_step, "the step")
    where = None if file is None else Path(unicode_text(file, "the file"))
    new = None if new_id is None else unicode_text(new_id, "the id")
    try:
        return see_through(
            tools,
            lambda how: client.fork(
                name,
                step,
                inputs,
                execution_id=new,
                file=where,
                recorded=recorded,
                accept_changes=accept_changes,
                **how,
            ),
            manner,
        )
    except DefinitionChanged:
        show_plan(client.plan(name, from_step=step, file=where, recorded=recorded), manner["as_json"])
        raise


HELP = """Start a new execution that takes over what ID completed before STEP, and runs from there.

\b
  cerebelum fork deploy-k3f9q2xm7p --from rollout --input replicas=5

The old execution stays as it is.
"""

command = click.Command(
    "fork",
    callback=click.pass_obj(fork),
    help=HELP,
    params=[
        TARGET,
        click.Option(
            ["--from", "from_step"],
            required=True,
            metavar="STEP",
            help="The first step to run.",
            shell_complete=complete_steps,
        ),
        click.Option(
            ["--input", "input_pairs"], multiple=True, metavar="NAME=VALUE", help="Another value for an input."
        ),
        INPUTS_FILE,
        click.Option(["--id", "new_id"], metavar="ID", help="The new execution's id."),
        click.Option(["--file"], metavar="FILE", help="The workflow file, if it has moved."),
        click.Option(["--recorded"], is_flag=True, help="Use the definition as it was recorded."),
        click.Option(["--accept-changes"], is_flag=True, help="Keep the outputs of completed steps that have changed."),
        *MANNER,
    ],
)
