"""Schedules with real processes: each tick once, whoever dies when, and no two that are not to overlap."""

from __future__ import annotations

import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cerebelum.core.events import ExecutionStarted
from cerebelum.core.ids import tick_id
from cerebelum.store import Query
from tests.lifecycle.world import World, finish, wait_until

EFFECT = 'echo "$CEREBELUM_EXECUTION_ID" >> effects'
EACH_SECOND = "* * * * * *"
WAITS = """
name: nightly
schedule: {{cron: '{cron}', overlap: {overlap}}}
steps:
  - id: a
    run: |
      echo "begin $CEREBELUM_EXECUTION_ID" >> effects
      until test -e go; do sleep 0.05; done
      echo "end $CEREBELUM_EXECUTION_ID" >> effects
"""


def flow(world: World, cron: str, more: str = "") -> Path:
    text = f"name: nightly\nschedule: {{cron: '{cron}'{more}}}\nsteps: [{{id: a, run: '{EFFECT}'}}]\n"
    return world.write("nightly.yaml", text)


def at(moment: datetime) -> str:
    """The cron expression of a second, which comes once a year."""
    return f"{moment.second} {moment.minute} {moment.hour} {moment.day} {moment.month} *"


def soon() -> datetime:
    """A second that has not come, when processes that begin now have begun."""
    return (datetime.now(UTC) + timedelta(seconds=4)).replace(microsecond=0)


def ids(world: World) -> list[str]:
    return sorted(row.summary.execution_id for row in world.client.store.find(Query(limit=1000)).rows)


def statuses(world: World) -> list[str]:
    """Of all executions, by their ticks."""
    return [world.client.status(name).status for name in ids(world)]


def looks_after(supervisor: subprocess.Popen[bytes]) -> None:
    """Returns once it has read its file."""
    assert supervisor.stderr is not None
    assert b"nightly.yaml: next at 20" in supervisor.stderr.readline()


def stop(*supervisors: subprocess.Popen[bytes]) -> list[str]:
    """End supervisors in an orderly way; what they said."""
    for process in supervisors:
        process.terminate()
    done = [finish(process) for process in supervisors]
    assert [d.code for d in done] == [143] * len(supervisors), done
    return [d.err for d in done]


def test_several_supervisors_start_each_tick_once(world: World) -> None:
    flow(world, EACH_SECOND, ", overlap: allow")
    supervisors = [world.start("supervise", "nightly.yaml") for _ in range(3)]
    wait_until(lambda: len(world.lines("effects")) >= 5, "five ticks")
    said = "".join(stop(*supervisors))
    assert world("supervise", "--once").code == 0
    assert statuses(world) == ["completed"] * len(ids(world))
    effects = world.lines("effects")
    assert sorted(set(effects)) == ids(world)
    # A step that was interrupted when they were stopped ran again.
    assert all(effects.count(name) <= world.state(name).steps["a"].attempt for name in ids(world))
    assert "bug" not in said
    assert world.sound()


def test_an_execution_says_that_the_schedule_made_it_and_for_when(world: World) -> None:
    tick = soon()
    flow(world, at(tick), ", timezone: UTC")
    text = (world.folder / "nightly.yaml").read_text()
    world.write(
        "nightly.yaml", text.replace("run: '", "env: {FOR: '${{ execution.scheduled_for }}'}, run: 'echo \"$FOR\"; ")
    )
    supervisor = world.start("supervise", "nightly.yaml")
    name = tick_id("nightly", tick)
    wait_until(lambda: ids(world) == [name] and world.status(name) == "completed", name)
    stop(supervisor)
    shape = world("status", name, "--json").json()
    assert (shape["scheduled_for"], shape["tags"]) == (f"{tick:%Y-%m-%dT%H:%M:%S}Z", ["schedule"])
    started = world.last(ExecutionStarted, name)
    assert (started.by, started.scheduled_for) == ("schedule", tick)
    assert f"for {tick.astimezone():%Y-%m-%d %H:%M:%S}" in world("status", name).out
    assert "by schedule" in world("history", name).out
    assert "scheduled for" in world("history", name).out
    assert tick.isoformat() in world("logs", name).out
    assert world("list", "--tag", "schedule", "--json").json()["executions"][0]["execution_id"] == name
    assert world.run("steps: [{id: a, run: 'true'}]", name="by-hand").code == 0
    assert world("status", "by-hand", "--json").json()["scheduled_for"] is None


