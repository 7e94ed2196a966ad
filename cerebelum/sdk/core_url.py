"""How a service is named: `host:9090`, or a URL that says whether it speaks TLS. It is a store that is elsewhere."""

from __future__ import annotations

import re

from cerebelum.core.errors import UsageError

VARIABLE = "CEREBELUM_CORE_URL"


def store_of(core_url: str, where: str) -> str:
    """The URL of the store behind a service: `grpc://HOST:PORT`, or `grpcs://` with TLS.

    Raises UsageError for what names no service; `where` says who named it.
    """
    scheme, colons, rest = core_url.partition("://")
    if not colons:
        scheme, rest = "grpc", core_url
    if scheme not in ("grpc", "grpcs") or not re.fullmatch(r"[^\s/]+/?", rest):
        raise UsageError(
            f"{where}: {core_url!r} names no service", hint="write it like host:9090, or grpcs://host:9090"
        )
    return f"{scheme}://{rest.rstrip('/')}"


def is_service(url: str) -> bool:
    """Whether the URL of a store means a service."""
    return url.startswith(("grpc://", "grpcs://"))
