"""What `/metrics` tells, as Prometheus reads it."""

from __future__ import annotations

import asyncio
import re

import pytest

from cerebelum.service.web import observing
from cerebelum.service.web.metrics import Counts, Histogram, gauge
from tests.executions import fill
from tests.lifecycle.world import PATIENCE, World
from tests.service.conftest import Within, within
from tests.stores import only_sqlite

_LINE = re.compile(r'[a-z_]+(\{([a-z_]+="(?:[^"\\\n]|\\.)*",?)+\})? (-?\d+(\.\d+)?(e[-+]?\d+)?|\+Inf)')
RETRIES = """
name: retries
steps:
  - {id: a, retry: {attempts: 2, delay: 10ms}, run: 'test -e there || { touch there; exit 1; }'}
  - {id: b, run: 'true'}
"""


async def metrics(at: Within) -> dict[str, float]:
    """Every sample by its name and labels; each line is one that Prometheus reads."""
    answer = await at.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert [line for line in lines if not line.startswith(("# HELP ", "# TYPE ")) and not _LINE.fullmatch(line)] == []
    samples = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    assert len({name for name, _, _ in samples}) == len(samples)
    return {name: float(value) for name, _, value in samples}


def test_what_is_in_the_store_is_counted(world: World) -> None:
    fill(world.client.store, 3)
    world.run("steps: [{id: a, run: 'false'}]", "-q")
    world.park("steps: [{id: a, sleep: 300ms}]", "-q", name="y")

    async def main() -> None:
        async with within(world) as at:
            found = await metrics(at)
            assert found['cerebelum_executions{status="completed"}'] == 3
            assert found['cerebelum_executions{status="failed"}'] == 1
            assert found['cerebelum_executions{status="sleeping"}'] == 1
            assert found['cerebelum_executions{status="running"}'] == 0
            assert found["cerebelum_timer_lag_seconds"] > 0
            assert found["cerebelum_http_streams"] == 0
            assert any(name.startswith("cerebelum_build_info{version=") for name in found)

    asyncio.run(main())


def test_requests_are_counted_by_the_form_of_their_address(world: World) -> None:
    async def main() -> None:
        async with within(world) as at:
            for number in range(100):
                await at.http.get(f"/api/v1/executions/x-{number}")
                await at.http.request(f"M{number}", f"/nothing-{number}")
            found = await metrics(at)
            counted = {name: n for name, n in found.items() if name.startswith("cerebelum_http_requests_total")}
            one = 'cerebelum_http_requests_total{route="/api/v1/executions/{id}",method="GET",code="404"}'
            assert counted[one] == 100
            assert len(counted) == 2
            assert found["cerebelum_store_request_seconds_count"] >= 100

    asyncio.run(main())


def test_steps_that_complete_and_retry_are_counted(world: World) -> None:
    async def main() -> None:
        async with within(world) as at, asyncio.timeout(PATIENCE):
            await metrics(at)
            # It has begun to follow once it follows changes.
            while not at.server.application.observer.follows:
                await asyncio.sleep(0.01)
            process = await asyncio.to_thread(world.begin, RETRIES, "-q")
            await asyncio.to_thread(process.wait)
            while 'cerebelum_step_seconds_count{workflow="retries"}' not in (found := await metrics(at)):
                await asyncio.sleep(0.01)
            while (found := await metrics(at))['cerebelum_step_seconds_count{workflow="retries"}'] < 2:
                await asyncio.sleep(0.01)
            assert found['cerebelum_step_seconds_bucket{workflow="retries",le="+Inf"}'] == 2
            assert found['cerebelum_step_retries_total{workflow="retries"}'] == 1
            assert found['cerebelum_step_failures_total{workflow="retries"}'] == 1

    asyncio.run(main())


@only_sqlite
def test_what_was_before_is_not_counted_and_names_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "_MOST_WORKFLOWS", 1)

    async def main() -> None:
        async with within(world) as at, asyncio.timeout(PATIENCE):
            await metrics(at)
            while not at.server.application.observer.follows:
                await asyncio.sleep(0.01)
            # Of January, and of several workflows.
            fill(world.client.store, 3)
            for name in ("one", "two"):
                text = f"name: {name}\nsteps: [{{id: a, run: 'true'}}]"
                await asyncio.to_thread(world.run, text, "-q", name=name)
            labels = {'cerebelum_step_seconds_count{workflow="other"}'}
            while not labels <= (found := await metrics(at)).keys():
                await asyncio.sleep(0.01)
            assert sum(n for name, n in found.items() if name.startswith("cerebelum_step_seconds_count")) <= 2

    asyncio.run(main())


def test_labels_are_escaped_and_buckets_add_up() -> None:
    counts = Counts("n_total", "Things.", ("of",))
    counts.add('a"b\\c\nd')
    assert list(counts.lines())[2] == 'n_total{of="a\\"b\\\\c\\nd"} 1'
    times = Histogram("t_seconds", "Times.", (0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 3.0):
        times.add(seconds)
    assert list(times.lines())[2:] == [
        't_seconds_bucket{le="0.1"} 2',
        't_seconds_bucket{le="1"} 3',
        't_seconds_bucket{le="+Inf"} 4',
        "t_seconds_sum 3.65",
        "t_seconds_count 4",
    ]
    assert list(gauge("g", "Now.", {("a",): 1.5, ("b",): 2}, ("of",)))[2:] == ['g{of="a"} 1.5', 'g{of="b"} 2']
