"""`cerebelum approve`: let a step go on that waits for a person."""

from __future__ import annotations

import click

from cerebelum.cli.asking import BY, COMMENT, tell, who
from cerebelum.cli.options import JSON, TARGET, complete_steps
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import named_texts, unicode_text

STEP = click.Argument(["step"], required=False, shell_complete=complete_steps)


def approve(
    tools: Tools,
    execution_id: str,
    step: str | None,
    by: str | None,
    comment: str | None,
    response: tuple[str, ...],
    as_json: bool,
) -> int:
    """The verb; returns the exit code."""
    row = tools.client().approve(
        unicode_text(execution_id, "the id"),
        None if step is None else unicode_text(step, "the step"),
        by=who(by),
        comment=None if comment is None else unicode_text(comment, "the comment"),
        response=named_texts(response, "response"),
    )
    return tell(tools, row, "approved", as_json)


HELP = """Approve what a step waits for. The step may be left out if only one waits; a decision is final.

\b
  cerebelum approve deploy-k3f9q2xm7p --comment "looks good"
  cerebelum approve last go --response window=night

What --response says becomes the step's output.
"""

command = click.Command(
    "approve",
    callback=click.pass_obj(approve),
    help=HELP,
    params=[
        TARGET,
        STEP,
        BY,
        COMMENT,
        click.Option(["--response"], multiple=True, metavar="NAME=VALUE", help="Part of the answer; may be repeated."),
        JSON,
    ],
)
