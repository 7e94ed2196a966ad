"""What strangers do to a server: wrong names, wrong tokens, other sites' pages, endless bodies, and no HTTP at all."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from cerebelum.core.errors import UsageError
from cerebelum.sdk.verbs import Verbs
from cerebelum.service.settings import Address, Settings
from cerebelum.service.web.guard import Guard
from cerebelum.service.web.limits import Limits
from cerebelum.service.web.server import WebServer
from cerebelum.service.web.static import page_files
from tests.lifecycle.world import PATIENCE, World
from tests.service.conftest import Within, within
from tests.stores import only_sqlite

# What is tested here is the same on any store.
pytestmark = [only_sqlite, pytest.mark.usefixtures("store_url")]

TOKEN, OTHERS = "t" * 24, "u" * 24
LIST = "/api/v1/executions"
QUICK = msgspec.structs.replace(Limits(), head_seconds=2.0, body_seconds=1.0, close_seconds=1.0)


def error(answer: httpx.Response, code: int) -> Any:
    """What an answer says that went wrong."""
    assert answer.status_code == code, answer.text
    assert answer.headers["content-type"] == "application/json"
    said = answer.json()["error"]
    assert said["message"]
    return said


async def raw(at: Within, sent: bytes) -> bytes:
    """All that comes back for these bytes."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(at.address.host, at.address.port)
        writer.write(sent)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


async def still_serves(at: Within) -> bool:
    return bool((await at.http.get("/healthz")).json() == {"ok": True})


# --- who ------------------------------------------------------------------------------------------------------------


