"""Removes executions that ended long ago, and leaves a tombstone of each: that it was there, and its log's head."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import msgspec

from cerebelum.core.status import Status
from cerebelum.store import Conflict, EventStore, Fenced, Query, Row, Tombstone, every
from cerebelum.store.liveness import driven

ENDED: tuple[Status, ...] = ("completed", "failed", "cancelled")
"""The statuses of what may be pruned."""


class Rule(msgspec.Struct, frozen=True):
    """What is to be removed."""

    before: datetime
    """Only what ended earlier than this."""
    statuses: tuple[Status, ...] = ENDED
    keep: int = 0
    """How many of each workflow stay in any case, those that started last."""


def chosen(store: EventStore, rule: Rule) -> Iterator[Row]:
    """The executions that the rule removes, newest start first; they may be pruned while this goes on."""
    kept: Counter[str] = Counter()
    for row in every(store, Query(status=tuple(s for s in ENDED if s in rule.statuses))):
        summary = row.summary
        if kept[summary.workflow] < rule.keep:
            kept[summary.workflow] += 1
        elif summary.ended_at is not None and summary.ended_at < rule.before:
            yield row


def prune(store: EventStore, row: Row, now: datetime) -> Tombstone | None:
    """Remove an execution as it was when `row` was read; None if somebody has taken it up again since.

    Raises StoreError.
    """
    s, name = row.summary, row.summary.execution_id
    if row.ownership.owner is not None and (driven(row) or store.own(name, None, row.ownership) is None):
        return None
    stone = Tombstone(name, s.workflow, s.status, s.started_at, s.ended_at, s.version, s.digest, now)
    try:
        store.prune(stone)
    except (Conflict, Fenced):
        return None
    return stone
