"""How much anybody may take of the server."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds, in seconds, bytes, and numbers."""

    body: int = 1 << 20
    """Bytes of a request's body."""
    head: int = 32 << 10
    """Bytes of a request's line and headers."""
    head_seconds: float = 10.0
    """For a connection to say what it wants, from when it was made or the last answer was given."""
    body_seconds: float = 30.0
    answer_seconds: float = 30.0
    """For the store to answer."""
    health_seconds: float = 3.0
    """For the store to answer whoever only wants to know whether it does."""
    idle_seconds: int = 5
    """For which a connection is kept open after an answer, while nothing comes."""
    send_seconds: float = 30.0
    """For a watcher to take what a stream has for it."""
    beat_seconds: float = 15.0
    """From one sign of life of a stream to the next."""
    close_seconds: float = 5.0
    """For a connection that is being closed to take the rest."""
    streams: int = 2000
    """Of these, as of the others below, one caller may have half of what is left: see Shares."""
    requests: int = 512
    """Under way at the same time, besides streams."""
    connections: int = 4000
