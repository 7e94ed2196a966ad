"""`cerebelum reject`: refuse what a step asks for."""

from __future__ import annotations

import click

from cerebelum.cli.approve import STEP
from cerebelum.cli.asking import BY, COMMENT, tell, who
from cerebelum.cli.options import JSON, TARGET
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text


def reject(
    tools: Tools, execution_id: str, step: str | None, by: str | None, comment: str | None, as_json: bool
) -> int:
    """The verb; returns the exit code."""
    row = tools.client().reject(
        unicode_text(execution_id, "the id"),
        None if step is None else unicode_text(step, "the step"),
        by=who(by),
        comment=None if comment is None else unicode_text(comment, "the comment"),
    )
    return tell(tools, row, "rejected", as_json)


HELP = """Reject what a step waits for: the step fails, handlers run, and `resume` asks again.

\b
  cerebelum reject deploy-k3f9q2xm7p --comment "not on a Friday"
"""

command = click.Command("reject", callback=click.pass_obj(reject), help=HELP, params=[TARGET, STEP, BY, COMMENT, JSON])
