"""What becomes of executions when a service dies, when there are two of them, and when the store is away for a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from cerebelum.core.events import ApprovalGranted, ExecutionResumed, ExecutionStarted
from tests.lifecycle.world import World, crash, wait_until
from tests.servers.postgres import Postgres, with_schema
from tests.service.conftest import ASKING, Service, Services, messages

MENDED = """
name: mended
steps:
  - {id: first, run: 'echo one >> done'}
  - {id: second, run: 'test -e mended && echo two >> done'}
  - {id: gate, run: 'echo here >> at; while [ ! -e open ]; do sleep 0.02; done'}
  - {id: end, run: 'echo three >> done'}
"""


def failed(world: World) -> None:
    assert world.run(MENDED, "-q").code == 1
    world.write("mended", "")


def goes_on_once(world: World) -> None:
    """The execution comes to its end in a process of its own, and no step did anything twice."""
    world.wait_for_line("at")
    world.write("open", "")
    wait_until(lambda: world.status() == "completed")
    assert world.lines("done") == ["one", "two", "three"]
    assert world.lines("at") == ["here"]
    assert len([event for event in world.events() if isinstance(event, ExecutionResumed)]) == 1
    assert world.sound()


def test_what_is_resumed_outlives_a_service_that_is_killed(world: World, serve: Services) -> None:
    failed(world)
    service = serve()
    service.post("/executions/x/resume", 202)
    crash(service.process)
    goes_on_once(world)


def test_a_service_that_is_killed_while_it_resumes_has_begun_it(world: World, serve: Services) -> None:
    failed(world)
    service = serve()

    def resume() -> None:
        with suppress(httpx.HTTPError):
            service.post("/executions/x/resume", 202)

    asking = threading.Thread(target=resume)
    asking.start()
    world.wait_for_event("ExecutionResumed")
    crash(service.process)
    asking.join()
    goes_on_once(world)


def test_what_was_started_outlives_the_service(world: World, serve: Services) -> None:
    world.write("mended", "")
    service = serve(str(world.flow(MENDED)))
    service.post("/executions", 201, workflow="mended", execution_id="x")
    assert world.last(ExecutionStarted).version == 1
    service.close()
    world.wait_for_line("at")
    world.write("open", "")
    wait_until(lambda: world.status() == "completed")
    assert world.lines("done") == ["one", "two", "three"]


def test_what_is_started_with_a_lock_waits_for_who_has_it(world: World, serve: Services) -> None:
    world.write("mended", "")
    service = serve(str(world.flow(MENDED)))
    service.post("/executions", 201, workflow="mended", execution_id="one", lock="production")
    world.wait_for_line("at")
    service.post("/executions", 201, workflow="mended", execution_id="two", lock="production")
    world.wait_for_event("LockAwaited", "two")
    waiting = service.get("/executions/two")
    assert waiting["status"] == "waiting_for_lock"
    assert (waiting["concurrency"]["group"], waiting["concurrency"]["holder"]) == ("production", "one")
    refused = service.post("/executions", 400, workflow="mended", lock="")
    assert "group" in refused["error"]["message"]
    world.write("open", "")
    wait_until(lambda: world.status("two") == "completed")
    assert world.lines("done") == ["one", "two", "three"] * 2


def test_of_two_services_one_decides_and_both_tell(world: World, serve: Services) -> None:
    world.begin(ASKING, "-q")
    wait_until(lambda: world.status() == "waiting_for_approval" if world._there("x") else False)
    services = [serve(), serve()]

    def decide(service: Service) -> int:
        return service.http.post("/api/v1/executions/x/approve", json={"comment": service.address}).status_code

    def watch(service: Service) -> list[Any]:
        return [message.data["version"] for message in service.stream("/executions/x/stream") if message.number]

    with ThreadPoolExecutor(12) as threads:
        watching = [threads.submit(watch, service) for service in services for _ in range(3)]
        codes = sorted(threads.map(decide, services * 3))
        assert codes == [200, 409, 409, 409, 409, 409]
        told = [one.result() for one in watching]
    assert told == [list(range(1, world.row().summary.version + 1))] * 6
    assert len([event for event in world.events() if isinstance(event, ApprovalGranted)]) == 1
    assert world.lines("done") == ["last"]


def test_two_services_resume_what_failed_once(world: World, serve: Services) -> None:
    failed(world)
    services = [serve(), serve()]

    def resume(service: Service) -> int:
        return service.http.post("/api/v1/executions/x/resume", json={}).status_code

    with ThreadPoolExecutor(12) as threads:
        codes = sorted(threads.map(resume, services))
    assert codes == [202, 409]
    goes_on_once(world)


@pytest.fixture
def own_world(tmp_path: Path, own_server: Postgres) -> Iterator[World]:
    """A world on a server of its own."""
    world = World(tmp_path, with_schema(own_server.url, "own"))
    yield world
    world.close()


def test_a_store_that_goes_away_is_told_and_comes_back(own_world: World, own_server: Postgres) -> None:
    own_world.run(ASKING, "--park", "-q")
    service = Service(own_world)
    try:
        with service.http.stream("GET", "/api/v1/executions/x/stream") as answer:
            told = messages(answer.iter_lines())
            while next(told).kind != "status":
                pass
            own_server.kill()
            lost = service.http.get("/healthz")
            assert (lost.status_code, lost.json()["error"]["exit_code"]) == (503, 74)
            assert lost.headers["retry-after"]
            assert service.get("/executions", 503)["error"]["exit_code"] == 74
            own_server.restart()
            wait_until(lambda: service.http.get("/healthz").status_code == 200)
            assert service.get("/executions")["total"] == 1
            service.post("/executions/x/reject", comment="no")
            rest = list(told)
        assert [message.data["type"] for message in rest if message.kind == "event"][-1] == "ApprovalRejected"
        # Nobody drives it.
        assert (rest[-1].kind, rest[-1].data["status"]) == ("end", "paused")
    finally:
        service.close()


def test_large_events_come_in_answers_that_are_not(world: World, serve: Services) -> None:
    big = "".join(f"  - {{id: s{n}, run: \"printf '%0700000d' 0\", output: text}}\n" for n in range(3))
    assert world.run(f"name: big\nsteps:\n{big}", "-q").code == 0
    service, found, sizes = serve(), [], []
    version, has_more = 0, True
    while has_more:
        page = service.get("/executions/x/events", after=version)
        found += page["events"]
        sizes.append(len(page["events"]))
        version, has_more = page["version"], page["has_more"]
    assert found == world("history", "x", "--json").lines()
    assert len(sizes) >= 3, "one of them does not fit with another"
    told = [message.number for message in service.stream("/executions/x/stream") if message.number]
    assert told == list(range(1, version + 1))
