"""One connection: uvicorn's, but for what it lets strangers do to it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from cerebelum.service.shares import Shares, neighbourhood
from cerebelum.service.web.limits import Limits


class Connection(H11Protocol):
    """Speaks HTTP/1.1. `sweep`, which is called every second or so, ends what takes too long."""

    def __init__(self, config: Config, state: ServerState, limits: Limits, shares: Shares) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self._limits = limits
        self._shares = shares
        self._who: str | None = None
        """Whose share this is of, if it is one."""
        self._since = 0.0
        """When it was made, or gave the last answer."""
        self._closing_since: float | None = None
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many."""
        super().connection_made(transport)
        self._since = self.loop.time()
        who = neighbourhood(self.client[0] if self.client else "?")
        if self._shares.take(who):
            self._who = who
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        who, self._who = self._who, None
        if who is not None:
            self._shares.give_back(who)
        super().connection_lost(exc)
        # Its timer would keep a connection that was reset, with all that it holds, until it is over.
        self._unset_keepalive_if_required()

    def on_response_complete(self) -> None:
        """An answer was given; another request may follow."""
        self._since = self.loop.time()
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Something came."""
        try:
            super().data_received(data)
        except h11.ProtocolError:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        error = {"message": "this is no HTTP request", "where": None, "hint": None, "exit_code": 2}
        body = json.dumps({"error": error}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        with suppress(h11.LocalProtocolError):
            parts: list[Any] = [h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()]
            self.transport.write(b"".join(self.conn.send(part) or b"" for part in parts))
        self.transport.close()

    def shutdown(self) -> None:
        """End after the answer that is under way, if there is one."""
        try:
            super().shutdown()
        except h11.LocalProtocolError:
            self.transport.abort()

    def sweep(self, now: float) -> None:
        """End it if it has kept us waiting for too long."""
        unsent = self.transport.get_write_buffer_size()
        if unsent < self._unsent:
            # They are still taking the last answer.
            self._since, self._closing_since = now, None
        self._unsent = unsent
        if self.transport.is_closing():
            self._closing_since = self._closing_since or now
            if now - self._closing_since > self._limits.close_seconds:
                self.transport.abort()
        elif self._awaits_them() and now - self._since > self._limits.head_seconds:
            self.transport.abort()

    def _awaits_them(self) -> bool:
        """Whether it is their turn: to say what they want, or to come to the end of what was answered already."""
        # uvicorn says that there is always one.
        cycle: RequestResponseCycle | None = self.cycle
        answered = cycle is None or cycle.response_complete
        return answered and self.conn.their_state in (h11.IDLE, h11.SEND_BODY, h11.MUST_CLOSE, h11.ERROR)
