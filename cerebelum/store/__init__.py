"""Where events live: the contract that every backend fulfils, and what can be read from any store.

A backend imports the contract from here. May import `core` and `host`.
"""

from cerebelum.store.contract import (
    BacksUp,
    Change,
    Chunk,
    Conflict,
    Description,
    EventStore,
    Fenced,
    LogPage,
    Ownership,
    Page,
    Process,
    Query,
    Row,
    Runner,
    Stream,
    Tombstone,
    Totals,
    Whole,
    every,
    every_chunk,
    every_tombstone,
    forget_output,
)

__all__ = [
    "BacksUp",
    "Change",
    "Chunk",
    "Conflict",
    "Description",
    "EventStore",
    "Fenced",
    "LogPage",
    "Ownership",
    "Page",
    "Process",
    "Query",
    "Row",
    "Runner",
    "Stream",
    "Tombstone",
    "Totals",
    "Whole",
    "every",
    "every_chunk",
    "every_tombstone",
    "forget_output",
]
