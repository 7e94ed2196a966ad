"""What a service is told at its start."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import msgspec

from cerebelum.core.errors import UsageError
from cerebelum.service.access import Tokens


class Address(msgspec.Struct, frozen=True):
    """Where to listen. Port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, option: str) -> Address:
        """What `HOST:PORT`, `:PORT` (this machine alone) or `[::1]:PORT` means. Raises UsageError."""
        host, colon, port = text.rpartition(":")
        if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535 or (":" in host) != ("[" in host):
            raise UsageError(f"{option} {text!r} is no address", hint="write it like 127.0.0.1:8080 or [::1]:8080")
        return cls(host.strip("[]") or "127.0.0.1", int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def text(self) -> str:
        """As it is written."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a service listens, and whom it serves."""

    grpc: Address | None = None
    http: Address | None = None
    tokens: Tokens | None = None
    """None: everybody who reaches it is served, which only loopback addresses allow."""
    tls: tuple[str, str] | None = None
    """Files with the certificate chain and its key, PEM."""
    host_names: tuple[str, ...] = ()
    """Names that browsers may know the service by, besides its address."""
    say: Callable[[str], None] = print
    """Told what an operator should know, a line at a time."""

    @property
    def listeners(self) -> int:
        """On how many addresses it listens."""
        return (self.grpc is not None) + (self.http is not None)

    def check(self) -> None:
        """Raises UsageError if somebody from elsewhere could come in without a token."""
        if self.grpc is None and self.http is None:
            raise UsageError("there is nothing to serve", hint="leave out --no-grpc or --no-http")
        for address in (self.grpc, self.http):
            if address is not None and not address.is_loopback and self.tokens is None:
                raise UsageError(
                    f"others can reach {address.text()}, so it needs tokens",
                    hint="openssl rand -hex 24 > tokens; chmod 600 tokens; and give --token-file tokens",
                )
