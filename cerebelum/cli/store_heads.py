"""`cerebelum store heads`: how far each log has come, to be kept elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cerebelum.cli import terminal
from cerebelum.cli.options import JSON
from cerebelum.cli.tools import Tools
from cerebelum.store import Tombstone

if TYPE_CHECKING:
    from cerebelum.core.summary import Summary
    from cerebelum.render import store_contract as contract


def heads(tools: Tools, as_json: bool) -> int:
    """The verb; returns the exit code. It is JSON in any case."""
    import msgspec

    encode = msgspec.json.Encoder().encode
    for each in tools.client().heads():
        terminal.show_data(encode(head(each)) + b"\n")
    return 0


def head(each: Summary | Tombstone) -> contract.Head:
    """The head of a log that is there, or that was pruned."""
    return {
        "execution_id": each.execution_id,
        "workflow": each.workflow,
        "status": each.status,
        "started_at": each.started_at,
        "ended_at": each.ended_at,
        "version": each.version,
        "digest": each.digest,
        "pruned_at": each.pruned_at if isinstance(each, Tombstone) else None,
    }


HELP = """Print the heads of the logs of executions that have ended, and of those that were pruned: a line of JSON each.

\b
  cerebelum store heads > heads.jsonl       # now and then, to a place of its own
  cerebelum store verify --heads heads.jsonl

A head is the version and the digest of the last event. The digest covers all events before it, so a store that lost or
changed anything since then cannot have the same ones.
"""

command = click.Command("heads", callback=click.pass_obj(heads), help=HELP, params=[JSON])
