"""A pool over a network that loses what was said, and behind a PgBouncer that pools by transaction."""

from __future__ import annotations

import pytest

from tests.lifecycle.world import PATIENCE, World, crash, wait_until
from tests.pool.crew import Crew
from tests.pool.test_pool import QUICK, TWO, crew, waits, work_once
from tests.servers.proxy import Proxy

__all__ = ["crew"]

pytestmark = pytest.mark.parametrize("store_url", ["postgres"], indirect=True)


@pytest.mark.parametrize("lost", ["acknowledgements", "requests"])
def test_a_submit_that_is_not_heard_of_gives_one_execution_and_one_job(world: World, proxy: Proxy, lost: str) -> None:
    file = str(world.flow(QUICK))
    assert world("submit", file, "--queue", "build", "--id", "warm").code == 0
    names = [f"x-{number}" for number in range(3)]
    for name in names:
        (proxy.lose_acknowledgements if lost == "acknowledgements" else proxy.lose_requests)(1)
        done = world("--store", proxy.url, "submit", file, "--queue", "build", "--id", name)
        assert (done.code, done.out) == (0, f"{name}\n"), done
    assert proxy.lost == len(names)
    assert waits(world) == (4, 0, 0)
    assert [len(world.events(name)) for name in names] == [1, 1, 1]
    work_once(world)
    assert sorted(world.lines("effects")) == ["warm", *names]
    assert waits(world) == (0, 0, 0)
    assert world.sound()


def test_who_has_the_id_already_is_told_although_the_answer_was_lost(world: World, proxy: Proxy) -> None:
    file = str(world.flow(QUICK))
    assert world("submit", file, "--queue", "build", "--id", "x").code == 0
    proxy.lose_requests(1)
    done = world("--store", proxy.url, "submit", file, "--queue", "build", "--id", "x")
    assert done.code == 2, done
    assert "there is an execution x already" in done.err
    assert waits(world) == (1, 0, 0)


def test_behind_pgbouncer_what_is_submitted_is_taken_and_what_a_dead_worker_had_is_gone_on_with(
    world: World, pgbouncer_url: str, crew: Crew
) -> None:
    world.environ["CEREBELUM_STORE"] = pgbouncer_url
    first = crew.hire(host="agent")
    assert world("submit", str(world.flow(TWO)), "--queue", "build", "--id", "x").code == 0
    wait_until(lambda: world.lines("began"), crew.said())
    assert waits(world) == (0, 0, 1)
    crash(first)
    second = crew.hire(host="agent")
    world.wait_for_line("began", 2)
    world.write("go", "")
    wait_until(lambda: world.status() == "completed", crew.said())
    assert world.lines("effects") == ["one", "two"]
    assert [event for event in world.said() if event.startswith("StepInterrupted")] == ["StepInterrupted two"]
    assert world("submit", str(world.flow(QUICK)), "--queue", "build", "--id", "y").code == 0
    wait_until(lambda: world.status("y") == "completed", crew.said())
    [worker] = [each for each in world("worker", "list", "--json").json()["workers"] if each["alive"]]
    assert world("worker", "drain", worker["id"]).code == 0
    assert second.wait(PATIENCE) == 0
    assert waits(world) == (0, 0, 0)
    assert "Traceback" not in crew.said()
