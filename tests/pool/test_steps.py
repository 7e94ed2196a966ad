"""Steps that workers perform: handed over, taken, reported, given up, and never heeded twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psycopg
import pytest

from cerebelum.core.errors import NotFound
from cerebelum.core.events import (
    ExecutionPaused,
    ExecutionResumed,
    StepFailed,
    StepHandedOver,
    StepInterrupted,
    StepReported,
    StepTaken,
)
from cerebelum.store import Query
from cerebelum.store.pooling import Handover, pool_of
from tests.lifecycle.world import World, crash, finish, wait_until
from tests.pool.crew import Crew
from tests.pool.storm import storm
from tests.pool.test_pool import reasons, waits
from tests.servers.postgres import Postgres, schema_of, with_schema, without_schema

pytestmark = pytest.mark.parametrize("store_url", ["postgres"], indirect=True)

TRAIN = """
name: train
steps:
  - parallel:
      - id: fit
        runs_on: {queue: gpu, labels: [a100]}
        run: |
          echo "$CEREBELUM_ATTEMPT" >> began
          echo "fitting on $CEREBELUM_HOST"
          until test -e go; do sleep 0.05; done
          echo "loss=3" >> "$CEREBELUM_OUTPUT"
          echo "fit $CEREBELUM_ATTEMPT" >> effects
      - {id: beside, run: echo beside >> effects}
  - id: after
    env: {LOSS: '${{ steps.fit.output.loss }}'}
    run: echo "loss $LOSS" >> effects
