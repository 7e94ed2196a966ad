"""`cerebelum cancel`: stop an execution for good."""

from __future__ import annotations

import click

from cerebelum.cli.asking import BY, WHY, manner, tell, who
from cerebelum.cli.options import JSON, TARGET
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text


def cancel(tools: Tools, execution_id: str, by: str | None, why: str | None, as_json: bool) -> int:
    """The verb; returns the exit code."""
    why = None if why is None else unicode_text(why, "the reason")
    row = tools.client().cancel(unicode_text(execution_id, "the id"), by=who(by), why=why, **manner(tools))
    done = "cancelled" if row.summary.status == "cancelled" else "is being cancelled"
    return tell(tools, row, done, as_json)


HELP = """Cancel an execution: its running steps are ended, then the on_cancel and finally handlers run.

\b
  cerebelum cancel deploy-k3f9q2xm7p --why "wrong version"

Works from any terminal. If no process drives the execution, this one runs the handlers. A cancelled execution can be
taken up again with `resume ID --from STEP`.
"""

command = click.Command("cancel", callback=click.pass_obj(cancel), help=HELP, params=[TARGET, BY, WHY, JSON])
