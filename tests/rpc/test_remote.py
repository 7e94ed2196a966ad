"""`--core-url`: the program answers through a service exactly what it answers from the store."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cerebelum import ExecutionClient, ExecutionState, WorkflowRegistry, step, workflow
from cerebelum.core.errors import DefinitionChanged, NotFound, StoreError, UsageError
from cerebelum.core.events import ApprovalGranted, ExecutionResumed, ExecutionStarted
from tests.cli.conftest import Done
from tests.lifecycle.world import World, crash, finish, wait_until
from tests.rpc.conftest import Service

FAILING = """
    name: failing
    inputs:
      n: {type: integer, default: 1}
    steps:
      - {id: make, run: 'echo making; echo made >> made'}
      - {id: ship, run: 'echo shipping $INPUT_N >&2; test -e mended || exit 3; echo shipped >> shipped'}
"""
LOOKS = (
    ("list",),
    ("list", "--json"),
    ("list", "--status", "failed,paused", "--json"),
    ("list", "--tag", "night", "--limit", "1", "--json"),
    ("list", "--workflow", "failing", "--since", "1h"),
    ("list", "--format", "{id} {status}"),
    ("active",),
    ("active", "--json"),
    ("status", "failed"),
    ("status", "failed", "--json"),
    ("status", "failed", "ship"),
    ("status", "failed", "--at", "3", "--json"),
    ("status", "f"),
    ("status", "killed"),
    ("status", "killed", "--json"),
    ("status", "asking", "--json"),
    ("status", "nope"),
    ("status", "nope", "--json"),
    ("status", "failed", "nothing"),
    ("history", "failed"),
    ("history", "failed", "--json"),
    ("logs", "failed"),
    ("logs", "failed", "ship", "--json"),
    ("logs", "failed", "nothing"),
    ("watch", "failed", "--json"),
    ("watch", "killed"),
    ("graph", "failed"),
    ("report", "failed", "--output", "-"),
    ("resume", "failed", "--plan"),
    ("resume", "failed", "--plan", "--from", "make", "--json"),
    ("resume", "done"),
    ("approve", "done"),
    ("cancel", "done"),
    ("pause", "done"),
    ("store", "heads"),
    ("store", "verify"),
    ("store", "export", "failed"),
)


@pytest.fixture
def peopled(world: World) -> World:
    """A world with executions of every kind."""
    assert world.run(FAILING, "--tag", "night", name="failed").code == 1
    assert world.run("name: done\nsteps: [{id: a, run: 'true'}]", "--tag", "night", name="done").code == 0
    assert world.run("name: nap\nsteps: [{id: nap, sleep: 2h}]", "--park", name="napping").code == 75
    assert world.run("name: ask\nsteps: [{id: go, approval: {message: 'Go?'}}]", "--park", name="asking").code == 75
    assert world.run("name: nap\nsteps: [{id: nap, sleep: 2h}]", "--park", name="gone").code == 75
    assert world("cancel", "gone").code == 0
    process = world.begin("name: long\nsteps: [{id: long, run: 'echo on >> on; sleep 600'}]", name="killed")
    world.wait_for_line("on")
    crash(process)
    wait_until(lambda: world.status("killed") == "paused")
    world.flow(FAILING)
    return world


def through(service: Service, world: World, *words: str) -> Done:
    """What the program does when it asks the service."""
    return world(*words, "--core-url", service.address)


def timeless(done: Done, service: Service) -> tuple[int, str, str]:
    """A run without what passes: how long ago things were, and how the store was named."""
    out, err = (
        re.sub(r"\(?\b[\d.]+ (ms|s|min|h)( ago|\b)\)?", "T", re.sub(rf" --store grpc://{service.address}", "", text))
        for text in (done.out, done.err)
    )
    return done.code, " ".join(re.sub(r'"cerebelum":"[^"]*","at":"[^"]*"|<footer>.*', "", out).split()), err


def test_every_look_is_the_same_through_a_service(peopled: World, service: Service) -> None:
    for words in LOOKS:
        direct, asked = peopled(*words), through(service, peopled, *words)
        assert timeless(asked, service) == timeless(direct, service), words


def test_what_fails_is_resumed_there_and_shown_here(world: World) -> None:
    world.flow(FAILING)
    service = Service(world, "flow.yaml")
    ran = through(service, world, "run", "failing", "--input", "n=7", "--id", "x", "--tag", "night")
    assert (ran.code, "making" in ran.out, "shipping 7" in ran.out, "resume with" in ran.err) == (1, True, True, True)
    started = world.last(ExecutionStarted)
    assert (started.inputs, started.tags) == ({"n": 7}, ("night",))
    assert started.by is not None
    assert started.by.endswith(f"@{started.environment.host}")
    (world.folder / "mended").touch()
    ran = through(service, world, "resume", "x", "--by", "eve")
    assert (ran.code, "shipping 7" in ran.out, "making" in ran.out) == (0, True, False)
    assert world.last(ExecutionResumed).by == "eve"
    assert world.lines("made") == ["made"]
    again = through(service, world, "run", "failing", "--id", "x", "--or-resume")
    assert (again.code, "has completed already" in again.out) == (0, True)
    ran = through(service, world, "run", "nothing")
    assert (ran.code, "knows no workflow 'nothing'" in ran.err) == (3, True)
    ran = through(service, world, "fork", "x", "--from", "ship", "--input", "n=8", "--id", "y")
    assert (ran.code, world.state("y").parent) == (0, "x")
    service.close()


def test_an_edit_is_refused_with_the_plan(world: World, service: Service) -> None:
    assert world.run(FAILING).code == 1
    world.flow(FAILING.replace("echo making", "echo otherwise"))
    direct, asked = world("resume", "x"), through(service, world, "resume", "x")
    assert timeless(asked, service) == timeless(direct, service)
    assert asked.code == 5


def test_a_run_is_watched_and_its_output_followed(world: World, service: Service) -> None:
    process = world.begin(
        "steps: [{id: a, run: 'echo one; echo on >> on; while ! test -e go; do sleep 0.05; done; echo two'}]"
    )
    world.wait_for_line("on")
    watching = world.start("watch", "x", "--json", "--core-url", service.address)
    following = world.start("logs", "x", "--follow", "--core-url", service.address)
    assert watching.stdout is not None
    assert following.stdout is not None
    assert b"ExecutionStarted" in watching.stdout.readline()
    assert b"one" in following.stdout.readline()
    (world.folder / "go").touch()
    assert finish(process).code == 0
    watched, followed = finish(watching), finish(following)
    assert (watched.code, "ExecutionCompleted" in watched.out) == (0, True)
    assert (followed.code, "two" in followed.out) == (0, True)


def test_approvals_cancels_and_pauses_are_asked_for_there(world: World, service: Service) -> None:
    process = world.begin("steps: [{id: go, approval: {message: 'Go?'}}, {id: a, run: 'echo on >> on; sleep 600'}]")
    world.wait_for_event("ApprovalRequested go")
    assert through(service, world, "approve", "x", "--comment", "fine", "--response", "a=b", "--by", "eve").code == 0
    granted = world.last(ApprovalGranted)
    assert (granted.by, granted.comment, granted.response) == ("eve", "fine", {"a": "b"})
    world.wait_for_line("on")
    assert through(service, world, "pause", "x").code == 0
    assert finish(process).code == 75
    assert through(service, world, "cancel", "x", "--why", "enough").code == 0
    assert world.status() == "cancelled"


def test_an_interrupted_resume_goes_on_there(world: World, service: Service) -> None:
    assert world.run(FAILING.replace("test -e mended", "test -e mended && echo on >> on && sleep 3")).code == 1
    (world.folder / "mended").touch()
    process = world.start("resume", "x", "--core-url", service.address)
    world.wait_for_line("on")
    process.kill()
    finish(process)
    wait_until(lambda: world.status() == "completed", "its end")


@pytest.mark.parametrize("words", [("supervise", "--once"), ("shell", "x"), ("resume", "x", "--take-over")])
def test_what_is_about_the_machine_of_the_steps_is_refused(
    words: tuple[str, ...], world: World, service: Service
) -> None:
    assert world.run(FAILING).code == 1
    asked = through(service, world, *words)
    assert (asked.code, "do it there" in asked.err) == (2, True), asked


def test_a_service_that_is_not_there_is_an_error_of_the_store(world: World) -> None:
    asked = world("list", "--core-url", "127.0.0.1:1")
    assert (asked.code, "127.0.0.1:1 cannot be reached" in asked.err, "cerebelum serve" in asked.err) == (
        74,
        True,
        True,
    )
    asked = world("list", "--core-url", "http://127.0.0.1:1")
    assert (asked.code, "names no service" in asked.err) == (2, True)
    asked = world("list", "--core-url", "127.0.0.1:1", "--store", "x.db")
    assert (asked.code, "exclude each other" in asked.err) == (2, True)
    asked = world("serve", "--no-http", "--core-url", "127.0.0.1:1")
    assert (asked.code, "a service itself" in asked.err) == (2, True)


@pytest.fixture
def remote(service: Service) -> Iterator[ExecutionClient]:
    """A client of the service."""
    with ExecutionClient(core_url=service.address) as client:
        yield client


def test_the_client_of_a_program_asks_the_service(world: World, remote: ExecutionClient) -> None:
    assert world.run(FAILING, "--tag", "night").code == 1

    async def main() -> None:
        at = await remote.get_execution_status("x")
        assert (at.status, at.current_step_name) == (ExecutionState.FAILED, "ship")
        page = await remote.list_executions(workflow_name="failing", tags="night")
        assert ([e.execution_id for e in page.executions], page.total_count, page.has_more) == (["x"], 1, False)
        assert [e.version async for e in remote.events("x", after=2)] == list(range(3, len(world.events()) + 1))
        assert b"".join([c.data async for c in remote.logs("x", step="make")]) == b"making\n"
        (world.folder / "mended").touch()
        assert await remote.resume_execution("x") == "x"
        assert (await remote.wait("x", timeout=60)).status == ExecutionState.COMPLETED
        assert world.lines("made") == ["made"]
        with pytest.raises(UsageError, match="has completed"):
            await remote.resume_execution("x")
        with pytest.raises(NotFound, match="nope"):
            await remote.get_execution_status("nope")

    asyncio.run(main())


def test_errors_are_what_they_are_at_a_store(world: World, remote: ExecutionClient) -> None:
    assert world.run(FAILING).code == 1
    world.flow(FAILING.replace("echo making", "echo otherwise"))
    with pytest.raises(DefinitionChanged, match="completed steps have changed: make"):
        remote.resume_execution.blocking("x")
    assert [row.action for row in remote.plan_resume.blocking("x").rows] == ["CHANGED", "RERUN"]
    with ExecutionClient(core_url="127.0.0.1:1") as nobody, pytest.raises(StoreError, match="cannot be reached"):
        nobody.list_executions.blocking()


@step
def note(inputs: dict[str, str]) -> str:
    return "noted here"


@workflow
def failing(wf):  # type: ignore[no-untyped-def]
    wf.timeline(note)


def test_a_workflow_is_executed_where_the_service_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service knows one by the name of this program's: its steps are performed, not those here."""
    (world.folder / "mended").touch()
    world.flow(FAILING)
    service = Service(world, "flow.yaml")
    monkeypatch.setenv("CEREBELUM_CORE_URL", service.address)

    async def main() -> None:
        result = await failing.execute({"n": 3}, distributed=True, execution_id="x")
        assert (result.execution_id, result.status) == ("x", "completed")
        assert world.lines("shipped") == ["shipped"]
        (world.folder / "mended").unlink()
        assert world("fork", "x", "--from", "ship", "--id", "y").code == 1
        (world.folder / "mended").touch()
        assert (await failing.resume("y", core_url=service.address)).status == "completed"

    asyncio.run(main())
    monkeypatch.delenv("CEREBELUM_CORE_URL")
    with pytest.raises(UsageError, match="CEREBELUM_CORE_URL is not set"):
        failing.run(distributed=True)
    with WorkflowRegistry(core_url=service.address) as registry:
        assert [(w.name, w.executions) for w in registry.workflows.blocking() if w.executions] == [("failing", 2)]
    service.close()


