"""`cerebelum history`: the events of an execution, which are all there is to know about it."""

from __future__ import annotations

import sys

import click

from cerebelum.cli import terminal
from cerebelum.cli.options import ID, unicode_text
from cerebelum.cli.tools import Tools
from cerebelum.core.events import decode


def history(tools: Tools, execution_id: str, as_json: bool) -> int:
    """The verb; returns the exit code."""
    from cerebelum import render

    client = tools.client()
    execution_id = client.resolve(unicode_text(execution_id, "the id"))
    symbols = render.UNICODE if terminal.takes_symbols(sys.stdout) else render.ASCII
    for entry in client.store.read(execution_id):
        if as_json:
            terminal.show_data(render.event_line(execution_id, entry.text.encode(), entry.digest) + b"\n", as_is=True)
        else:
            terminal.show(render.history_line(decode(entry.text, where=execution_id), symbols))
    return 0


HELP = """Show every event of an execution: its version, when it happened, what, and who did it.

\b
  cerebelum history last
  cerebelum history deploy-k3 --json | jq 'select(.type == "StepFailed")'

With --json each line is an event's canonical JSON, with the execution's id and the digest that chains it to the event
before put in front.
"""

command = click.Command(
    "history",
    callback=click.pass_obj(history),
    help=HELP,
    params=[
        ID,
        click.Option(["--json", "as_json"], is_flag=True, help="Print each event as a line of JSON."),
    ],
)
