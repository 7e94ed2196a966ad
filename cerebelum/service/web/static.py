"""The page's files, read once: `/` is index.html, the others are under `/static/`. Nothing else is served."""

from __future__ import annotations

import hashlib
import mimetypes
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
    return File(body, kind, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


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
        known = dict(scope["headers"]).get(b"if-none-match", b"").decode("latin-1")
        fresh = file.etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]
        headers = [(b"etag", file.etag.encode()), (b"cache-control", b"no-cache")]
        if not fresh:
            headers += [(b"content-type", file.kind.encode()), (b"content-length", str(len(file.body)).encode())]
        await send({"type": "http.response.start", "status": 304 if fresh else 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if fresh else file.body})