"""
QUICK = "name: quick\nsteps:\n  - {id: only, runs_on: gpu, run: 'echo \"$CEREBELUM_ATTEMPT\" >> effects'}\n"
GPU = ("--labels", "a100,eu")


@pytest.fixture
def crew(world: World) -> Iterator[Crew]:
    crew = Crew(world)
    yield crew
    crew.close()


def stands(world: World) -> str:
    """The status, also of what is not there yet."""
    return world.status() if world.client.store.find(Query(id="x")).rows else ""


def step_events(world: World, name: str = "x") -> list[str]:
    """What happened to handed-over steps, in a word each."""
    kinds = (StepHandedOver, StepTaken, StepReported, StepInterrupted, StepFailed)
    return [
        type(e).__name__ + (" refused" if isinstance(e, StepReported) and e.refused else "")
        for e in world.events(name)
        if isinstance(e, kinds)
    ]


# --- the way of a step -----------------------------------------------------------------------------------------------


def test_a_step_is_performed_by_a_worker_while_what_else_can_run_goes_on_here(world: World, crew: Crew) -> None:
    by_hand = world.begin(TRAIN)
    world.wait_for_line("effects")
    assert world.lines("effects") == ["beside"], "the driver goes on with what else can run"
    wait_until(lambda: stands(world) == "waiting_for_worker", "it waits for a worker")
    assert waits(world) == (1, 0, 0)

    crew.hire(*GPU, queue="gpu")
    world.wait_for_line("began")
    [worker] = world("worker", "list", "--json").json()["workers"]
    assert worker["executions"] == ["x/fit/2"]
    shape = world("status", "x", "--json").json()
    [fit] = [step for step in shape["steps"] if step["id"] == "fit"]
    assert (fit["status"], fit["host"]) == ("on_worker", "agent-000")
    world.write("go", "")
    done = finish(by_hand)
    assert done.code == 0, done
    assert world.lines("effects") == ["beside", "fit 1", "loss 3"]
    assert step_events(world) == ["StepHandedOver", "StepTaken", "StepReported"]
    assert "fitting on agent-000" in world("logs", "x", "fit").out
    assert "on agent-000" in world("status", "x").out
    assert waits(world) == (0, 0, 0)
    assert world.sound()


def test_a_store_without_queues_says_so_before_anything_is_recorded(world: World) -> None:
    file = str(world.flow(QUICK))
    done = world("--store", str(world.folder / "file.db"), "run", file)
    assert done.code == 2, done
    assert "step only runs on a worker of the queue gpu, and queues need PostgreSQL" in done.err
    assert "--here" in done.err
    assert not (world.folder / "file.db").exists()
    done = world("--store", str(world.folder / "file.db"), "run", file, "--here")
    assert done.code == 0, done
    assert world.lines("effects") == ["1"]


@pytest.mark.parametrize("taken", [False, True], ids=["waits", "was taken"])
def test_a_copy_in_a_store_without_queues_goes_on_here(world: World, crew: Crew, taken: bool) -> None:
    by_hand = world.begin(TRAIN)
    wait_until(lambda: stands(world) == "waiting_for_worker", "it waits")
    if taken:
        worker = crew.hire(*GPU, queue="gpu")
        wait_until(lambda: world.lines("began"), "it is performed")
        worker.kill()
    by_hand.kill()
    finish(by_hand)
    copy = str(world.folder / "copy.db")
    assert world("store", "copy", world.url, f"sqlite:///{copy}").code == 0
    refused = world("--store", copy, "resume", "x")
    assert refused.code == 2
    assert "--here" in refused.err
    (world.folder / "go").touch()
    done = world("--store", copy, "resume", "x", "--here")
    assert done.code == 0, done
    # What a killed worker left running is known to the store that it was copied from.
    assert sorted(set(world.lines("effects")) - {"fit 1"}) == ["beside", "fit 2", "loss 3"]


def test_a_queue_that_nobody_serves_is_told_at_once_with_how_long_it_has_waited(world: World, crew: Crew) -> None:
    by_hand = world.begin(TRAIN)
    wait_until(lambda: stands(world) == "waiting_for_worker", "it waits")
    told = world("status", "x").out
    assert "waits for a worker of the queue gpu with the label a100" in told
    assert "which no worker serves" in told
    assert "start one with: cerebelum worker --queue gpu --labels a100" in told
    crew.hire("--labels", "eu", queue="gpu")
    wait_until(lambda: "no worker of that has the label" in world("status", "x").out, "the label is named")
    [fit] = [step for step in world("status", "x", "--json").json()["steps"] if step["id"] == "fit"]
    assert fit["status"] == "waiting_for_worker"
    assert (fit["handed_over"]["queue"], fit["handed_over"]["labels"]) == ("gpu", ["a100"])
    assert (fit["handed_over"]["workers"], fit["handed_over"]["able"]) == (1, 0)
    assert waits(world) == (1, 0, 0), "a worker without the label does not even take the job"
    by_hand.send_signal(signal.SIGINT)
    done = finish(by_hand)
    assert done.code == 130, done
    assert "no worker serves it; start one with: cerebelum worker --queue gpu --labels a100" in done.err
    assert [e.why for e in world.events() if isinstance(e, StepInterrupted)] == ["withdrawn"]
    assert world.status() == "paused"


def test_in_a_pool_a_waiting_execution_needs_no_process_and_is_woken_by_the_outcome(world: World, crew: Crew) -> None:
    crew.submit(world.flow(TRAIN), "x")
    crew.hire("--concurrency", "1")
    wait_until(lambda: waits(world) == (1, 1, 0), "it parks")
    assert world.status() == "waiting_for_worker"
    assert world.row().ownership.owner is None
    world.write("go", "")
    crew.hire(*GPU, queue="gpu")
    wait_until(lambda: world.status() == "completed", "it is woken")
    assert reasons(world) == ["taken", "woken"]
    wait_until(lambda: waits(world) == (0, 0, 0), "the jobs end")


def test_one_worker_with_one_place_does_both_in_turn(world: World, crew: Crew) -> None:
    crew.submit(world.flow(TRAIN), "x")
    world.write("go", "")
    crew.hire(*GPU, "--concurrency", "1", queue="build,gpu")
    wait_until(lambda: world.status() == "completed", "it completes")


def test_secrets_come_from_the_workers_environment_and_whoever_drives_needs_none(world: World, crew: Crew) -> None:
    flow = (
        "name: sign\nsteps:\n  - {id: sign, runs_on: keys, secrets: [SIGN_KEY], "
        "run: 'echo \"key $SIGN_KEY\"; test ${#SIGN_KEY} = 8'}\n  - {id: after, run: 'true'}\n"
    )
    by_hand = world.begin(flow)
    wait_until(lambda: stands(world) == "waiting_for_worker", "it waits")
    # One without the secret leaves it to others.
    poor = crew.hire(queue="keys")
    wait_until(lambda: "SIGN_KEY" in crew.said(), "it says what it lacks")
    poor.terminate()
    poor.wait(30)
    world.environ["SIGN_KEY"] = "sesame-9"
    crew.hire(queue="keys")
    done = finish(by_hand)
    assert done.code == 0, done
    logged = world("logs", "x").out
    assert "key ***" in logged
    assert "sesame-9" not in logged + world("history", "x", "--json").out


def test_a_step_in_python_waits_for_a_person_between_two_workers(world: World, crew: Crew) -> None:
    world.write(
        "flow.py",
        "from cerebelum import approval, step, workflow\n\n"
        "@step(runs_on={'queue': 'gpu'})\nasync def ask():\n"
        "    answer = await approval('go?')\n    return answer.by\n\n"
        "@workflow\ndef asks(wf):\n    wf.timeline(ask)\n",
    )
    by_hand = world.start("run", str(world.folder / "flow.py"), "--id", "x")
    crew.hire(queue="gpu")
    wait_until(lambda: stands(world) == "waiting_for_approval", "it asks")
    assert world("approve", "x", "--by", "ann").code == 0
    done = finish(by_hand)
    assert done.code == 0, done
    assert world.state().steps["ask"].output == "ann"
    assert step_events(world) == ["StepHandedOver", "StepTaken", "StepReported"] * 2


def test_a_failure_is_tried_again_on_a_worker_as_anywhere(world: World, crew: Crew) -> None:
    flow = (
        "name: f\nsteps:\n  - {id: only, runs_on: gpu, retry: {attempts: 2, delay: 0s}, "
        "run: 'echo x >> effects; test $CEREBELUM_ATTEMPT = 2'}\n"
    )
    by_hand = world.begin(flow)
    crew.hire(queue="gpu")
    done = finish(by_hand)
    assert done.code == 0, done
    attempt = ["StepHandedOver", "StepTaken", "StepReported"]
    assert step_events(world) == [*attempt, "StepFailed", *attempt]


def test_a_time_limit_of_the_step_holds_on_the_worker(world: World, crew: Crew) -> None:
    by_hand = world.begin("name: t\nsteps:\n  - {id: only, runs_on: gpu, timeout: 0.5s, run: sleep 60}\n")
    crew.hire(queue="gpu")
    done = finish(by_hand)
    assert done.code == 1, done
    assert world.last(StepFailed).error.kind == "timeout"
    assert world.left("CEREBELUM_STEP=only") == []


# --- requests --------------------------------------------------------------------------------------------------------


def test_a_cancellation_reaches_the_worker(world: World, crew: Crew) -> None:
    by_hand = world.begin(TRAIN)
    crew.hire(*GPU, queue="gpu")
    world.wait_for_line("began")
    assert world("cancel", "x").code == 0
    assert finish(by_hand).code == 6
    assert [e.why for e in world.events() if isinstance(e, StepInterrupted)] == ["cancelled"]
    assert world.left("CEREBELUM_STEP=fit") == []
    wait_until(lambda: waits(world) == (0, 0, 0), "the job ends")


def test_what_no_worker_has_taken_is_withdrawn_by_a_cancellation(world: World, crew: Crew) -> None:
    by_hand = world.begin(TRAIN)
    wait_until(lambda: stands(world) == "waiting_for_worker", "it waits")
    assert world("cancel", "x").code == 0
    assert finish(by_hand).code == 6
    assert world("worker", "--queue", "gpu", "--once", *GPU).code == 0
    assert world.lines("began") == []
    assert waits(world) == (0, 0, 0)


@pytest.mark.parametrize("how", ["pause", "ctrl-c"])
def test_a_pause_reaches_the_worker_and_a_resume_begins_a_new_attempt(world: World, crew: Crew, how: str) -> None:
    by_hand = world.begin(TRAIN)
    crew.hire(*GPU, queue="gpu")
    world.wait_for_line("began")
    if how == "pause":
        assert world("pause", "x").code == 0
    else:
        by_hand.send_signal(signal.SIGINT)
    assert finish(by_hand).code == (75 if how == "pause" else 130)
    assert [e.why for e in world.events() if isinstance(e, StepInterrupted)] == ["operator"]
    assert isinstance(world.events()[-1], ExecutionPaused)
    world.write("go", "")
    assert world("resume", "x").code == 0
    assert world.lines("began") == ["1", "2"]
    assert "fit 2" in world.lines("effects")


def test_a_worker_that_does_not_answer_is_left_and_a_cancellation_after_that_counts(world: World, crew: Crew) -> None:
    by_hand = world.begin(TRAIN)
    first = crew.hire(*GPU, queue="gpu", host="big")
    world.wait_for_line("began")
    first.send_signal(signal.SIGSTOP)
    by_hand.send_signal(signal.SIGINT)
    done = finish(by_hand)
    assert done.code == 130, done
    assert "pausing; the worker on big was told, and has not answered yet" in done.out + done.err
    assert "asked     to pause, by " in world("status", "x").out
    first.send_signal(signal.SIGCONT)
    assert world("cancel", "x").code == 0
    wait_until(lambda: world.status() == "cancelled", "it is cancelled")
    assert world.left("CEREBELUM_STEP=fit") == []


def test_what_has_not_begun_is_cancelled_where_its_folder_and_its_secrets_are_not(world: World, crew: Crew) -> None:
    flow = world.flow(
        "name: s\nsecrets: [POOL_TOKEN]\nsteps: [{id: a, run: 'true'}]\nfinally: [{id: f, run: 'true'}]\n"
    )
    assert world("submit", str(flow), "--queue", "build", "--id", "x", "--working-dir", "/nonexistent").code == 0
    assert world("cancel", "x").code == 0
    assert world.status() == "cancelled"
    assert waits(world) == (0, 0, 0)


def test_a_parked_execution_is_cancelled_on_its_worker(world: World, crew: Crew) -> None:
    crew.submit(world.flow(TRAIN), "x")
    crew.hire()
    crew.hire(*GPU, queue="gpu")
    world.wait_for_line("began")
    wait_until(lambda: world.row().ownership.owner is None, "it parks")
    assert world("cancel", "x").code == 0
    wait_until(lambda: world.status() == "cancelled", "it ends")
    assert world.left("CEREBELUM_STEP=fit") == []
    wait_until(lambda: waits(world) == (0, 0, 0), "the jobs end")


def test_the_drivers_terminal_shows_what_the_worker_prints_while_it_prints_it(world: World, crew: Crew) -> None:
    shown = world.folder / "shown"
    with shown.open("wb") as out:
        by_hand = world.begin(TRAIN.replace("until test", "printf half; until test"), stdout=out)
    crew.hire(*GPU, queue="gpu", host="big")
    wait_until(lambda: "fit    │ fitting on big" in shown.read_text(), "it is shown")
    assert "✓ fit" not in shown.read_text()
    world.write("go", "")
    assert by_hand.wait(30) == 0
    said = shown.read_text()
    assert said.index("fit    │ half") < said.index("✓ fit")
    assert said.count("fitting on big") == 1


# --- workers that go -------------------------------------------------------------------------------------------------


def test_when_its_worker_dies_the_step_is_interrupted_and_another_one_performs_it(world: World, crew: Crew) -> None:
    by_hand = world.begin(TRAIN)
    first = crew.hire(*GPU, queue="gpu")
    world.wait_for_line("began")
    crew.hire(*GPU, queue="gpu")
    crash(first)
    world.wait_for_line("began", 2)
    world.write("go", "")
    assert finish(by_hand).code == 0
    assert [e.why for e in world.events() if isinstance(e, StepInterrupted)] == ["runner_died"]
    assert world.lines("effects").count("fit 2") == 1
    assert "fit 1" not in world.lines("effects"), "what was left of the first attempt was ended"


def test_the_driver_itself_notices_that_the_only_worker_died(world: World, crew: Crew) -> None:
    by_hand = world.begin(TRAIN.replace("runs_on", "on_interrupt: fail\n        runs_on"))
    first = crew.hire(*GPU, queue="gpu")
    world.wait_for_line("began")
    crash(first)
    assert finish(by_hand).code == 1
    assert world.last(StepFailed).error.kind == "interrupted"
    assert world.left("CEREBELUM_STEP=fit") == []


@pytest.mark.parametrize("policy", ["fail", "rerun"])
def test_a_parked_execution_hears_that_the_only_worker_died_from_one_of_another_queue(
    world: World, crew: Crew, policy: str
) -> None:
    crew.submit(world.flow(TRAIN.replace("runs_on", f"on_interrupt: {policy}\n        runs_on")), "x")
    crew.hire(host="both")
    first = crew.hire(*GPU, queue="gpu", host="both")
    world.wait_for_line("began")
    wait_until(lambda: world.row().ownership.owner is None, "it parks")
    crash(first)
    if policy == "fail":
        wait_until(lambda: stands(world) == "failed", "it fails")
        assert world.last(StepFailed).error.kind == "interrupted"
    else:
        wait_until(lambda: step_events(world).count("StepHandedOver") == 2, "it is handed over anew")
        world.write("go", "")
        crew.hire(*GPU, queue="gpu")
        wait_until(lambda: stands(world) == "completed", "it goes on")
    assert [e.why for e in world.events() if isinstance(e, StepInterrupted)] == ["runner_died"]
    assert world.left("CEREBELUM_STEP=fit") == []
    wait_until(lambda: waits(world) == (0, 0, 0), "no job is left")


def test_while_nobody_noticed_yet_the_status_says_that_the_worker_is_gone(world: World, crew: Crew) -> None:
    crew.submit(world.flow(TRAIN), "x")
    driver = crew.hire(host="both")
    first = crew.hire(*GPU, queue="gpu", host="both")
    world.wait_for_line("began")
    wait_until(lambda: world.row().ownership.owner is None, "it parks")
    [fit] = [s for s in world("status", "x", "--json").json()["steps"] if s["id"] == "fit"]
    assert (fit["handed_over"]["worker_lost"], fit["handed_over"]["able"]) == (False, 1)
    crash(driver)
    crash(first)
    world.environ["CEREBELUM_HOST"] = "both"
    [fit] = [s for s in world("status", "x", "--json").json()["steps"] if s["id"] == "fit"]
    assert (fit["status"], fit["handed_over"]["worker_lost"], fit["handed_over"]["able"]) == ("on_worker", True, 0)
    said = world("status", "x").out
    assert "ran on both, whose worker is gone" in said
    assert "start one with: cerebelum worker --queue gpu --labels a100" in said


def test_a_worker_that_is_told_to_stop_gives_the_step_back(world: World, crew: Crew) -> None:
    by_hand = world.begin(TRAIN)
    first = crew.hire(*GPU, queue="gpu")
    world.wait_for_line("began")
    first.terminate()
    assert first.wait(30) == 143
    wait_until(lambda: step_events(world)[-1] == "StepHandedOver", "it is handed over anew")
    world.write("go", "")
    crew.hire(*GPU, queue="gpu")
    assert finish(by_hand).code == 0
    assert [e.why for e in world.events() if isinstance(e, StepInterrupted)] == ["stopped"]


def test_a_worker_that_is_drained_performs_its_step_to_the_end(world: World, crew: Crew) -> None:
    by_hand = world.begin(TRAIN)
    first = crew.hire(*GPU, queue="gpu")
    world.wait_for_line("began")
    [worker] = world("worker", "list", "--json").json()["workers"]
    assert world("worker", "drain", worker["id"]).code == 0
    wait_until(lambda: "draining" in crew.said(), "it hears of that")
    world.write("go", "")
    assert finish(by_hand).code == 0
    assert first.wait(30) == 0
    assert world.lines("began") == ["1"]


def test_the_outcome_of_an_attempt_that_was_given_up_is_refused_and_seen(world: World, crew: Crew) -> None:
    by_hand = world.begin(TRAIN)
    first = crew.hire(*GPU, queue="gpu")
    world.wait_for_line("began")
    first.send_signal(signal.SIGSTOP)
    with psycopg.connect(without_schema(world.url), autocommit=True) as connection:
        # As after it had been taken for dead by a machine that only knows its beat.
        connection.execute(f"""DELETE FROM "{schema_of(world.url)}".workers""")
    wait_until(lambda: "StepInterrupted" in step_events(world), "it is taken for dead")
    second = crew.hire(*GPU, queue="gpu")
    world.wait_for_line("began", 2)
    first.send_signal(signal.SIGCONT)
    wait_until(lambda: "StepReported refused" in step_events(world), "what it says is refused")
    [refused] = [e for e in world.events() if isinstance(e, StepReported) and e.refused]
    assert refused.attempt == 1
    assert "counts for nothing" in world("history", "x").out
    world.write("go", "")
    assert finish(by_hand).code == 0
    assert world.lines("effects").count("fit 2") == 1
    assert "fit 1" not in world.lines("effects"), "it ended its processes when it saw that"
    assert (first.poll(), second.poll()) == (None, None), "both go on with other work"
    assert world.sound()


def test_a_step_that_kills_every_worker_is_given_up_and_says_why(world: World, crew: Crew) -> None:
    crew.submit(world.flow("name: p\nsteps:\n  - {id: bite, runs_on: gpu, run: kill -9 $PPID}\n"), "x")
    crew.hire("--resurrections", "2")
    deaths = 0
    while world.status() != "failed":
        assert deaths < 5
        deaths += world("worker", "--queue", "gpu", "--once").code == -signal.SIGKILL
    assert deaths == 3
    assert world.last(StepFailed).error.kind == "resurrection_exhausted"
    assert "3 workers in a row died" in world.last(StepFailed).error.message
    wait_until(lambda: waits(world) == (0, 0, 0), "the jobs end")


def test_when_the_driver_dies_the_worker_goes_on_and_the_next_one_finds_the_outcome(world: World, crew: Crew) -> None:
    by_hand = world.begin(TRAIN)
    crew.hire(*GPU, queue="gpu")
    world.wait_for_line("began")
    crash(by_hand)
    world.write("go", "")
    wait_until(lambda: "StepReported" in step_events(world), "it reports all the same")
    done = world("resume", "x")
    assert done.code == 0, done
    assert world.lines("began") == ["1"]


# --- what is missing -------------------------------------------------------------------------------------------------


def test_what_a_newer_version_began_is_left_to_workers_that_know_it(
    world: World, crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("cerebelum.host.surroundings.__version__", "99.1.0")
        crew.submit(world.flow(QUICK), "x")
    assert world("resume", "x", "--park").code == 75
    done = world("worker", "--queue", "gpu", "--once")
    assert "submitted by cerebelum 99.1.0" in done.err
    assert waits(world) == (2, 0, 0)


def test_the_job_of_a_step_whose_execution_was_pruned_ends_with_a_word(world: World, crew: Crew) -> None:
    assert world("run", str(world.flow(QUICK)), "--id", "x", "--park").code == 75
    assert world("cancel", "x").code == 0
    assert waits(world) == (0, 0, 0), "what was withdrawn has no job"
    assert world("store", "prune", "--older-than", "0s", "--yes").code == 0
    pool_of(world.client.store).offer("x", [Handover("only", 2, "gpu")])
    assert waits(world) == (0, 0, 0), "it waits for nothing"
    assert "x was pruned at" in world("worker", "--queue", "gpu", "--once").err
    assert waits(world) == (0, 0, 0)


def test_a_step_whose_job_is_lost_gets_another_one(world: World, crew: Crew) -> None:
    assert world("run", str(world.flow(QUICK)), "--id", "x", "--park").code == 75
    with psycopg.connect(without_schema(world.url), autocommit=True) as connection:
        connection.execute(f'SET search_path = "{schema_of(world.url)}"')
        connection.execute("DELETE FROM procrastinate_jobs")
    assert world("worker", "--queue", "gpu", "--once").code == 0
    assert world.lines("effects") == []
    crew.hire(queue="gpu")
    assert world("resume", "x").code == 0
    assert world.lines("effects") == ["1"]


def test_the_event_and_the_job_are_written_together_or_not_at_all(world: World, crew: Crew) -> None:
    assert world("run", str(world.flow(QUICK)), "--id", "x", "--park").code == 75
    with psycopg.connect(without_schema(world.url), autocommit=True) as connection:
        jobs = f'"{schema_of(world.url)}".procrastinate_jobs'
        connection.execute(f"ALTER TABLE {jobs} ADD CONSTRAINT none CHECK (queueing_lock NOT LIKE 'y/%')")
    assert world("run", str(world.flow(QUICK)), "--id", "y").code == 74
    with pytest.raises(NotFound):
        world.events("y")


# --- all of it -------------------------------------------------------------------------------------------------------


def test_in_a_storm_of_kills_stops_and_drains_every_step_takes_effect_once(world: World, own_server: Postgres) -> None:
    executions = int(os.environ.get("CEREBELUM_STORM", "10"))
    world.url = world.environ["CEREBELUM_STORE"] = with_schema(own_server.url, "storm")
    print(storm(world, own_server, executions=executions, seed=5, restarts=1, machines=False, pace=0.4, steps=True))
    assert len(world.client.store.find(Query(status=("completed",), limit=1000)).rows) == executions
    assert [e for e in world.events("storm-000") if isinstance(e, ExecutionResumed)]
