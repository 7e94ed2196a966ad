"""What the service tells of queues, workers, and what waits: over HTTP, over gRPC, in its metrics, and on the page."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from cerebelum.sdk import pool
from cerebelum.wire import execution_pb2 as wire
from tests.lifecycle.world import World, wait_until
from tests.pool.crew import Crew
from tests.pool.test_pool import QUICK, TWO, waits
from tests.rpc.conftest import OURS, Service
from tests.service.page.browser import Page, Site
from tests.stores import only_sqlite

on_postgres = pytest.mark.parametrize("store_url", ["postgres"], indirect=True)


@on_postgres
def test_the_service_tells_of_queues_workers_and_what_waits(world: World) -> None:
    crew = Crew(world)
    try:
        crew.submit(world.flow(TWO), "x", priority=1)
        crew.submit(world.flow(QUICK, "quick.yaml"), "y", queue="other", priority=7)
        crew.hire("--labels", "gpu")
        world.wait_for_line("began")
        service = Service(world, http="127.0.0.1:0")
        assert service.http is not None
        with httpx.Client(base_url=f"http://{service.http}", trust_env=False) as http:
            told = http.get("/api/v1/pool").json()
            metrics = http.get("/metrics").text
            status = http.get("/api/v1/executions/y").json()
        queues = {queue["queue"]: queue for queue in told["queues"]}
        assert (queues["build"]["workers"], queues["build"]["waiting"], queues["build"]["taken"]) == (1, 0, 1)
        assert (queues["other"]["workers"], queues["other"]["waiting"], queues["other"]["taken"]) == (0, 1, 0)
        assert queues["other"]["oldest_seconds"] > 0
        [worker] = told["workers"]
        assert (worker["labels"], worker["executions"], worker["alive"]) == (["gpu"], ["x"], True)
        assert (status["status"], status["queue"]["name"], status["queue"]["workers"]) == ("queued", "other", 0)
        for line in (
            'cerebelum_queue_waiting{queue="other"} 1',
            'cerebelum_queue_taken{queue="build"} 1',
            'cerebelum_queue_workers{queue="build"} 1',
            'cerebelum_queue_workers{queue="other"} 0',
            'cerebelum_executions{status="queued"} 1',
        ):
            assert line in metrics.splitlines()
        assert 'cerebelum_queue_oldest_seconds{queue="other"}' in metrics

        found = service.call(OURS, "GetPool", wire.GetPoolRequest(execution_id="y", queue="other"), wire.Pool)
        assert found.standing_json == '{"workers":0,"ahead":0,"left":[],"there":true}'
        elsewhere = {"CEREBELUM_CORE_URL": service.address, "CEREBELUM_STORE": ""}
        seen = world("worker", "list", "--json", env=elsewhere).json()
        assert [w["id"] for w in seen["workers"]] == [worker["id"]]
        assert "which no worker serves" in world("status", "y", env=elsewhere).out
        submit = ("submit", str(world.flow("steps: [{id: a, run: 'true'}]")), "--queue", "build")
        for refused in (world("worker", "drain", worker["id"], env=elsewhere), world(*submit, env=elsewhere)):
            assert refused.code == 2
            assert "do it where its store is" in refused.err
        world.write("go", "")
        wait_until(lambda: waits(world) == (1, 0, 0), "it completes")
    finally:
        crew.close()


@only_sqlite
def test_a_store_without_queues_has_none_to_tell_of(world: World) -> None:
    assert pool.overview(world.client) == pool.Overview()
    service = Service(world, http="127.0.0.1:0")
    with httpx.Client(base_url=f"http://{service.http}", trust_env=False) as http:
        assert http.get("/api/v1/pool").json() == {"queues": [], "workers": []}
        assert "cerebelum_queue" not in http.get("/metrics").text
    assert service.call(OURS, "GetPool", wire.GetPoolRequest(), wire.Pool) == wire.Pool()


def test_the_page_shows_queues_and_workers(page: Page, own: Callable[..., Site], postgres_url: str) -> None:
    site = own()
    site.home.environ["CEREBELUM_STORE"] = postgres_url
    site.home.write("quick.yaml", QUICK)
    page.open(site.serve())
    page.until(lambda: "Nothing has been run yet" in page.text("main"))
    assert page.js("return document.querySelector('.pool').hidden")
    assert site("submit", "quick.yaml", "--queue", "build", "--id", "x").code == 0
    page.until(lambda: "nobody" in page.text(".pool .queues"))
    page.until(lambda: "queued" in page.text(".executions"))
    worker = site.home.start("worker", "--queue", "build", "--labels", "gpu", stderr=None)
    try:
        page.until(lambda: "completed" in page.text(".executions"))
        page.until(lambda: "gpu" in page.text(".pool .workers"))
    finally:
        worker.terminate()
        worker.communicate()
