"""What `find` has to answer, in plain Python, and executions and queries at random to compare it with."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from random import Random
from typing import Any

from cerebelum.backends.conformance.kit import START
from cerebelum.core.status import STATUSES
from cerebelum.store import Query, Row

WORKFLOWS = ("deploy", "deploy it", "Deploy", "release")
TAGS = ("a", "b", "c", "ä", "a b")
OWNERS = ("runner-1", "runner-2", "runner-3")
_MINUTES = 6
"""So few moments of starting that many executions share one."""


def fields(chance: Random) -> dict[str, Any]:
    """The fields of a summary that can be asked for."""
    due = START + timedelta(minutes=chance.randrange(_MINUTES)) if chance.random() < 0.3 else None
    return {
        "status": chance.choice(STATUSES),
        "workflow": chance.choice(WORKFLOWS),
        "tags": tuple(chance.sample(TAGS, chance.choice((0, 1, 1, 2, 3)))),
        "started_at": START + timedelta(minutes=chance.randrange(_MINUTES)),
        "due_at": due,
    }


def query(chance: Random, rows: Iterable[Row]) -> Query:
    """A query with any of the conditions, many of which hold of some of the rows."""
    row = chance.choice(list(rows)).summary
    moment = START + timedelta(minutes=chance.randrange(_MINUTES + 1), microseconds=chance.choice((0, 0, 1)))
    every: dict[str, Any] = {
        "id": chance.choice((row.execution_id, row.execution_id[:-1])),
        "id_prefix": row.execution_id[: chance.randrange(len(row.execution_id) + 1)],
        "status": tuple(chance.sample(STATUSES, chance.randint(1, 3))),
        "workflow": chance.choice((row.workflow, "deploy", "none")),
        "tag": tuple(chance.sample(TAGS, chance.choice((1, 1, 2)))),
        "since": moment,
        "due_before": moment,
        "dead_runners": tuple(chance.sample((*OWNERS, "runner-9", ""), chance.randint(1, 3))),
        "after": (row.started_at, chance.choice((row.execution_id, "", "m", "~"))),
    }
    rare = ("id", "due_before")
    given = {name: value for name, value in every.items() if chance.random() < (0.1 if name in rare else 0.3)}
    if "dead_runners" in given and chance.random() < 0.7:
        given["status"] = chance.choice((("paused",), ("running",), ("running", "paused"), ("failed", "paused")))
    pages: dict[str, Any] = {"limit": chance.choice((0, 1, 3, 50, 1000)), "offset": chance.choice((0, 0, 1, 7))}
    return Query(**given, **pages, count_to=chance.choice((0, 1, 5, 10_000)))


def answer(rows: Iterable[Row], query: Query) -> tuple[list[Row], bool, int | None]:
    """The rows of the page, whether there are more, and the total."""
    order = [row for row in sorted(rows, key=_order, reverse=True) if _matches(row, query)]
    end = query.offset + query.limit
    return order[query.offset : end], len(order) > end, min(len(order), query.count_to) if query.count_to else None


def _order(row: Row) -> tuple[Any, str]:
    return row.summary.started_at, row.summary.execution_id


def _matches(row: Row, query: Query) -> bool:
    s = row.summary
    status = s.status
    if status == "running" and (row.ownership.owner or "") in query.dead_runners:
        status = "paused"
    return all(
        (
            query.id in (None, s.execution_id),
            s.execution_id.startswith(query.id_prefix or ""),
            not query.status or status in query.status,
            query.workflow in (None, s.workflow),
            set(query.tag) <= set(s.tags),
            query.since is None or s.started_at >= query.since,
            query.due_before is None or (s.due_at is not None and s.due_at < query.due_before),
            query.after is None or _order(row) < query.after,
        )
    )