@pytest.mark.parametrize("place", ["tick:1", "after-claim:1", "before-commit:1", "after-commit:1", "before-commit:2"])
def test_wherever_a_supervisor_is_killed_there_is_one_execution(world: World, place: str) -> None:
    tick = soon()
    flow(world, at(tick))
    name = tick_id("nightly", tick)
    killed = world.start("supervise", "nightly.yaml", env={"CEREBELUM_FAULT": place})
    assert finish(killed).code == -signal.SIGKILL
    assert ids(world) == ([name] if place in ("after-commit:1", "before-commit:2") else [])
    assert world("supervise", "nightly.yaml", "--once").code == 0
    assert world("supervise", "nightly.yaml", "--once").code == 0
    assert (ids(world), statuses(world)) == ([name], ["completed"])
    assert world.lines("effects") == [name]
    assert world.client.store.claims() == []
    assert world.sound()


def test_two_of_them_one_killed_at_the_tick_make_one(world: World) -> None:
    flow(world, "0 0 1 1 *")
    killed = world.start("supervise", "nightly.yaml", env={"CEREBELUM_FAULT": "tick:1"})
    other = world.start("supervise", "nightly.yaml")
    for supervisor in (killed, other):
        looks_after(supervisor)
    other.send_signal(signal.SIGSTOP)
    tick = soon()
    flow(world, at(tick))
    assert finish(killed).code == -signal.SIGKILL
    assert ids(world) == []
    other.send_signal(signal.SIGCONT)
    wait_until(lambda: statuses(world) == ["completed"], "the tick")
    stop(other)
    assert world.lines("effects") == [tick_id("nightly", tick)]


@pytest.mark.parametrize("missed", ["once", "skip"])
def test_what_nobody_was_there_for(world: World, missed: str) -> None:
    past = (datetime.now(UTC) - timedelta(minutes=30)).replace(second=0, microsecond=0)
    flow(world, f"{past.minute} * * * *", f", missed: {missed}, overlap: allow")
    before = tick_id("nightly", past - timedelta(hours=5))
    assert world("run", "nightly.yaml", "--id", before, "--tag", "schedule").code == 0
    done = world("supervise", "nightly.yaml", "--once")
    assert done.code == 0, done
    made = [before, tick_id("nightly", past)] if missed == "once" else [before]
    assert ids(world) == made
    assert ("was missed, and is skipped" in done.err) == (missed == "skip")
    assert world("supervise", "nightly.yaml", "--once").code == 0
    assert ids(world) == made


# --- overlap ---------------------------------------------------------------------------------------------------------


def test_while_one_goes_on_the_next_is_skipped(world: World) -> None:
    world.write("nightly.yaml", WAITS.format(cron=EACH_SECOND, overlap="skip"))
    supervisors = [world.start("supervise", "nightly.yaml") for _ in range(2)]
    world.wait_for_line("effects")
    [first] = ids(world)
    beyond = datetime.now(UTC) + timedelta(seconds=3)
    wait_until(lambda: datetime.now(UTC) > beyond, "some ticks")
    assert ids(world) == [first]
    world.write("go", "")
    wait_until(lambda: len(ids(world)) >= 3, "the next ones")
    said = stop(*supervisors)
    assert all(f"the lock schedule of nightly is held by {first}" in text for text in said)
    assert world("supervise", "--once").code == 0
    assert not _overlapping(world)


def test_while_one_goes_on_the_next_ones_wait_in_line(world: World) -> None:
    world.write("nightly.yaml", WAITS.format(cron=EACH_SECOND, overlap="queue"))
    supervisor = world.start("supervise", "nightly.yaml")
    wait_until(lambda: len(ids(world)) >= 3 and "waiting_for_lock" in statuses(world), "a line")
    stop(supervisor)
    assert len([line for line in world.lines("effects") if line.startswith("begin")]) == 1
    world.write("go", "")
    assert world("supervise", "--once").code == 0
    wait_until(lambda: set(statuses(world)) == {"completed"}, "all of them")
    assert not _overlapping(world)


def test_while_one_goes_on_the_next_ones_begin_if_that_is_allowed(world: World) -> None:
    world.write("nightly.yaml", WAITS.format(cron=EACH_SECOND, overlap="allow"))
    supervisor = world.start("supervise", "nightly.yaml")
    world.wait_for_line("effects", 3)
    assert all(line.startswith("begin") for line in world.lines("effects"))
    world.write("go", "")
    stop(supervisor)


