"""The shapes of what `cerebelum store` prints with --json; part of contract.py, which says what holds of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict

from cerebelum.core.status import Status


class Damage(TypedDict):
    """Something in a store that is not as it was written; version 0 means the whole execution, no id the database."""

    execution_id: str | None
    version: int
    message: str


class Verification(TypedDict):
    """What `store verify --json` prints."""

    executions: int
    events: int
    ok: bool
    flaws: Sequence[Damage]


class StoreInfo(TypedDict):
    """What `store info --json` prints."""

    where: str
    kind: str
    exists: bool
    library: str | None
    server: str | None
    schema_version: int | None
    known_schema_version: int | None
    size: int | None
    executions: dict[str, int]
    events: int
    tombstones: int
    log_bytes: int | None
    oldest: datetime | None
    newest: datetime | None
    warnings: Sequence[str]
    details: dict[str, Any]


class Refused(TypedDict):
    """What was not taken from one place to another; without an id, what is wrong is the bundle."""

    execution_id: str | None
    where: str | None
    message: str


class Exported(TypedDict):
    """What `store export -o FILE --json` prints."""

    ok: bool
    file: str
    executions: int
    events: int
    tombstones: int
    refused: Sequence[Refused]


class Transfer(TypedDict):
    """What `store import --json` and `store copy --json` print."""

    ok: bool
    added: int
    carried_forward: int
    there_already: int
    events: int
    tombstones: int
    left_out: Sequence[str]
    refused: Sequence[Refused]


class Backup(TypedDict):
    """What `store backup --json` prints."""

    ok: bool
    file: str
    size: int
    refused: Sequence[Refused]


class Head(TypedDict):
    """A line of `store heads`: the last event of a log that is over, or was pruned."""

    execution_id: str
    workflow: str
    status: Status
    started_at: datetime
    ended_at: datetime | None
    version: int
    digest: str
    pruned_at: datetime | None


class Pruning(TypedDict):
    """What `store prune --json` prints: what was removed, or would be."""

    dry_run: bool
    executions: Sequence[Head]
    events: int
    taken_up: Sequence[str]
