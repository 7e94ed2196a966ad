"""A service as a process of its own, and one within the test."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import pytest

from cerebelum import ExecutionClient
from cerebelum.sdk.verbs import Verbs
from cerebelum.service.access import Tokens
from cerebelum.service.operations import Operations
from cerebelum.service.settings import Address, Settings
from cerebelum.service.web.limits import Limits
from cerebelum.service.web.server import WebServer
from cerebelum.service.workflows import Workflows
from tests.lifecycle.world import PATIENCE, World
from tests.sdk.conftest import executors
from tests.stores import open_store

MENDABLE = """
name: mendable
inputs: {who: {type: string, default: you}}
steps:
  - {id: first, run: 'echo "hello $INPUT_WHO"; echo one >> done', output: text}
  - {id: second, run: 'echo here >> at; test -e mended'}
  - {id: third, run: 'echo three >> done'}
"""
ASKING = """
name: asking
steps:
  - {id: ask, approval: {message: really, data: {cost: 3}}}
  - {id: end, run: 'echo last >> done'}
"""
WAITING = """
name: waiting
steps:
  - {id: first, run: 'echo one >> done'}
  - {id: gate, run: 'echo here >> at; while [ ! -e open ]; do sleep 0.02; done'}
  - {id: end, run: 'echo three >> done'}
"""


class Message(NamedTuple):
    """A server-sent event."""

    kind: str
    data: Any
    number: int | None


def messages(lines: Iterator[str]) -> Iterator[Message]:
    """The events of a stream, without its signs of life."""
    found: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            found[name] = value
        elif "data" in found:
            number = found.get("id")
            yield Message(found["event"], json.loads(found["data"]), None if number is None else int(number))
            found = {}
        else:
            found = {}


class Service:
    """The real program as a service, and a client of it."""

    def __init__(self, world: World, *arguments: str) -> None:
        self.world = world
        self.process = world.start("serve", "--no-grpc", "--http", "127.0.0.1:0", "--json", *arguments)
        assert self.process.stdout is not None
        said = b""
        for line in self.process.stdout:
            said += line
            if line.startswith(b"}"):
                break
        assert said, self.process.communicate()
        told = json.loads(said)
        self.address: str = told["http"]
        self.http = httpx.Client(base_url=f"http://{self.address}", timeout=PATIENCE, trust_env=False)

    def get(self, path: str, code: int = 200, **query: Any) -> Any:
        """The JSON at an address of the API."""
        answer = self.http.get(f"/api/v1{path}", params=query)
        assert answer.status_code == code, answer.text
        return answer.json()

    def post(self, path: str, code: int = 200, /, **body: Any) -> Any:
        """What comes of a request to do something."""
        answer = self.http.post(
            f"/api/v1{path}", content=json.dumps(body), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == code, answer.text
        return answer.json()

    def stream(self, path: str, headers: Mapping[str, str] | None = None, **query: Any) -> list[Message]:
        """All of a stream."""
        with self.http.stream("GET", f"/api/v1{path}", params=query, headers=dict(headers or {})) as answer:
            assert answer.status_code == 200
            return list(messages(answer.iter_lines()))

    def close(self) -> None:
        self.http.close()
        self.process.terminate()
        self.process.communicate(timeout=PATIENCE)


class Services:
    """Starts services of one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._started: list[Service] = []

    def __call__(self, *arguments: str) -> Service:
        service = Service(self.world, *arguments)
        self._started.append(service)
        return service

    def close(self) -> None:
        for service in self._started:
            service.http.close()
            if service.process.poll() is None:
                service.process.kill()
            service.process.communicate()


@pytest.fixture
def serve(world: World) -> Iterator[Services]:
    services = Services(world)
    yield services
    services.close()


class Within(NamedTuple):
    """A server in this process."""

    server: WebServer
    http: httpx.AsyncClient
    address: Address
    said: list[str]


@asynccontextmanager
async def within(
    world: World,
    *,
    tokens: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    read_only: bool = False,
    host_names: tuple[str, ...] = (),
    tls: tuple[str, str] | None = None,
    verbs: Verbs | None = None,
) -> AsyncIterator[Within]:
    """A server in this process and event loop, of this world's store; nothing of it is left afterwards."""
    said: list[str] = []
    used = verbs or Verbs(lambda: open_store(world.url), executors, environ=world.environ)
    operations = Operations(ExecutionClient.over(used), store=world.url, workflows=Workflows({}), read_only=read_only)
    settings = Settings(
        http=Address("127.0.0.1", 0),
        tokens=None if tokens is None else Tokens(tokens),
        host_names=host_names,
        tls=tls,
        say=said.append,
    )
    server = WebServer(operations, settings, Address("127.0.0.1", 0), limits=limits)
    address = await server.start()
    try:
        base = f"{'https' if tls else 'http'}://{address.text()}"
        trusted = ssl.create_default_context(cafile=tls[0] if tls else None)
        limits_ = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(
            base_url=base, timeout=PATIENCE, trust_env=False, verify=trusted, limits=limits_
        ) as http:
            yield Within(server, http, address, said)
    finally:
        await server.stop(1.0)
        await operations.client.close()
        used.close()
