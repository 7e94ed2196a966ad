"""The HTTP side: `/health` tells whether the service can do its work, `/hello/NAME` is that work."""

import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from greeter import __version__
from greeter.config import ConfigError, load


class Server(ThreadingHTTPServer):
    """Listens on loopback; port 0 lets the system choose one. The settings are read once, here."""

    daemon_threads = True

    def __init__(self, config: Path, port: int = 0) -> None:
        self.problem: str | None = None
        self.greeting = ""
        try:
            self.greeting = load(config).greeting
        except ConfigError as error:
            # It answers all the same: whoever asks how it is, is told what is missing.
            self.problem = str(error)
        super().__init__(("127.0.0.1", port), Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path == "/health":
            self._health()
        elif self.path.startswith("/hello/") and not self.server.problem:
            name = unquote(self.path.removeprefix("/hello/")) or "nobody"
            self._answer(HTTPStatus.OK, {"text": f"{self.server.greeting}, {name}!"})
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "there is nothing here"})

    def _health(self) -> None:
        problem = self.server.problem
        status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
        self._answer(status, {"status": problem or "ok", "version": __version__})

    def _answer(self, status: HTTPStatus, body: dict[str, str]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
