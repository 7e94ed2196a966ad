"""Who calls a method."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

import grpc
import msgspec

from cerebelum.service.access import Tokens
from cerebelum.service.shares import neighbourhood


class Caller(msgspec.Struct, frozen=True):
    """Who calls a method."""

    owner: str | None
    """Whom the token was given to, if it names somebody."""
    peer: str
    """Where the call comes from, such as `ipv4:127.0.0.1:51234`."""

    def by(self, said: str | None) -> str:
        """In whose name something is done: the token's, what the caller says, or where the call comes from."""
        return self.owner or said or self.peer.rpartition(":")[0]

    @property
    def who(self) -> str:
        """Whose share of the service the call takes."""
        host = unquote(self.peer.partition(":")[2].rpartition(":")[0]).strip("[]")
        return self.owner or neighbourhood(host)


def caller_of(context: grpc.aio.ServicerContext[Any, Any], tokens: Tokens | None) -> Caller:
    """Who calls. Raises Unauthenticated, if there are tokens."""
    owner = None if tokens is None else tokens.owner(authorization(context.invocation_metadata()))
    return Caller(owner, context.peer())


def authorization(sent: Iterable[tuple[str, str | bytes]] | None) -> str | None:
    """What is said for being let in."""
    value = dict(sent or ()).get("authorization")
    return value.decode("latin-1") if isinstance(value, bytes) else value
