"""`cerebelum pause`: stop an execution in an orderly way, to be resumed."""

from __future__ import annotations

import click

from cerebelum.cli.asking import BY, WHY, manner, tell, who
from cerebelum.cli.options import JSON, TARGET
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text


def pause(tools: Tools, execution_id: str, by: str | None, why: str | None, as_json: bool) -> int:
    """The verb; returns the exit code."""
    why = None if why is None else unicode_text(why, "the reason")
    row = tools.client().pause(unicode_text(execution_id, "the id"), by=who(by), why=why, **manner(tools))
    done = "paused" if row.summary.status == "paused" else "is being paused"
    return tell(tools, row, done, as_json)


HELP = """Pause an execution: its running steps are interrupted, no handler runs, and `resume` goes on with it.

\b
  cerebelum pause deploy-k3f9q2xm7p
"""

command = click.Command("pause", callback=click.pass_obj(pause), help=HELP, params=[TARGET, BY, WHY, JSON])
