"""Who is let in: a browser that was led here by another site is not, nor is anybody without a token that is needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cerebelum.service.access import Forbidden, Tokens
from cerebelum.service.settings import Address, Settings

_HOST = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/@?#\[\]\\]+)(?::(?P<port>\d{1,5}))?")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PORTS = {"http": 80, "https": 443}

Place = tuple[str, int]


class Guard:
    """Checks requests to one address."""

    def __init__(self, settings: Settings, address: Address) -> None:
        self._tokens: Tokens | None = settings.tokens
        self._address = address
        self._scheme = "https" if settings.tls else "http"
        self._names = {name.lower().strip("[]") for name in settings.host_names}

    @property
    def needs_token(self) -> bool:
        """Whether nobody is served without one."""
        return self._tokens is not None

    def check_origin(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        """Raises Forbidden if a browser takes this for another site, or has the request from another site.

        A page of a foreign site can have its name resolved to this address; but the browser then says that name, which
        is no address, and none that the service was given.
        """
        said = headers.get("host", "")
        place = _place(said, self._scheme)
        if place is None or not self._is_here(place, scope):
            raise Forbidden(
                f"the service is not known as {said[:100]!r}",
                hint="a name for it is given with: serve --host-name NAME",
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_own(origin, place):
            raise Forbidden(f"a page of {origin[:100]!r} may not ask this service", where="Origin")

    def owner(self, headers: Mapping[str, str]) -> str | None:
        """Whom the token was given to that is needed, if one is. Raises Unauthenticated."""
        return None if self._tokens is None else self._tokens.owner(headers.get("authorization"))

    def _is_here(self, place: Place, scope: Mapping[str, Any]) -> bool:
        host, port = place
        if host in self._names:
            return True
        server = scope.get("server") or ("", None)
        own = {self._address.host.lower(), str(server[0]).lower()}
        if self._address.is_loopback or str(server[0]) in _LOOPBACK:
            own |= {*_LOOPBACK}
        return host in own and port == self._address.port

    def _is_own(self, origin: str, place: Place) -> bool:
        scheme, colon, rest = origin.partition("://")
        # Behind a proxy the browser's scheme is the proxy's.
        schemes = _PORTS if place[0] in self._names else {self._scheme: 0}
        if not colon or scheme not in schemes:
            return False
        there = _place(rest, scheme)
        return there == place or (place[0] in self._names and there is not None and there[0] == place[0])


def _place(text: str, scheme: str) -> Place | None:
    """Host and port of `HOST[:PORT]`."""
    match = _HOST.fullmatch(text)
    if match is None:
        return None
    return match["host"].lower().strip("[]"), int(match["port"] or _PORTS[scheme])