def test_with_tokens_nobody_comes_in_without_one(world: World) -> None:
    async def main() -> None:
        async with within(world, tokens={TOKEN: "ann", OTHERS: ""}) as at:
            for path in ("/api/v1/service", LIST, "/metrics", "/api/v1/stream", f"{LIST}/x/stream"):
                for given in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": f"Basic {TOKEN}"}):
                    answer = await at.http.get(path, headers=given)
                    error(answer, 401)
                    assert answer.headers["www-authenticate"].startswith("Bearer")
            error(await at.http.post(LIST, json={"workflow": "x"}), 401)
            assert (await at.http.get(LIST, headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 200
            assert (await at.http.get("/metrics", headers={"Authorization": f"bearer {TOKEN}"})).status_code == 200
            for token, owner in ((TOKEN, "ann"), (OTHERS, None)):
                told = (await at.http.get("/api/v1/service", headers={"Authorization": f"Bearer {token}"})).json()
                assert (told["authenticated_as"], told["needs_token"]) == (owner, True)
            twice = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {TOKEN}")]
            error(await at.http.get(LIST, headers=twice), 401)
            for path in ("/healthz", "/openapi.json"):
                assert (await at.http.get(path)).status_code == 200

    asyncio.run(main())


def test_the_owner_of_the_token_is_who_does_it(world: World) -> None:
    world.run("steps: [{id: a, approval: {message: Go?}}]", "--park")

    async def main() -> None:
        async with within(world, tokens={TOKEN: "ann"}) as at:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            answer = await at.http.post(f"{LIST}/x/approve", json={"comment": "fine"}, headers=headers)
            assert answer.status_code == 200, answer.text

    asyncio.run(main())
    granted = world.events()[-1]
    assert (granted.by, granted.comment) == ("ann", "fine")  # type: ignore[union-attr]


HERE = [
    ("127.0.0.1:{port}", True),
    ("localhost:{port}", True),
    ("LOCALHOST:{port}", True),
    ("[::1]:{port}", True),
    ("flows.example", True),
    ("flows.example:8443", True),
    ("evil.example:{port}", False),
    ("127.0.0.1.evil.example:{port}", False),
    ("localhost:1", False),
    ("localhost", False),
    ("127.0.0.2:{port}", False),
    ("user@127.0.0.1:{port}", False),
    ("127.0.0.1:{port}/x", False),
    ("", False),
]


@pytest.mark.parametrize(("host", "good"), HERE)
def test_a_name_that_is_not_the_services_is_refused(world: World, host: str, good: bool) -> None:
    async def main() -> None:
        async with within(world, host_names=("flows.example",)) as at:
            name = host.format(port=at.address.port)
            answer = await at.http.get(LIST, headers={"Host": name})
            if good:
                assert answer.status_code == 200
            else:
                assert "not known as" in error(answer, 403)["message"]
                error(await at.http.get("/", headers={"Host": name}), 403)
                assert (await at.http.get("/healthz", headers={"Host": name})).status_code == 200

    asyncio.run(main())


ORIGINS = [
    ("http://127.0.0.1:{port}", True),
    ("http://localhost:{port}", False),
    ("https://127.0.0.1:{port}", False),
    ("http://127.0.0.1", False),
    ("http://evil.example", False),
    ("null", False),
    ("", False),
]


@pytest.mark.parametrize(("origin", "good"), ORIGINS)
def test_a_page_of_another_site_is_refused(world: World, origin: str, good: bool) -> None:
    world.run("steps: [{id: a, approval: {message: Go?}}]", "--park")

    async def main() -> None:
        async with within(world) as at:
            headers = {"Origin": origin.format(port=at.address.port)}
            for ask in (
                at.http.get(LIST, headers=headers),
                at.http.post(f"{LIST}/x/approve", json={}, headers=headers),
            ):
                answer = await ask
                assert answer.status_code == (200 if good else 403)
                assert "access-control-allow-origin" not in answer.headers

    asyncio.run(main())
    assert (world.status() == "waiting_for_approval") is not good


def test_behind_a_proxy_its_name_and_scheme_count() -> None:
    guard = Guard(Settings(host_names=("flows.example",)), Address("127.0.0.1", 8080))
    scope = {"server": ("127.0.0.1", 8080)}
    guard.check_origin(scope, {"host": "flows.example", "origin": "https://flows.example"})
    guard.check_origin(scope, {"host": "flows.example:8443", "origin": "https://flows.example:8443"})
    for origin in ("https://flows.example.evil", "ftp://flows.example", "https://other.example"):
        with pytest.raises(Exception, match="may not ask"):
            guard.check_origin(scope, {"host": "flows.example", "origin": origin})


def test_the_address_a_connection_came_to_is_a_name_of_it() -> None:
    guard = Guard(Settings(), Address("0.0.0.0", 8080))
    guard.check_origin({"server": ("10.0.0.5", 8080)}, {"host": "10.0.0.5:8080"})
    for host in ("10.0.0.6:8080", "evil.example:8080", "localhost:8080"):
        with pytest.raises(Exception, match="not known as"):
            guard.check_origin({"server": ("10.0.0.5", 8080)}, {"host": host})


FORMS = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]


@pytest.mark.parametrize("kind", FORMS)
def test_what_a_form_can_send_is_refused(world: World, kind: str) -> None:
    world.run("steps: [{id: a, approval: {message: Go?}}]", "--park")

    async def main() -> None:
        async with within(world) as at:
            answer = await at.http.post(f"{LIST}/x/approve", content=b"{}", headers={"Content-Type": kind})
            error(answer, 415)
            good = {"Content-Type": "application/json; charset=utf-8"}
            assert (await at.http.post(f"{LIST}/x/approve", content=b"{}", headers=good)).status_code == 200

    asyncio.run(main())


# --- what -----------------------------------------------------------------------------------------------------------


def test_other_methods_are_named_and_refused(world: World) -> None:
    async def main() -> None:
        async with within(world) as at:
            for path, allowed in (
                (LIST, "GET, HEAD, POST"),
                (f"{LIST}/x", "GET, HEAD"),
                (f"{LIST}/x/resume", "POST"),
                (f"{LIST}/x/stream", "GET"),
                ("/healthz", "GET, HEAD"),
            ):
                for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
                    answer = await at.http.request(method, path)
                    error(answer, 405)
                    assert answer.headers["allow"] == allowed
            assert (await at.http.head(LIST)).status_code == 200
            assert (await at.http.head(LIST)).content == b""
            error(await at.http.get(f"{LIST}/x/resume"), 405)

    asyncio.run(main())


NOWHERE = [
    "/nothing", "/api", "/api/v1", "/api/v2/executions", f"{LIST}/", f"{LIST}/x/y/z", "//api/v1/executions",
    "/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py", "/..", "/../../../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd", "/static/", "/static/.gitkeep", "/static//etc/passwd", "/%00", "/index.html",
]  # fmt: skip


@pytest.mark.parametrize("path", NOWHERE)
def test_there_is_nothing_elsewhere(world: World, path: str) -> None:
    async def main() -> None:
        async with within(world) as at:
            host = f"127.0.0.1:{at.address.port}"
            head, _, body = (
                await raw(at, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            ).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 404"), head
            assert json.loads(body)["error"]["message"]

    asyncio.run(main())


def test_ids_that_are_none_are_not_found(world: World) -> None:
    world.run("steps: [{id: a, run: 'true'}]")

    async def main() -> None:
        async with within(world) as at:
            for name in ("..%2f..", "%2e%2e", "x%00", "%ff", "'; DROP TABLE events; --", "x" * 5000, "%ED%A0%80", "*"):
                error(await at.http.get(f"{LIST}/{name}"), 404)

    asyncio.run(main())


BODIES = [
    b"", b"{", b"[]", b"1", b"null", b'"x"', b"\xff", b'{"workflow": NaN}', b'{"workflow": "x", "workflow": "y"}',
    b'{"workflow": "x", "inputs": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, b"[" * 500_000,
    b'{"workflow": "x", "inputs": {"a": 1e999}}', b'{"workflow": "x"} trailing',
    b'{"workflow": "x", "inputs": {"a": ' + b"9" * 5000 + b"}}", b'{"workflow": "x", "unknown": 1}',
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_bodies_that_are_wrong_are_refused(world: World, body: bytes) -> None:
    async def main() -> None:
        async with within(world) as at:
            answer = await at.http.post(LIST, content=body, headers={"Content-Type": "application/json"})
            error(answer, 400)
            assert at.said == []
            assert await still_serves(at)

    asyncio.run(main())


def test_a_body_that_is_too_large_is_not_read_to_its_end(world: World) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    async def again_and_again(at: Within) -> None:
        while True:
            await at.http.post(LIST, content=endless(), headers=headers)

    headers = {"Content-Type": "application/json"}

    async def main() -> None:
        async with within(world, limits=QUICK) as at:
            error(await at.http.post(LIST, content=b" " * (2 << 20), headers=headers), 413)
            assert (await at.http.post(LIST, content=b" " * (1 << 20), headers=headers)).status_code == 400
            said = await raw(at, _head(at, "Content-Length: 104857600"))
            assert said.startswith(b"HTTP/1.1 413")
            # It gets its answer, and is thrown out.
            with pytest.raises(httpx.HTTPError):
                await again_and_again(at)
            assert await still_serves(at)

    asyncio.run(main())


def _head(at: Within, *lines: str) -> bytes:
    head = [f"POST {LIST} HTTP/1.1", f"Host: 127.0.0.1:{at.address.port}", "Content-Type: application/json", *lines]
    return "\r\n".join([*head, "", ""]).encode()


def test_who_does_not_come_to_an_end_is_left(world: World) -> None:
    async def main() -> None:
        async with within(world, limits=QUICK) as at:
            assert await raw(at, b"") == b""
            assert await raw(at, b"GET / HTTP/1.1\r\nHost: x\r\nX-") == b""
            said = await raw(at, _head(at, "Content-Length: 10"))
            assert said.startswith(b"HTTP/1.1 408")
            assert await still_serves(at)
            assert at.said == []

    asyncio.run(main())


def test_a_drip_of_headers_does_not_keep_a_connection(world: World) -> None:
    async def main() -> None:
        async with within(world, limits=QUICK) as at, asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(at.address.host, at.address.port)
            ended = asyncio.create_task(reader.read())
            writer.write(b"GET / HTTP/1.1\r\n")
            number = 0
            while not ended.done():
                number += 1
                writer.write(b"X-%d: x\r\n" % number)
                await asyncio.wait({ended}, timeout=0.05)
            writer.close()
            assert await still_serves(at)

    asyncio.run(main())


NO_HTTP = [
    b"\0" * 1000, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"hello\r\n\r\n", b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\xff\xfe\xfd\r\n\r\n" * 100,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: x\r\n" * 20_000 + b"\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nzzz",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("sent", NO_HTTP, ids=range(len(NO_HTTP)))
def test_what_is_no_http_is_refused(world: World, sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with within(world, limits=QUICK) as at:
            said = await raw(at, sent)
            assert said == b"" or said.split()[1] in (b"400", b"403"), said
            assert await still_serves(at)
            assert at.said == []

    asyncio.run(main())
    assert not caplog.records


ODD = [
    (b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", b"404"),
    (b"OPTIONS * HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", b"404"),
    (b"GET http://evil.example/healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", b"404"),
    (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
    (b"GET /api/v1/executions HTTP/1.0\r\n\r\n", b"403"),
    (b"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n", b"200"),
    (b"GET /healthz HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", b"200"),
    (b"GET /api/v1/executions?%zz&a=%ff HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", b"400"),
    (b"GET /api/v1/executions?" + b"tag=a&" * 2000 + b" HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", b"400"),
]


@pytest.mark.parametrize(("sent", "code"), ODD, ids=range(len(ODD)))
def test_odd_requests_have_an_answer(world: World, sent: bytes, code: bytes) -> None:
    async def main() -> None:
        async with within(world) as at:
            said = await raw(at, sent.replace(b"{host}", at.address.text().encode()))
            assert said.split()[1] == code, said
            assert at.said == []

    asyncio.run(main())


def test_requests_that_come_at_once_are_answered_in_order(world: World) -> None:
    async def main() -> None:
        async with within(world) as at:
            host = f"Host: 127.0.0.1:{at.address.port}\r\n"
            one = f"GET /healthz HTTP/1.1\r\n{host}\r\n"
            last = f"GET /nothing HTTP/1.1\r\n{host}Connection: close\r\n\r\n"
            said = await raw(at, (one * 50 + last).encode())
            assert said.count(b"HTTP/1.1 200") == 50
            assert said.count(b"HTTP/1.1 404") == 1

    asyncio.run(main())


# --- how many -------------------------------------------------------------------------------------------------------


def test_there_are_no_more_connections_than_may_be(world: World) -> None:
    limits = msgspec.structs.replace(Limits(), connections=32)

    async def main() -> None:
        async with within(world, limits=limits) as at, asyncio.timeout(PATIENCE):
            held = [await asyncio.open_connection(at.address.host, at.address.port) for _ in range(16)]
            while at.server.connections < 16:
                await asyncio.sleep(0.01)
            assert await raw(at, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == b""
            for _, writer in held:
                writer.close()
                await writer.wait_closed()
            while at.server.connections:
                await asyncio.sleep(0.01)
            assert await still_serves(at)

    asyncio.run(main())


def test_there_are_no_more_requests_than_may_be(world: World) -> None:
    limits = msgspec.structs.replace(Limits(), requests=4)
    store = Stuck()
    verbs = Verbs(lambda: store, dict, environ=world.environ)

    async def main() -> None:
        async with within(world, limits=limits, verbs=verbs) as at, asyncio.timeout(PATIENCE):
            asked = {asyncio.create_task(at.http.get(LIST)) for _ in range(3)}
            [refused], stuck = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            error(refused.result(), 503)
            assert refused.result().headers["retry-after"]
            store.gate.set()
            assert [error(answer, 500)["exit_code"] for answer in await asyncio.gather(*stuck)] == [70, 70]

    asyncio.run(main())


class Stuck:
    """A store that does not answer until its gate is open, and then with a bug."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def __getattr__(self, name: str) -> Any:
        if name == "close":
            return lambda: None
        self.gate.wait(PATIENCE)
        raise ZeroDivisionError("a bug")


def test_a_bug_is_told_to_the_operator_and_not_to_the_world(world: World) -> None:
    def broken() -> Any:
        raise ZeroDivisionError("secret detail")

    async def main() -> None:
        async with within(world, verbs=Verbs(broken, dict, environ=world.environ)) as at:
            for _ in range(2):
                answer = await at.http.get(LIST)
                assert error(answer, 500)["exit_code"] == 70
                assert "secret detail" not in answer.text
            assert any("ZeroDivisionError: secret detail" in line for line in at.said)
            assert (await at.http.get("/openapi.json")).status_code == 200

    asyncio.run(main())


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """A certificate that signs itself, and its key."""
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    made += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*made, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


@pytest.mark.needs_tool("openssl")
def test_it_serves_over_tls(world: World, certificate: tuple[str, str]) -> None:
    async def main() -> None:
        async with within(world, tls=certificate, limits=QUICK) as at:
            assert (await at.http.get(LIST)).status_code == 200
            own = {"Origin": f"https://127.0.0.1:{at.address.port}"}
            assert (await at.http.get(LIST, headers=own)).status_code == 200
            error(await at.http.get(LIST, headers={"Origin": own["Origin"].replace("https", "http")}), 403)
            # Neither plain HTTP nor a handshake that does not go on keeps anything.
            assert not (await raw(at, b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP")
            assert await raw(at, b"\x16\x03\x01") == b""
            assert await still_serves(at)

    asyncio.run(main())


@pytest.mark.needs_tool("openssl")
def test_a_certificate_that_cannot_be_used_is_named(world: World, certificate: tuple[str, str]) -> None:
    wrong = world.write("wrong.pem", "nothing")
    for files in ((str(wrong), certificate[1]), (certificate[0], str(wrong)), ("missing.pem", "missing.pem")):
        settings = Settings(tls=files)
        with pytest.raises(UsageError, match="cannot be used"):
            asyncio.run(_server(world, settings, Address("127.0.0.1", 0)).start())


def test_an_address_that_is_taken_is_named(world: World) -> None:
    async def main() -> None:
        async with within(world) as at:
            with pytest.raises(UsageError, match=r"cannot be listened on: Address already in use"):
                await _server(world, Settings(), at.address).start()
            with pytest.raises(UsageError, match="there is no address"):
                await _server(world, Settings(), Address("no.such.host.invalid", 1)).start()

    asyncio.run(main())


def _server(world: World, settings: Settings, address: Address) -> WebServer:
    from cerebelum import ExecutionClient
    from cerebelum.service.operations import Operations
    from cerebelum.service.workflows import Workflows

    client = ExecutionClient.over(world.client)
    return WebServer(Operations(client, store=world.url, workflows=Workflows({})), settings, address)


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_pages_files_are_served_as_what_they_are(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page"
    page.mkdir()
    for name in ("index.html", "app.js", "app.css", "logo.svg", ".hidden"):
        (page / name).write_text(f"this is {name}")
    monkeypatch.setattr("cerebelum.service.web.application.page_files", lambda: page_files(page))

    async def main() -> None:
        async with within(world, tokens={TOKEN: "ann"}) as at:
            for path, kind in (
                ("/", "text/html; charset=utf-8"),
                ("/static/app.js", "text/javascript; charset=utf-8"),
                ("/static/app.css", "text/css; charset=utf-8"),
                ("/static/logo.svg", "image/svg+xml"),
            ):
                answer = await at.http.get(path)
                assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
                assert answer.text.startswith("this is ")
                assert "script-src 'self'" in answer.headers["content-security-policy"]
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert answer.headers["referrer-policy"] == "no-referrer"
                again = await at.http.get(path, headers={"If-None-Match": answer.headers["etag"]})
                assert (again.status_code, again.content) == (304, b"")
            error(await at.http.post("/", json={}), 405)
            error(await at.http.get("/static/index.html"), 404)
            error(await at.http.get("/static/.hidden"), 404)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True), ("br, GZIP;q=0.5", True), ("*", True), ("deflate, *;q=0.1", True),
        ("", False), ("identity", False), ("gzip;q=0", False), ("gzip;q=0.000, *", False),
        ("br", False), ("*;q=0", False),
    ],
)  # fmt: skip
def test_the_page_is_sent_compressed_to_those_who_take_that(world: World, accepted: str, packed: bool) -> None:
    async def main() -> None:
        async with within(world) as at:
            plain = await at.http.get("/static/style.css", headers={"Accept-Encoding": "identity"})
            asked = {"Accept-Encoding": accepted}
            answer = await at.http.get("/static/style.css", headers=asked)
            assert answer.content == plain.content
            assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
            sent, whole = int(answer.headers["content-length"]), len(plain.content)
            assert sent < whole / 2 if packed else sent == whole
            assert answer.headers["vary"] == "accept-encoding"
            tag = answer.headers["etag"]
            assert tag == ("W/" if packed else "") + plain.headers["etag"]
            # A copy is as good as new in whichever form it was got.
            for known in (tag, plain.headers["etag"]):
                again = await at.http.get("/static/style.css", headers={**asked, "If-None-Match": known})
                assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)

    asyncio.run(main())
