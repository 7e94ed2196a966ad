"""Who has which lock and who waits for it, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from cerebelum.core.status import GOING_ON
from cerebelum.render.display import ago, moment, one_line
from cerebelum.render.shapes import owner_shape
from cerebelum.render.tables import table

if TYPE_CHECKING:
    from datetime import datetime

    from cerebelum.render import contract
    from cerebelum.store import Claim, Row
    from cerebelum.store.lookup import View

    Claimed = Sequence[tuple[Claim, Row | None]]


def lock_said(view: View) -> str | None:
    """Which lock an execution has or waits for, and who else does."""
    state, line = view.state, [claim.execution_id for claim in view.claims]
    if state.concurrency is None:
        return None
    group, name = one_line(state.concurrency.group), state.execution_id
    if name not in line:
        return f"{group}, which it does not have now" if view.status in GOING_ON else group
    before = line.index(name)
    behind = len(line) - 1 - before
    waiting = f"; {behind} wait{'s' if behind == 1 else ''} behind it" if behind else ""
    if before:
        return f"{group}, held by {line[0]}; {before} before it{waiting}"
    since = f", since {moment(state.locked_at)}" if state.locked_at is not None else ""
    return f"{group}{since}{waiting}"


def locks_text(claimed: Claimed, now: datetime) -> str:
    """The table of `locks`."""
    if not claimed:
        return "no execution has or waits for a lock"
    rows = [("LOCK", "PLACE", "ID", "STATUS", "SINCE", "DRIVEN BY")]
    for group, line in groupby(claimed, key=lambda one: one[0].group):
        for place, (claim, row) in enumerate(line):
            status = "starts" if row is None else row.summary.status.replace("_", " ")
            runner = None if row is None else row.runner
            driven = f"process {runner.pid} on {runner.host}" if runner is not None else "nobody"
            where = "holds it" if place == 0 else str(place)
            rows.append(
                (one_line(group) if place == 0 else "", where, claim.execution_id, status, ago(claim.at, now), driven)
            )
    return "\n".join(table(rows))


def locks_shape(claimed: Claimed) -> contract.Locks:
    """What `locks --json` prints."""
    groups = groupby(claimed, key=lambda one: one[0].group)
    return {"locks": [{"group": group, "line": [_claim(*one) for one in line]} for group, line in groups]}


def _claim(claim: Claim, row: Row | None) -> contract.LockClaim:
    return {
        "execution_id": claim.execution_id,
        "workflow": None if row is None else row.summary.workflow,
        "status": None if row is None else row.summary.status,
        "since": claim.at,
        "owner": None if row is None else owner_shape(row),
    }
