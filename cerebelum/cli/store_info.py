"""`cerebelum store info`: where the store is, and how much is in it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from cerebelum.cli import terminal
from cerebelum.cli.options import JSON
from cerebelum.cli.tools import Tools
from cerebelum.store import Query

if TYPE_CHECKING:
    from cerebelum.render import store_contract as contract
    from cerebelum.store import EventStore


def info(tools: Tools, as_json: bool) -> int:
    """The verb; returns the exit code."""
    from cerebelum.render.display import harmless
    from cerebelum.render.tables import table

    shape = _shape(tools.client().store)
    if as_json:
        terminal.show_json(shape)
    else:
        for line in table(_rows(shape)):
            terminal.show(harmless(line))
    return 0


def _shape(store: EventStore) -> contract.StoreInfo:
    told, totals = store.describe(), store.totals()
    count = sum(totals.executions.values())
    return {
        "where": told.where,
        "kind": told.kind,
        "exists": told.exists,
        "library": told.library,
        "server": told.server,
        "schema_version": told.schema_version,
        "known_schema_version": told.known_schema_version,
        "size": told.size,
        "executions": dict[str, int](totals.executions.items()),
        "events": totals.events,
        "tombstones": totals.tombstones,
        "log_bytes": totals.log_bytes,
        "oldest": _started(store, count - 1) if count else None,
        "newest": _started(store, 0) if count else None,
        "warnings": list(told.warnings),
        "details": dict(told.details),
    }


def _started(store: EventStore, offset: int) -> datetime | None:
    rows = store.find(Query(limit=1, offset=offset)).rows
    return rows[0].summary.started_at if rows else None


def _rows(shape: contract.StoreInfo) -> list[tuple[str, str]]:
    from cerebelum.render.display import moment, size

    by_status = ", ".join(f"{count:,} {status}" for status, count in shape["executions"].items())
    made = ", ".join(said for said in (shape["library"], shape["server"] and f"server {shape['server']}") if said)
    schema = "" if shape["schema_version"] is None else str(shape["schema_version"])
    if schema and shape["known_schema_version"] not in (None, shape["schema_version"]):
        schema += f" (whoever writes next makes it {shape['known_schema_version']})"
    rows = [
        ("store", shape["where"] if shape["exists"] else f"{shape['where']}, not created yet"),
        ("kind", f"{shape['kind']} ({made})" if made else shape["kind"]),
        ("schema version", schema),
        ("size", "" if shape["size"] is None else size(shape["size"])),
        ("executions", f"{sum(shape['executions'].values()):,}" + (f": {by_status}" if by_status else "")),
        ("events", f"{shape['events']:,}"),
        ("output of steps", "" if shape["log_bytes"] is None else size(shape["log_bytes"])),
        ("pruned", f"{shape['tombstones']:,}"),
        ("oldest start", moment(shape["oldest"])),
        ("newest start", moment(shape["newest"])),
    ]
    for name, value in shape["details"].items():
        counted = isinstance(value, int) and name.endswith(("size", "bytes"))
        rows.append((name.removesuffix("_bytes").replace("_", " "), size(value) if counted else str(value)))
    rows += [("warning", warning) for warning in shape["warnings"]]
    return [row for row in rows if row[1]]


HELP = """Show where the store is, of which kind, and how much is in it.

\b
  cerebelum store info
  cerebelum store info --store other.db --json

The exit code is 0, also if the store has not been created yet.
"""

command = click.Command("info", callback=click.pass_obj(info), help=HELP, params=[JSON])
