"""`cerebelum store export`: executions as a bundle, to be kept or sent elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cerebelum.cli import terminal
from cerebelum.cli.options import JSON, complete_ids
from cerebelum.cli.progress import interruptible, progress
from cerebelum.cli.tools import Tools
from cerebelum.cli.transfers import Tally
from cerebelum.cli.words import unicode_text
from cerebelum.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cerebelum.render import store_contract as contract

_BUFFER = 1 << 20


def export(tools: Tools, ids: tuple[str, ...], every: bool, file: str, as_json: bool) -> int:
    """The verb; returns the exit code."""
    if bool(ids) == every:
        raise UsageError("name executions, or say --all", hint="see: cerebelum list")
    if as_json and file == "-":
        raise UsageError("the bundle is JSON itself", hint="--json says what was written to a file: -o FILE")
    names = None if every else [unicode_text(name, "the id") for name in ids]
    if file == "-":
        tally = _written(tools, names, terminal.stdout().buffer.write)
        tally.complain()
        return tally.code
    from cerebelum.store.files import new_file

    file = unicode_text(file, "the file")
    with (
        interruptible(f"{file} was not written"),
        new_file(file) as (_, descriptor),
        open(descriptor, "wb", _BUFFER, closefd=False) as out,
    ):
        tally = _written(tools, names, out.write)
    if as_json:
        terminal.show_json(_shape(tally, file))
    else:
        tally.complain()
        terminal.show(f"{file}: {tally.told('exported')}")
    return tally.code


def _written(tools: Tools, names: list[str] | None, write: Callable[[bytes], object]) -> Tally:
    client, tally = tools.client(), Tally()
    outcomes = client.export(names, write)
    count = len(names) if names is not None else None
    with progress(tools, "exporting", lambda: count or sum(client.store.totals().executions.values())) as advance:
        tally.count(outcomes, advance)
    return tally


def _shape(tally: Tally, file: str) -> contract.Exported:
    return {
        "ok": not tally.wrong,
        "file": file,
        "executions": tally["added"],
        "events": tally.events,
        "tombstones": tally["tombstone"],
        "refused": tally.refused(),
    }


HELP = """Write executions as a bundle: lines of JSON with every event exactly as it is, and the output of the steps.

\b
  cerebelum store export last > last.jsonl
  cerebelum store export --all -o kept.jsonl
  cerebelum store export deploy-k3 | ssh elsewhere cerebelum store import -

Each execution is written as it stands, also one that goes on. --all takes the tombstones of pruned ones along. The file
is written whole or not at all, and none is overwritten. What the lines hold is in docs/bundle.md.

Exits with 1 if the log of an execution is damaged: it is named, and the others are exported.
"""

command = click.Command(
    "export",
    callback=click.pass_obj(export),
    help=HELP,
    params=[
        click.Argument(["ids"], metavar="[ID]...", nargs=-1, shell_complete=complete_ids),
        click.Option(["--all", "every"], is_flag=True, help="All executions, and the tombstones of pruned ones."),
        click.Option(
            ["-o", "--output", "file"],
            metavar="FILE",
            default="-",
            help="A new file to write to; left out, or `-`: standard output.",
        ),
        JSON,
    ],
)
