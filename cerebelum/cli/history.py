"""`cerebelum history`: the events of an execution, which are all there is to know about it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain

import click

from cerebelum.cli import terminal
from cerebelum.cli.options import ID
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.core.events import Entry, decode
from cerebelum.store import EventStore, every_entry


def history(tools: Tools, execution_id: str, as_json: bool) -> int:
    """The verb; returns the exit code."""
    from cerebelum import render

    client = tools.client()
    execution_id = client.resolve(unicode_text(execution_id, "the id"))
    symbols = render.UNICODE if terminal.takes_symbols(sys.stdout) else render.ASCII
    if as_json:
        for entry in _entries(client.store, execution_id):
            terminal.show_data(render.event_line(execution_id, entry.text.encode(), entry.digest) + b"\n", as_is=True)
        return 0
    begun = (entry for entry in _entries(client.store, execution_id) if entry.type in _SEGMENTS)
    several, host = len({_host(entry, execution_id) for entry in begun} - {None}) > 1, None
    for entry in _entries(client.store, execution_id):
        event = decode(entry.text, where=execution_id)
        if several and entry.type in _SEGMENTS:
            host = _host(entry, execution_id)
        terminal.show(render.history_line(event, symbols, host))
    return 0


_SEGMENTS = ("ExecutionStarted", "ExecutionResumed")
"""Events with which somebody begins to drive it."""


def _entries(store: EventStore, execution_id: str) -> Iterator[Entry]:
    return chain.from_iterable(every_entry(store, execution_id))


def _host(entry: Entry, execution_id: str) -> str | None:
    environment = getattr(decode(entry.text, where=execution_id), "environment", None)
    return environment.host if environment else None


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
