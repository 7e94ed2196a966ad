"""The page's files, read and compressed once.

`/` is index.html, the others are under `/static/`. Nothing else is served.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable

import msgspec
from starlette.types import Receive, Scope, Send

from cerebelum.service.web.errors import Refused

_INDEX = "index.html"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".ico": "image/x-icon",
}
"""Not what the machine's own table may say."""


class File(msgspec.Struct, frozen=True):
    """One file, as it is sent."""

    body: bytes
    packed: bytes | None
    """The body in gzip; None if that is not smaller."""
    kind: str
    etag: str


def page_files(folder: Traversable | None = None) -> dict[str, File]:
    """The page's files by their address."""
    folder = folder or resources.files("cerebelum.service.web") / "page"
    if not folder.is_dir():
        return {}
    files = {each.name: _file(each) for each in folder.iterdir() if each.is_file() and not each.name.startswith(".")}
    return {"/" if name == _INDEX else f"/static/{name}": file for name, file in files.items()}


def _file(source: Traversable) -> File:
    body = source.read_bytes()
    ending = f".{source.name.rpartition('.')[2]}"
    kind = _TYPES.get(ending) or mimetypes.guess_type(source.name)[0] or "application/octet-stream"
    packed = gzip.compress(body, mtime=0)
    return File(body, packed if len(packed) < len(body) else None, kind, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


class Static:
    """Serves these files."""

    def __init__(self, files: Mapping[str, File]) -> None:
        self._files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file that is asked for. Raises Refused (404, 405)."""
        file = self._files.get(scope["path"])
        if file is None:
            raise Refused(404, "there is nothing at this address", hint="the page is at /, the API is in /openapi.json")
        if scope["method"] not in ("GET", "HEAD"):
            raise Refused(405, f"{scope['method'][:20]} means nothing here", headers={"Allow": "GET, HEAD"})
        asked = {name: value.decode("latin-1") for name, value in scope["headers"]}
        fresh = file.etag in [tag.strip().removeprefix("W/") for tag in asked.get(b"if-none-match", "").split(",")]
        packed = file.packed if _takes_gzip(asked.get(b"accept-encoding", "")) else None
        body = file.body if packed is None else packed
        # The same bytes in another form: as a validator, it is a weak one.
        etag = file.etag if packed is None else f"W/{file.etag}"
        headers = [(b"etag", etag.encode()), (b"cache-control", b"no-cache"), (b"vary", b"accept-encoding")]
        if not fresh:
            headers += [(b"content-type", file.kind.encode()), (b"content-length", str(len(body)).encode())]
            headers += [] if packed is None else [(b"content-encoding", b"gzip")]
        await send({"type": "http.response.start", "status": 304 if fresh else 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if fresh else body})


def _takes_gzip(accepted: str) -> bool:
    """What `Accept-Encoding` says of gzip: `gzip;q=0` forbids it, and `*` speaks for what is not named."""
    said: dict[str, bool] = {}
    for part in accepted.lower().split(","):
        name, _, weight = part.partition(";")
        said[name.strip()] = re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight) is None
    return said.get("gzip", said.get("*", False))
