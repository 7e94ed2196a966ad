"""What docs/service.md says, done: its commands, its Python, and its configuration of other programs."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor

from docs.generate import ROOT, Block, blocks
from tests.lifecycle.world import World, wait_until
from tests.rpc.conftest import Service, execution_pb2
from tests.rpc.test_remote import make_certificate
from tests.stores import only_sqlite
from tests.tools import skip_without

pytestmark = only_sqlite
PAGE = blocks((ROOT / "docs" / "service.md").read_text())
BUFFERED = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
DEPLOY = "name: deploy\ninputs:\n  version: {type: string}\nsteps:\n  - {id: ship, run: 'echo $INPUT_VERSION'}\n"


class Both(Service):
    """A service with both addresses."""

    def __init__(self, world: World, *arguments: str) -> None:
        super().__init__(world, *arguments, http="127.0.0.1:0")
        assert self.http is not None

    def here(self, text: str) -> str:
        """A command of the page, with the addresses of this service."""
        return text.replace("127.0.0.1:9090", self.address).replace("127.0.0.1:8080", str(self.http))


@pytest.fixture
def served(world: World) -> Iterator[Both]:
    """A service that was given the workflow `deploy`, and has one execution of it."""
    world.write("deploy.yaml", DEPLOY)
    assert world("run", "deploy.yaml", "--input", "version=1.3.0", "--id", "first").code == 0
    service = Both(world, "deploy.yaml")
    yield service
    service.close()


def block(language: str, word: str) -> Block:
    [found] = [each for each in PAGE if each.language == language and word in each.text]
    return found


def lines(word: str) -> list[str]:
    """The commands of the page that begin so."""
    every = [line for each in PAGE if each.language == "sh" for line in each.text.splitlines()]
    found = [line for line in every if line.startswith(word)]
    assert found
    return found


def test_its_python_runs(world: World, served: Both) -> None:
    text = served.here(block("python", "core_url").text)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", text], env=world.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "ExecutionCompleted" in done.stdout


def test_its_calls_by_grpcurl_are_answered(world: World, served: Both) -> None:
    """As that program makes them: the method is looked up by its name, and what follows -d is JSON."""
    for line in lines("grpcurl"):
        words = shlex.split(served.here(line))[2:]
        if words[-1] == "list":
            continue
        service, _, name = words[-1].rpartition("/")
        method = descriptor_pool.Default().FindServiceByName(service).FindMethodByName(name)
        request = json_format.Parse(words[1], message_factory.GetMessageClass(method.input_type)())
        answers = called(served, f"/{service}/{name}", method, request)
        assert answers, line
    wait_until(lambda: world.client.list(query()).total == 2, "the one that was started")


def query() -> Any:
    from cerebelum.store import Query

    return Query(workflow="deploy", count_to=10)


def called(served: Both, path: str, method: MethodDescriptor, request: Any) -> list[Any]:
    kind = served.channel.unary_stream if method.server_streaming else served.channel.unary_unary
    call: Any = kind(
        path,
        request_serializer=type(request).SerializeToString,
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )
    answer = call(request, timeout=60)
    return list(answer) if method.server_streaming else [answer]


def test_its_calls_by_curl_are_answered(request: pytest.FixtureRequest, world: World, served: Both) -> None:
    if shutil.which("curl") is None:
        skip_without(request.node, "curl")
    for line in lines("curl"):
        done = subprocess.run(
            ["sh", "-c", served.here(line).replace("curl ", "curl --fail-with-body ", 1)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (line, done.stdout)
        if "/api/" in line and "/stream" not in line:
            assert json.loads(done.stdout)


def test_its_tokens_are_made_as_it_says(request: pytest.FixtureRequest, world: World) -> None:
    if shutil.which("openssl") is None:
        skip_without(request.node, "openssl")
    making = "\n".join(line for line in block("sh", "umask").text.splitlines() if not line.startswith("cerebelum"))
    subprocess.run(["sh", "-ec", making], cwd=world.folder, check=True)
    key, chain = make_certificate(world.folder)
    key.rename(world.folder / "key.pem")
    chain.rename(world.folder / "chain.pem")
    [line] = [line for line in block("sh", "umask").text.splitlines() if line.startswith("cerebelum")]
    words = shlex.split(line.replace(":8080", ":0").replace(":9090", ":0"))
    process = world.start(*words[1:], "--json")
    assert process.stdout is not None
    assert process.stdout.readline() == b"{\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_its_unit_is_one(request: pytest.FixtureRequest, world: World) -> None:
    if shutil.which("systemd-analyze") is None:
        skip_without(request.node, "systemd-analyze")
    unit = block("ini", "ExecStart").text
    words = shlex.split(re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1])  # type: ignore[index]
    assert world(words[1], "--help").code == 0
    file = world.write(
        "cerebelum-serve.service", unit.replace(words[0], sys.executable).replace("User=deploy", "User=root")
    )
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done


def test_its_proxy_passes_everything_on(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> None:
    import httpx

    if shutil.which("nginx") is None:
        skip_without(request.node, "nginx")
    world.write("deploy.yaml", DEPLOY)
    assert world("run", "deploy.yaml", "--input", "version=1.3.0", "--id", "first").code == 0
    tokens = world.write("tokens", "alice 0123456789abcdef0123\n")
    tokens.chmod(0o600)
    service = Both(world, "--token-file", "tokens", "--host-name", "localhost")
    key, chain = make_certificate(tmp_path)
    port = free_port()
    conf = served_by(block("nginx", "grpc_pass").text, service, port, key, chain)
    place = tmp_path / "nginx"
    place.mkdir()
    (place / "nginx.conf").write_text(
        f"daemon off; pid {place}/pid; error_log {place}/error.log;\nevents {{}}\nhttp {{ access_log off;\n"
        + "".join(
            f"{kind}_temp_path {place}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + conf
        + "}\n"
    )
    proxy = subprocess.Popen(["nginx", "-p", str(place), "-c", str(place / "nginx.conf")], stderr=subprocess.DEVNULL)
    trusting = ssl.create_default_context(cafile=str(chain))
    bearer = {"Authorization": "Bearer 0123456789abcdef0123"}
    try:
        with httpx.Client(base_url=f"https://localhost:{port}", headers=bearer, verify=trusting) as client:

            def answers() -> bool:
                try:
                    return client.get("/healthz").status_code == 200
                except httpx.TransportError:
                    assert proxy.poll() is None, (place / "error.log").read_text()
                    return False

            wait_until(answers, "the proxy")
            assert client.get("/api/v1/executions/first").json()["status"] == "completed"
            stream = client.get("/api/v1/executions/first/stream").text
            assert "ExecutionCompleted" in stream
        credentials = grpc.ssl_channel_credentials(chain.read_bytes())
        with grpc.secure_channel(f"localhost:{port}", credentials) as service.channel:
            service.metadata = (("authorization", bearer["Authorization"]),)
            assert service.status("first").execution_id == "first"
            watch = execution_pb2.WatchExecutionRequest(execution_id="first")
            assert [e.type for e in service.stream("WatchExecution", watch, execution_pb2.ExecutionEvent)][-1] == (
                "ExecutionCompleted"
            )
    finally:
        proxy.terminate()
        proxy.wait(30)
        service.close()


def served_by(conf: str, service: Both, port: int, key: Path, chain: Path) -> str:
    """The page's configuration, with what is here."""
    conf = (
        service.here(conf).replace("443 ssl", f"{port} ssl").replace("server_name ci.example", "server_name localhost")
    )
    return conf.replace("/etc/ssl/ci.pem", str(chain)).replace("/etc/ssl/ci.key", str(key))


def free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