def test_a_workflow_with_a_lock_of_its_own_is_skipped_while_anybody_has_that(world: World) -> None:
    text = WAITS.format(cron=EACH_SECOND, overlap="skip").replace("schedule:", "concurrency: shared\nschedule:")
    world.write("nightly.yaml", text)
    by_hand = world.start("run", "nightly.yaml", "--id", "by-hand")
    world.wait_for_line("effects")
    done = world.start("supervise", "nightly.yaml")
    beyond = datetime.now(UTC) + timedelta(seconds=3)
    wait_until(lambda: datetime.now(UTC) > beyond, "some ticks")
    assert ids(world) == ["by-hand"]
    [said] = stop(done)
    assert "the lock shared is held by by-hand" in said
    world.write("go", "")
    assert finish(by_hand).code == 0


def _overlapping(world: World) -> bool:
    """Whether a step began while one of another execution went on. An interrupted one begins again."""
    going_on = None
    for line in world.lines("effects"):
        what, _, name = line.partition(" ")
        if going_on not in (None, name):
            return True
        going_on = name if what == "begin" else None
    return False


# --- files -----------------------------------------------------------------------------------------------------------


def test_an_edit_counts_while_a_supervisor_goes_on(world: World) -> None:
    flow(world, "0 0 1 1 *")
    supervisor = world.start("supervise", "nightly.yaml")
    looks_after(supervisor)
    world.write("nightly.yaml", "schedule: [")
    assert supervisor.stderr is not None
    assert b"nothing is started until this is mended" in supervisor.stderr.readline()
    flow(world, EACH_SECOND)
    world.wait_for_line("effects")
    assert b"read again; next at 20" in supervisor.stderr.readline()
    stop(supervisor)


def test_a_workflow_in_python_has_a_schedule_too(world: World) -> None:
    tick = soon()
    world.write(
        "flow.py",
        f"""
from cerebelum import step, workflow


@step
def effect():
    with open("effects", "a") as file:
        print("done", file=file)


@workflow(schedule={{"cron": "{at(tick)}", "overlap": "allow"}})
def nightly(wf):
    wf.timeline(effect)
""",
    )
    supervisor = world.start("supervise", "flow.py:nightly")
    world.wait_for_line("effects")
    stop(supervisor)
    assert ids(world) == [tick_id("nightly", tick)]
    bad = (world.folder / "flow.py").read_text().replace('"allow"', '"alow"')
    world.write("flow.py", bad)
    done = world("validate", "flow.py")
    assert (done.code, "did you mean `allow`?" in done.err) == (2, True), done


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: [{id: a, run: 'true'}]", "has no schedule"),
        ("schedule: '@daily'\ninputs: {a: {required: true}}\nsteps: [{id: a, run: 'true'}]", "is given no inputs"),
        ("schedule: '@daily'\nsecrets: [NOT_THERE]\nsteps: [{id: a, run: 'true'}]", "NOT_THERE"),
        (None, "nightly.yaml"),
    ],
)
def test_what_cannot_be_scheduled_is_refused_at_once(world: World, text: str | None, said: str) -> None:
    if text is not None:
        world.write("nightly.yaml", text)
    done = world("supervise", "nightly.yaml")
    assert done.code == 2, done
    assert said in done.err


# --- schedules -------------------------------------------------------------------------------------------------------


def test_what_is_scheduled_is_shown_in_its_zone_and_in_utc(world: World) -> None:
    flow(world, "30 2 * * *", ", timezone: Asia/Kolkata")
    world.write("plain.yaml", "steps: [{id: a, run: 'true'}]")
    done = world("schedules", "nightly.yaml", "plain.yaml", "--next", "2")
    assert done.code == 0
    heading, first, second = done.out.splitlines()
    assert heading.split() == ["WORKFLOW", "SCHEDULE", "NEXT", "UTC", "IN"]
    assert "30 2 * * * Asia/Kolkata" in first
    assert "02:30:00 IST" in first
    assert "21:00:00" in second
    assert "plain.yaml: the workflow plain has no schedule" in done.err
    [shown] = world("schedules", "nightly.yaml", "--next", "2", "--json").json()["schedules"]
    assert (shown["overlap"], shown["missed"], shown["timezone"]) == ("skip", "once", "Asia/Kolkata")
    moments = [datetime.fromisoformat(tick["at"]) for tick in shown["next"]]
    assert moments[1] - moments[0] == timedelta(days=1)
    assert [tick["execution_id"] for tick in shown["next"]] == [tick_id("nightly", moment) for moment in moments]
    assert all(datetime.fromisoformat(tick["local"]) == datetime.fromisoformat(tick["at"]) for tick in shown["next"])
    assert world("schedules", "not-there.yaml").code == 2
