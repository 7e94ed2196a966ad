"""Follows a connection of the Postgres protocol from outside: what is asked, and which answer acknowledges a write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from struct import unpack_from

WRITES = r"\b(insert|update|delete|merge)\b"
"""What a statement that changes something has in it."""

_ENCRYPTION = (80877103, 80877104)
_CANCEL = 80877102


class Wire:
    """Both directions of a connection. What is encrypted stays unknown."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """The statements that the client has sent since it was last told that no transaction is open."""
        self.ready = False
        """Whether the client has logged in."""
        self.waiting = 1
        """How many answers are not complete yet."""
        self.copying = False
        """Whether the server waits for the rows of a COPY."""
        self._begun = False
        self._opaque = False
        self._choosing = False
        self._prepared: dict[bytes, str] = {}
        self._client = bytearray()
        self._server = bytearray()

    def client(self, data: bytes) -> list[str]:
        """The statements that this data from the client completes."""
        if self._opaque:
            return []
        self._client += data
        while not self._begun and len(self._client) >= 8:
            size, code = unpack_from("!II", self._client)
            if len(self._client) < size:
                break
            del self._client[:size]
            self._choosing = code in _ENCRYPTION
            self._opaque = code == _CANCEL
            self._begun = not self._choosing
        found = [said for kind, body in _messages(self._client) if (said := self._said(kind, body)) is not None]
        self.asked += found
        return found

    def server(self, data: bytes) -> list[str]:
        """Take data from the server in; returns the statements that this acknowledges as done and committed."""
        if self._opaque:
            return []
        if self._choosing:
            self._choosing = False
            self._opaque = data[:1] != b"N"
            data = data[1:]
        self._server += data
        done: list[str] = []
        for kind, body in _messages(self._server):
            self.copying = kind == b"G" or (self.copying and kind != b"Z")
            if kind == b"Z":
                self.ready = True
                self.waiting -= 1
                if body == b"I":
                    done, self.asked = [*done, *self.asked], []
        return done

    def _said(self, kind: bytes, body: bytes) -> str | None:
        if kind in (b"Q", b"S"):
            self.waiting += 1
        if kind == b"Q":
            return body[:-1].decode()
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self._prepared[name] = text.decode()
        elif kind == b"B":
            _, name, _ = body.split(b"\0", 2)
            return self._prepared.get(name, "")
        return None


def any_matches(statements: list[str], pattern: str) -> bool:
    """Whether one of the statements has something that matches."""
    return any(re.search(pattern, each, re.IGNORECASE) for each in statements)


def _messages(buffer: bytearray) -> Iterator[tuple[bytes, bytes]]:
    """Take whole messages out of the buffer: their type and body."""
    while len(buffer) >= 5:
        size = unpack_from("!I", buffer, 1)[0] + 1
        if len(buffer) < size:
            return
        yield bytes(buffer[:1]), bytes(buffer[5:size])
        del buffer[:size]
