"""Executions that are put into a queue: submitted, taken, handed on, given up, and never run twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from cerebelum.backends.postgres.address import parse as address_of
from cerebelum.backends.postgres.pool import schema as pool_schema
from cerebelum.core.events import ExecutionFailed, ExecutionResumed, StepInterrupted
from cerebelum.sdk import pool
from cerebelum.store import Query
from cerebelum.store.pooling import pool_of
from tests.lifecycle.world import World, crash, finish, wait_until
from tests.pool.crew import Crew
from tests.pool.storm import storm
from tests.servers.postgres import Postgres, schema_of, with_schema, without_schema

# Queues are in a database; what a file says to that is tested by name.
pytestmark = pytest.mark.parametrize("store_url", ["postgres"], indirect=True)

TWO = """
name: two
steps:
  - {id: one, run: echo one >> effects}
  - id: two
    run: |
      echo "$CEREBELUM_ATTEMPT" >> began
      until test -e go; do sleep 0.05; done
      echo two >> effects
"""
QUICK = "name: quick\nsteps:\n  - {id: only, run: 'echo \"$CEREBELUM_EXECUTION_ID\" >> effects'}\n"


@pytest.fixture
def crew(world: World) -> Iterator[Crew]:
    crew = Crew(world)
    yield crew
    crew.close()


def work_once(world: World, *options: str, queue: str = "build") -> str:
    """Have a worker do what there is to do; what it said."""
    done = world("worker", "--queue", queue, "--once", *options)
    assert done.code == 0, done
    return done.err


def waits(world: World) -> tuple[int, int, int]:
    """How many jobs a worker could take, how many wait, and how many are taken."""
    depths = [queue.depth for queue in pool.overview(world.client).queues]
    return (sum(d.waiting for d in depths), sum(d.later for d in depths), sum(d.taken for d in depths))


def reasons(world: World, name: str = "x") -> list[str]:
    return [event.reason for event in world.events(name) if isinstance(event, ExecutionResumed)]


# --- what is queued --------------------------------------------------------------------------------------------------


def test_what_is_submitted_is_queued_until_a_worker_takes_it(world: World) -> None:
    done = world("submit", str(world.flow(QUICK)), "--queue", "build", "--id", "x", "--priority", "3")
    assert (done.code, done.out) == (0, "x\n"), done
    told = world("status", "x").out
    assert "queued" in told
    assert "build, priority 3, waiting for" in told
    assert "which no worker serves" in told
    assert "start a worker with: cerebelum worker --queue build" in told
    shape = world("status", "x", "--json").json()
    assert (shape["status"], shape["reason"], shape["owner"]) == ("queued", "in the queue build", None)
    assert shape["queue"] == {"name": "build", "priority": 3, "not_before": None, "workers": 0, "ahead": 0, "left": []}
    assert "queued" in world("list", "--status", "queued").out
    assert waits(world) == (1, 0, 0)

    work_once(world)
    assert world.status() == "completed"
    assert reasons(world) == ["taken"]
    assert world.state().resumes == 0
    assert world.lines("effects") == ["x"]
    assert waits(world) == (0, 0, 0)
    assert world.sound()


def test_a_store_without_queues_says_so_and_records_nothing(world: World) -> None:
    file = str(world.flow(QUICK))
    for arguments in (["submit", file, "--queue", "build"], ["worker", "--queue", "build"], ["worker", "list"]):
        done = world("--store", str(world.folder / "file.db"), *arguments)
        assert done.code == 2, done
        assert "queues need PostgreSQL" in done.err
    assert not (world.folder / "file.db").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--queue", "a b"], "cannot be the name of a queue"),
        (["--queue", "q" * 41], "cannot be the name of a queue"),
        (["--queue", "build", "--priority", "99999999999"], "the priority"),
        (["--queue", "build", "--at", "tomorrow"], "is not a time"),
        (["--queue", "build", "--working-dir", "here"], "is not absolute"),
        (["--queue", "build", "--input", "no=1"], "no"),
        ([], "--queue"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_recorded(world: World, arguments: list[str], said: str) -> None:
    done = world("submit", str(world.flow(QUICK)), *arguments)
    assert done.code == 2, done
    assert said in done.err
    assert world.client.store.find(Query()).rows == []


def test_an_id_is_used_once_whoever_is_first(world: World) -> None:
    file = str(world.flow(QUICK))
    assert world("submit", file, "--queue", "build", "--id", "x").code == 0
    again = world("submit", file, "--queue", "build", "--id", "x")
    assert again.code == 2
    assert "there is an execution x already" in again.err
    assert waits(world) == (1, 0, 0)


def test_who_waits_while_another_makes_the_tables_finds_them_made(world: World) -> None:
    address = address_of(world.url)
    with (
        psycopg.connect(without_schema(world.url), autocommit=True) as first,
        psycopg.connect(without_schema(world.url), autocommit=True) as second,
        ThreadPoolExecutor(1) as thread,
    ):
        first.execute(f'CREATE SCHEMA IF NOT EXISTS "{address.schema}"')
        assert pool_schema.version_of(second, address) == 0  # type: ignore[arg-type]
        with first.transaction():
            first.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (address.channel,))
            waiting = thread.submit(pool_schema.migrate, second, address)  # type: ignore[arg-type]
            asked = "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted"
            wait_until(lambda: first.execute(asked, (second.info.backend_pid,)).fetchone(), "it waits")
            pool_schema.migrate(first, address)  # type: ignore[arg-type]
        waiting.result()
        assert pool_schema.version_of(second, address) == pool_schema.SCHEMA_VERSION  # type: ignore[arg-type]


def test_the_execution_and_its_job_are_written_together_or_not_at_all(world: World) -> None:
    file = str(world.flow(QUICK))
    assert world("submit", file, "--queue", "build", "--id", "x").code == 0
    with psycopg.connect(without_schema(world.url), autocommit=True) as connection:
        jobs = f'"{schema_of(world.url)}".procrastinate_jobs'
        connection.execute(f"ALTER TABLE {jobs} ADD CONSTRAINT none CHECK (queueing_lock <> 'y')")
    assert world("submit", file, "--queue", "build", "--id", "y").code == 74
    assert [row.summary.execution_id for row in world.client.store.find(Query()).rows] == ["x"]


def test_the_higher_priority_goes_first_and_what_has_its_time_waits_for_it(world: World) -> None:
    file = str(world.flow(QUICK))
    for name, more in (
        ("low", []),
        ("high", ["--priority", "5"]),
        ("next", []),
        ("never", ["--at", "2999-01-01T00:00:00Z", "--priority", "9"]),
    ):
        assert world("submit", file, "--queue", "build", "--id", name, *more).code == 0
    shape = world("status", "next", "--json").json()
    assert shape["queue"]["ahead"] == 2
    assert "not before 2999-01-01" in world("status", "never").out
    work_once(world)
    assert world.lines("effects") == ["high", "low", "next"]
    assert world.status("never") == "queued"
    assert waits(world) == (0, 1, 0)


def test_one_that_is_cancelled_in_the_queue_never_runs(world: World, crew: Crew) -> None:
    crew.submit(world.flow(QUICK), "x")
    done = world("cancel", "x")
    assert done.code == 0, done
    assert world.status() == "cancelled"
    work_once(world)
    assert world.lines("effects") == []
    assert waits(world) == (0, 0, 0)


def test_one_that_is_resumed_by_hand_is_not_run_again_by_its_job(world: World, crew: Crew) -> None:
    crew.submit(world.flow(QUICK), "x")
    assert world("resume", "x").code == 0
    work_once(world)
    assert world.lines("effects") == ["x"]
    assert reasons(world) == ["manual"]
    assert waits(world) == (0, 0, 0)


def test_while_somebody_drives_it_by_hand_its_job_waits(world: World, crew: Crew) -> None:
    crew.submit(world.flow(TWO), "x")
    by_hand = world.start("resume", "x")
    world.wait_for_line("began")
    work_once(world)
    assert waits(world) == (0, 0, 0)
    world.write("go", "")
    assert finish(by_hand).code == 0
    assert world.lines("began") == ["1"]


def test_the_job_of_one_that_was_pruned_ends_with_a_word(world: World, crew: Crew) -> None:
    crew.submit(world.flow(QUICK), "x")
    assert world("cancel", "x").code == 0
    assert world("store", "prune", "--older-than", "0s", "--yes").code == 0
    assert "x was pruned at" in work_once(world)
    assert waits(world) == (0, 0, 0)


def test_two_pools_in_one_database_know_nothing_of_each_other(world: World) -> None:
    other = {"CEREBELUM_STORE": with_schema(without_schema(world.url), f"{schema_of(world.url)}_other")}
    file = str(world.flow(QUICK))
    try:
        assert world("submit", file, "--queue", "build", "--id", "x", env=other).code == 0
        assert world("submit", file, "--queue", "build", "--id", "y").code == 0
        work_once(world)
        assert world.lines("effects") == ["y"]
        assert world("status", "x", "--json", env=other).json()["status"] == "queued"
    finally:
        with psycopg.connect(without_schema(world.url), autocommit=True) as connection:
            connection.execute(f'DROP SCHEMA "{schema_of(world.url)}_other" CASCADE')


def test_what_was_copied_from_elsewhere_gets_a_job(world: World, crew: Crew) -> None:
    crew.submit(world.flow(QUICK), "x")
    with psycopg.connect(without_schema(world.url), autocommit=True) as connection:
        connection.execute(f'SET search_path = "{schema_of(world.url)}"')
        connection.execute("DELETE FROM procrastinate_jobs")
    work_once(world)
    assert world.status() == "completed"


# --- waits -----------------------------------------------------------------------------------------------------------


def test_while_it_waits_for_a_person_no_worker_is_taken_up_and_a_decision_wakes_it(world: World, crew: Crew) -> None:
    flow = "name: ask\nsteps:\n  - {id: go, approval: {message: ok?}}\n  - {id: finish, run: echo x >> effects}\n"
    crew.submit(world.flow(flow), "x")
    crew.hire()
    wait_until(lambda: waits(world) == (0, 1, 0), "it parks")
    assert world.status() == "waiting_for_approval"
    assert world.row().ownership.owner is None
    assert world("approve", "x").code == 0
    wait_until(lambda: world.status() == "completed", "it goes on")
    assert reasons(world) == ["taken", "woken"]


def test_a_sleep_gives_the_place_to_others_and_is_woken_when_it_is_over(world: World, crew: Crew) -> None:
    flow = "name: nap\nsteps:\n  - {id: nap, sleep: 11s}\n  - {id: finish, run: echo x >> effects}\n"
    crew.submit(world.flow(flow), "x")
    crew.hire()
    wait_until(lambda: waits(world) == (0, 1, 0), "it parks")
    assert world.row().ownership.owner is None
    wait_until(lambda: world.status() == "completed", "it goes on")
    assert world.lines("effects") == ["x"]


# --- groups of which one at a time goes on ---------------------------------------------------------------------------


def test_of_one_group_a_pool_drives_one_at_a_time_in_order(world: World, crew: Crew) -> None:
    flow = world.flow(
        "name: site\nconcurrency: site\nsteps:\n"
        "  - {id: enter, run: 'mkdir inside && echo \"$CEREBELUM_EXECUTION_ID\" >> order'}\n"
        "  - {id: work, run: sleep 0.2}\n"
        "  - {id: leave, run: rmdir inside}\n"
    )
    names = ["a", "b", "c", "d"]
    for name in names:
        crew.submit(flow, name)
    crew.hire("--concurrency", "3")
    crew.hire("--concurrency", "3")
    wait_until(lambda: all(world.status(name) == "completed" for name in names), "all of them are over")
    assert sorted(world.lines("order")) == names
    wait_until(lambda: waits(world) == (0, 0, 0), "the jobs end")


def test_in_a_pool_one_waits_in_line_for_what_is_driven_elsewhere(world: World, crew: Crew) -> None:
    flow = world.flow(f"concurrency: site\n{TWO.lstrip()}")
    first = world.start("run", flow, "--id", "first")
    world.wait_for_line("began")
    crew.submit(flow, "second")
    crew.hire("--concurrency", "1")
    wait_until(lambda: world.status("second") == "waiting_for_lock", "it waits in line")
    wait_until(lambda: world.row("second").ownership.owner is None, "it gives its place in the worker back")
    taken = len(world.events("second"))
    world.write("go", "")
    assert finish(first)[0] == 0
    wait_until(lambda: world.status("second") == "completed", "its turn comes")
    assert world.lines("effects") == ["one", "two"] * 2
    # It is not taken up again and again while it waits.
    assert [type(e).__name__ for e in world.events("second")[taken:]].count("ExecutionResumed") == 1


# --- workers that go -------------------------------------------------------------------------------------------------


def test_when_a_worker_dies_another_one_goes_on_at_the_step_that_was_interrupted(world: World, crew: Crew) -> None:
    crew.submit(world.flow(TWO), "x")
    first = crew.hire()
    world.wait_for_line("began")
    assert "waits for a worker" not in world("status", "x").out
    crew.hire()
    crash(first)
    world.wait_for_line("began", 2)
    world.write("go", "")
    wait_until(lambda: world.status() == "completed", "another one goes on")
    assert world.lines("effects") == ["one", "two"]
    assert reasons(world) == ["taken", "resurrected"]
    wait_until(lambda: waits(world) == (0, 0, 0), "the job ends")


def test_a_worker_that_is_told_to_stop_hands_over(world: World, crew: Crew) -> None:
    crew.submit(world.flow(TWO), "x")
    first = crew.hire()
    world.wait_for_line("began")
    crew.hire()
    first.terminate()
    assert first.wait(30) == 143
    assert [e.why for e in world.events() if isinstance(e, StepInterrupted)] == ["stopped"]
    world.wait_for_line("began", 2)
    world.write("go", "")
    wait_until(lambda: world.status() == "completed", "another one goes on")
    assert world.lines("effects") == ["one", "two"]


def test_a_worker_that_is_drained_lets_the_present_step_end_and_hands_over(world: World, crew: Crew) -> None:
    crew.submit(world.flow(TWO + "  - {id: three, run: echo three >> effects}\n"), "x")
    first = crew.hire("--concurrency", "2")
    world.wait_for_line("began")
    [worker] = world("worker", "list", "--json").json()["workers"]
    assert (worker["executions"], worker["alive"], worker["draining"]) == (["x"], True, False)
    assert world("worker", "drain", worker["id"][:6], "--json").json()["id"] == worker["id"]
    wait_until(lambda: "draining" in crew.said(), "it hears of that")
    crew.submit(world.flow(QUICK, "quick.yaml"), "y")
    world.write("go", "")
    assert first.wait(30) == 0
    assert world.lines("effects") == ["one", "two"], "nothing new is taken, and no step begins"
    told = world("status", "x").out
    assert "paused (waits for a runner)" in told
    assert "where it waits for a worker to go on with it, the next one, which no worker serves" in told
    assert "start a worker with: cerebelum worker --queue" in told
    assert "to go on here instead: cerebelum resume x" in told
    assert world("status", "x", "--json").json()["queue"].items() >= {"workers": 0, "ahead": 0}.items()
    assert world.status("y") == "queued"
    work_once(world)
    assert sorted(world.lines("effects")) == ["one", "three", "two", "y"]
    assert not [e for e in world.events() if isinstance(e, StepInterrupted)]
    assert world.status() == "completed"


def test_a_worker_that_stood_still_while_another_took_over_writes_nothing_more(world: World, crew: Crew) -> None:
    crew.submit(world.flow(TWO), "x")
    first = crew.hire()
    world.wait_for_line("began")
    first.send_signal(signal.SIGSTOP)
    row = world.row()
    taken = world.client.store.own("x", None, row.ownership)
    assert taken is not None
    second = crew.hire()
    with psycopg.connect(without_schema(world.url), autocommit=True) as connection:
        # As after its beat had not moved for long.
        connection.execute(f"""UPDATE "{schema_of(world.url)}".runners SET beat_at = 0""")
    world.wait_for_line("began", 2)
    first.send_signal(signal.SIGCONT)
    world.write("go", "")
    wait_until(lambda: world.status() == "completed", "the other one completes it")
    wait_until(lambda: waits(world) == (0, 0, 0), "the job ends")
    assert reasons(world) == ["taken", "resurrected"]
    assert (first.poll(), second.poll()) == (None, None), "both go on with other work"
    assert world.sound()


def test_what_kills_every_worker_is_given_up_and_says_why(world: World, crew: Crew) -> None:
    poison = "name: poison\nsteps:\n  - {id: bite, run: kill -9 $PPID}\n"
    crew.submit(world.flow(poison), "x")
    deaths = 0
    while world.status() != "failed":
        assert deaths < 5
        deaths += world("worker", "--queue", "build", "--once", "--resurrections", "2").code == -signal.SIGKILL
    assert deaths == 3
    [failed] = [e for e in world.events() if isinstance(e, ExecutionFailed)]
    assert failed.error.kind == "resurrection_exhausted"
    assert "died 3 times in a row" in failed.error.message
    assert waits(world) == (0, 0, 0)


def test_what_a_newer_version_submitted_is_left_to_workers_that_know_it(
    world: World, crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("cerebelum.host.surroundings.__version__", "99.1.0")
        crew.submit(world.flow(QUICK), "x")
    said = work_once(world)
    assert "submitted by cerebelum 99.1.0" in said
    assert world.status() == "queued"
    assert waits(world) == (1, 0, 0)


def test_a_worker_that_lacks_a_secret_leaves_it_to_others(world: World, crew: Crew) -> None:
    flow = "name: s\nsecrets: [POOL_TOKEN]\nsteps:\n  - {id: a, secrets: [POOL_TOKEN], run: echo x >> effects}\n"
    crew.submit(world.flow(flow), "x")
    assert "POOL_TOKEN" in work_once(world)
    assert world.status() == "queued"
    assert waits(world) == (1, 0, 0)


def test_what_one_worker_cannot_do_another_one_does_at_once(world: World, crew: Crew) -> None:
    flow = "name: s\nsecrets: [POOL_TOKEN]\nsteps:\n  - {id: a, secrets: [POOL_TOKEN], run: echo x >> effects}\n"
    crew.hire("--concurrency", "8", host="poor")
    for number in range(8):
        crew.submit(world.flow(flow), f"x{number}")
    wait_until(
        lambda: "left by the worker on poor: the secret is not set: POOL_TOKEN" in world("status", "x7").out,
        "the reason is told",
    )
    queue = world("status", "x7", "--json").json()["queue"]
    assert [(each["host"], "POOL_TOKEN" in each["why"]) for each in queue["left"]] == [("poor", True)]
    [worker] = world("worker", "list", "--json").json()["workers"]
    assert "x7" in worker["leaves"]
    assert waits(world) == (8, 0, 0)
    world.environ["POOL_TOKEN"] = "tip-top-secret"
    crew.hire(host="rich")
    crew.submit(world.flow(flow), "x8")
    wait_until(lambda: all(world.status(f"x{n}") == "completed" for n in range(9)), "all of them")
    assert waits(world) == (0, 0, 0)


def test_how_long_something_waits_is_not_forgotten_because_a_worker_left_it(world: World, crew: Crew) -> None:
    crew.submit(world.flow("name: s\nsecrets: [POOL_TOKEN]\nsteps: [{id: a, run: 'true'}]\n"), "x")
    queues = pool_of(world.client.store)

    def oldest() -> float:
        return queues.depths()[0].oldest or 0.0

    wait_until(lambda: oldest() > 1.0, "it waits")
    work_once(world)
    assert oldest() > 1.0


def test_what_is_for_a_worker_is_not_taken_for_the_list_of_them(world: World) -> None:
    refused = world("worker", "--queue", "build", "list")
    assert refused.code == 2
    assert "worker list takes no --queue" in refused.err
    assert world("worker", "list").code == 0


def test_a_worker_that_is_not_there_cannot_be_drained(world: World) -> None:
    done = world("worker", "drain", "nobody")
    assert done.code == 3
    assert "there is no worker 'nobody'" in done.err


# --- the server goes away --------------------------------------------------------------------------------------------


def test_a_server_that_restarts_is_waited_for(world: World, own_server: Postgres) -> None:
    world.url = world.environ["CEREBELUM_STORE"] = with_schema(own_server.url, "pool")
    here = Crew(world)
    try:
        here.submit(world.flow(TWO), "x")
        worker = here.hire("--concurrency", "2")
        world.wait_for_line("began")
        own_server.restart()
        world.write("go", "")
        wait_until(lambda: world.status() == "completed", "it completes")
        here.submit(world.flow(QUICK, "quick.yaml"), "y")
        wait_until(lambda: world.status("y") == "completed", "the next one is taken")
        assert worker.poll() is None
        assert world.lines("began") == ["1"]
    finally:
        here.close()


def test_in_a_storm_of_kills_stops_and_drains_every_step_takes_effect_once(world: World, own_server: Postgres) -> None:
    executions = int(os.environ.get("CEREBELUM_STORM", "16"))
    world.url = world.environ["CEREBELUM_STORE"] = with_schema(own_server.url, "storm")
    print(storm(world, own_server, executions=executions, seed=4, restarts=1, machines=False, pace=0.4))
    assert len(world.client.store.find(Query(status=("completed",), limit=1000)).rows) == executions