def test_tokens_and_tls_are_used(world: World) -> None:
    assert world.run(FAILING).code == 1
    tokens = world.write("tokens", "eve 0123456789abcdef0123\n# old\nfedcba98765432100000\n")
    key, chain = make_certificate(world.folder)
    asked = world("serve", "--no-http", "--grpc", "127.0.0.1:0", "--token-file", str(tokens))
    assert (asked.code, "others can read this file" in asked.err) == (2, True)
    os.chmod(tokens, 0o600)
    service = Service(world, "--token-file", "tokens", "--tls-cert", str(chain), "--tls-key", str(key))
    url = f"grpcs://localhost:{service.address.rpartition(':')[2]}"
    trusted = {"CEREBELUM_CORE_CA": str(chain)}
    for token, code in ((None, 2), ("wrong" * 5, 2), ("0123456789abcdef0123", 0), ("fedcba98765432100000", 0)):
        env = {**trusted, **({} if token is None else {"CEREBELUM_CORE_TOKEN": token})}
        asked = world("list", "--core-url", url, env=env)
        assert asked.code == code, asked
    env = {**trusted, "CEREBELUM_CORE_TOKEN": "0123456789abcdef0123"}
    (world.folder / "mended").touch()
    assert world("resume", "x", "--by", "somebody", "--core-url", url, env=env).code == 0
    assert world.last(ExecutionResumed).by == "eve", "a token outdoes what is said"
    assert world("list", "--core-url", url, env={"CEREBELUM_CORE_TOKEN": "0123456789abcdef0123"}).code == 74
    service.close()


def test_others_are_not_let_in_without_a_token(world: World) -> None:
    asked = world("serve", "--no-http", "--grpc", "0.0.0.0:0")
    assert (asked.code, "needs tokens" in asked.err) == (2, True)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A key, and a certificate of it for localhost."""
    import subprocess

    key, chain = folder / "key.pem", folder / "chain.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(chain)),
        ],
        check=True,
        capture_output=True,
    )
    return key, chain
