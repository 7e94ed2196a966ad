"""Schedules in a pool: each tick is submitted once, by whichever worker looks first, and driven by any."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from cerebelum.core.events import ExecutionStarted
from cerebelum.core.ids import tick_id
from tests.lifecycle.test_schedules import EACH_SECOND, WAITS, at, flow, ids, soon, statuses
from tests.lifecycle.world import World, finish, wait_until
from tests.pool.crew import Crew

# Queues are in a database.
pytestmark = pytest.mark.parametrize("store_url", ["postgres"], indirect=True)


@pytest.fixture
def crew(world: World) -> Iterator[Crew]:
    crew = Crew(world)
    yield crew
    crew.close()


def test_workers_that_look_after_one_file_submit_each_tick_once(world: World, crew: Crew) -> None:
    flow(world, EACH_SECOND, ", overlap: allow")
    for _ in range(2):
        crew.hire("--schedule", "nightly.yaml", "--concurrency", "2")
    wait_until(lambda: len(world.lines("effects")) >= 5, "five ticks")
    crew.dismiss()
    assert crew.codes == [143, 143], crew.said()
    assert world("worker", "--queue", "build", "--once").code == 0
    wait_until(lambda: set(statuses(world)) == {"completed"}, "all of them")
    assert sorted(world.lines("effects")) == ids(world)
    started = world.last(ExecutionStarted, ids(world)[0])
    assert (started.by, started.queue.name) == ("schedule", "build")
    assert world.sound()


@pytest.mark.parametrize("place", ["tick:1", "after-claim:1"])
def test_a_worker_that_dies_at_the_tick_leaves_it_to_the_other(world: World, crew: Crew, place: str) -> None:
    tick = soon()
    flow(world, at(tick))
    arguments = ("worker", "--queue", "build", "--schedule", "nightly.yaml")
    killed = world.start(*arguments, env={"CEREBELUM_FAULT": place})
    assert finish(killed).code == -signal.SIGKILL
    assert ids(world) == []
    crew.hire("--schedule", "nightly.yaml")
    wait_until(lambda: statuses(world) == ["completed"], "the tick")
    assert world.lines("effects") == [tick_id("nightly", tick)] == ids(world)
    wait_until(lambda: world.client.store.claims() == [], "its lock is free")


def test_what_is_not_to_overlap_is_skipped_while_one_is_in_the_queue_or_goes_on(world: World, crew: Crew) -> None:
    world.write("nightly.yaml", WAITS.format(cron=EACH_SECOND, overlap="skip"))
    for _ in range(2):
        crew.hire("--schedule", "nightly.yaml", "--concurrency", "4")
    world.wait_for_line("effects")
    [first] = ids(world)
    wait_until(lambda: "nothing is started for" in crew.said(), "a tick that is skipped")
    assert f"the lock schedule of nightly is held by {first}" in crew.said()
    beyond = datetime.now(UTC) + timedelta(seconds=2)
    wait_until(lambda: datetime.now(UTC) > beyond, "some ticks")
    assert ids(world) == [first]
    world.write("go", "")
    wait_until(lambda: len(ids(world)) >= 2, "the next one")


def test_once_submits_what_is_due_and_does_it(world: World) -> None:
    past = (datetime.now(UTC) - timedelta(minutes=30)).replace(second=0, microsecond=0)
    flow(world, f"{past.minute} * * * *", ", overlap: allow")
    before = tick_id("nightly", past - timedelta(hours=5))
    assert world("run", "nightly.yaml", "--id", before, "--tag", "schedule").code == 0
    for _ in range(2):
        done = world("worker", "--queue", "build", "--schedule", "nightly.yaml", "--once")
        assert done.code == 0, done
    assert ids(world) == [before, tick_id("nightly", past)]
    assert world.lines("effects") == ids(world)


def test_what_cannot_be_scheduled_is_refused_at_once(world: World) -> None:
    world.write("plain.yaml", "steps: [{id: a, run: 'true'}]")
    done = world("worker", "--queue", "build", "--schedule", "plain.yaml")
    assert done.code == 2
    assert "has no schedule" in done.err


def test_submit_takes_a_lock(world: World, crew: Crew) -> None:
    text = "steps: [{id: a, run: 'echo $CEREBELUM_EXECUTION_ID >> effects; until test -e go; do sleep 0.05; done'}]"
    file = str(world.write("plain.yaml", text))
    for name in ("x", "y"):
        assert world("submit", file, "--queue", "build", "--id", name, "--lock", "site").code == 0
    crew.hire("--concurrency", "4")
    world.wait_for_line("effects")
    wait_until(lambda: sorted(statuses(world)) == ["running", "waiting_for_lock"], "one after the other")
    assert [claim.group for claim, _ in world.client.locks()] == ["site", "site"]
    assert world.events("x")[0].concurrency.group == "site"  # type: ignore[union-attr]
    world.write("go", "")
    wait_until(lambda: statuses(world) == ["completed", "completed"], "both")
    own = world.write("own.yaml", "concurrency: own\nsteps: [{id: a, run: 'true'}]")
    done = world("submit", str(own), "--queue", "build", "--lock", "site")
    assert (done.code, "a lock of its own" in done.err) == (2, True)
