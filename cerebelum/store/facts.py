"""What a store says about itself and what there is in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from cerebelum.core.status import Status


class Totals(msgspec.Struct, frozen=True):
    """How much there is in a store."""

    executions: Mapping[Status, int]
    """How many by stored status; those without any are left out."""
    events: int
    tombstones: int
    log_bytes: int | None = None
    """Bytes of step output; None if the store cannot say."""


class Started(msgspec.Struct, frozen=True):
    """What there is in a store of one workflow."""

    workflow: str
    executions: int
    last: datetime
    """When the newest of them started."""


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What a store says about itself, without a password anywhere."""

    kind: str
    """The database, such as `SQLite`."""
    where: str
    """Where the store is, as a URL that may be shown to anybody."""
    exists: bool = True
    """Whether it has been created; that happens when it is first written."""
    library: str | None = None
    """What speaks to the database, such as `pysqlite3 3.53.4`."""
    server: str | None = None
    """Version of the server, if there is one."""
    schema_version: int | None = None
    known_schema_version: int | None = None
    """The one that this program creates, and migrates older ones to."""
    size: int | None = None
    """Bytes on disk."""
    path: str | None = None
    """The file, if the store is one."""
    warnings: tuple[str, ...] = ()
    """What a user should know about this installation or server; usually nothing."""
    details: Mapping[str, Any] = {}
    """More facts by name, as JSON."""


class Appended(msgspec.Struct, frozen=True):
    """What was appended to since a while ago."""

    mark: str
    """For asking again from here on."""
    executions: tuple[str, ...] | None
    """None: it may be any."""
