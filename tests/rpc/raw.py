"""HTTP/2 by hand: calls that no client of gRPC would make."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Self

HEADERS, RESET, SETTINGS, GOAWAY, DATA = 1, 3, 4, 7, 0
_END_HEADERS, _ACK = 4, 1
_INITIAL_WINDOW = 4


class RawConnection:
    """A connection on which calls are begun, and not ended unless one says so."""

    def __init__(self, address: str, *, window: int | None = None) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        settings = b"" if window is None else _INITIAL_WINDOW.to_bytes(2, "big") + window.to_bytes(4, "big")
        hello = _frame(SETTINGS, 0, 0, settings) + _frame(SETTINGS, _ACK, 0, b"")
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hello)
        self._streams = 0

    def begin(self, path: str, data: bytes = b"", *, times: int = 1) -> None:
        """Send the headers of calls of a method, and the beginning of a message."""
        said = (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x")
        head = _fields([*said, ("content-type", "application/grpc"), ("te", "trailers")])
        sent = b""
        for _ in range(times):
            stream = 2 * self._streams + 1
            self._streams += 1
            sent += _frame(HEADERS, _END_HEADERS, stream, head)
            sent += _frame(DATA, 0, stream, data) if data else b""
        self.socket.sendall(sent)

    def answers(self) -> Iterable[tuple[int, bytes]]:
        """Kind and content of the frames that come."""
        file = self.socket.makefile("rb")
        while len(head := file.read(9)) == 9:
            yield head[3], file.read(int.from_bytes(head[:3], "big"))

    def ended(self, count: int) -> None:
        """Wait until so many calls were ended."""
        for kind, _ in self.answers():
            count -= kind == RESET
            if count <= 0:
                return
        raise AssertionError(f"{count} calls were not ended")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def message(data: bytes, length: int | None = None) -> bytes:
    """A message as gRPC sends it, or the beginning of one that is said to have this length."""
    return b"\0" + (len(data) if length is None else length).to_bytes(4, "big") + data


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content


def _fields(fields: Iterable[tuple[str, str]]) -> bytes:
    """Headers without compression; all of them are short."""
    return b"".join(b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in field) for field in fields)
