"""Where events live: the contract that every backend fulfils, and what can be read from any store.

A backend imports the contract from here. May import `core` and `host`.
"""

from cerebelum.store.contract import (
    BacksUp,
    Change,
    Chunk,
    Claim,
    Conflict,
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
    Whole,
    every,
    every_chunk,
    every_tombstone,
    forget_output,
)
from cerebelum.store.facts import Appended, Description, Started, Totals

__all__ = [
    "Appended",
    "BacksUp",
    "Change",
    "Chunk",
    "Claim",
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
    "Started",
    "Stream",
    "Tombstone",
    "Totals",
    "Whole",
    "every",
    "every_chunk",
    "every_tombstone",
    "forget_output",
]
