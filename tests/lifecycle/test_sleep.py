"""A sleep lasts as long as it says, over crashes and clock changes, and costs no process when it is parked."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from cerebelum.core.events import SleepCompleted, SleepStarted
from cerebelum.engine.session import Result
from cerebelum.engine.settings import Settings
from cerebelum.host.clock import SystemClock
from cerebelum.plugins import shell, sleep
from cerebelum.sdk.verbs import Verbs
from tests.lifecycle.world import PATIENCE, World, crash, wait_until
from tests.stores import open_store

NAP = """
    name: nap
    inputs: {pause: {type: string, default: 300ms}}
    steps:
      - {id: a, run: echo a >> done}
      - {id: nap, sleep: '${{ inputs.pause }}'}
      - {id: b, run: echo b >> done}
    """


def slept(world: World, name: str = "x") -> float:
    """Seconds between the beginning and the end of the sleep, by the log."""
    began = world.last(SleepStarted, name)
    return float((world.last(SleepCompleted, name).at - began.at).total_seconds())


@pytest.mark.parametrize("pause", ["300ms", "0.3"])
def test_a_foreground_run_waits_and_says_so(world: World, pause: str) -> None:
    done = world.run(NAP, "--input", f"pause={pause}")
    assert done.code == 0, done.err
    assert "nap" in done.out
    assert "sleep" in done.out
    assert 0.29 <= slept(world) < 5
    assert world.lines("done") == ["a", "b"]


@pytest.mark.parametrize("offset", [0, 5])
def test_a_sleep_until_a_moment_is_due_then(world: World, offset: int) -> None:
    moment = (datetime.now(UTC) + timedelta(hours=1)).astimezone(timezone(timedelta(hours=offset)))
    assert world.run(f"steps: [{{id: nap, sleep: {{until: '{moment.isoformat()}'}}}}]", "--park").code == 75
    assert world.last(SleepStarted).until == moment
    assert world.row().summary.due_at == moment


def test_a_moment_in_the_past_is_no_wait_at_all(world: World) -> None:
    text = "inputs: {when: {type: string}}\nsteps: [{id: nap, sleep: {until: '${{ inputs.when }}'}}]"
    assert world.run(text, "--input", "when=2020-01-01T00:00:00Z").code == 0
    assert world.last(SleepStarted).seconds == 0


@pytest.mark.parametrize(
    "body",
    ["soon", "-3s", "true", "[1]", "{unti: 5}", "{until: tomorrow}", "{until: 2020-13-01T00:00:00Z}", "{}", "4000d"],
)
def test_what_is_no_time_is_an_error_of_the_file_with_its_position(world: World, body: str) -> None:
    done = world.run(f"steps:\n  - id: nap\n    sleep: {body}\n")
    assert done.code == 2, done
    assert "flow.yaml:" in done.err
    assert "sleep" in done.err
    assert "Traceback" not in done.err


def test_an_expression_that_gives_no_time_fails_the_step(world: World) -> None:
    done = world.run(NAP, "--input", "pause=soon")
    assert done.code == 1
    assert "soon" in done.err
    assert world.lines("done") == ["a"]


@pytest.mark.parametrize("again", ["resume", "supervise"])
def test_after_a_crash_only_what_is_left_of_the_sleep_is_waited_for(world: World, again: str) -> None:
    runner = world.begin(NAP, "--input", "pause=3s")
    world.wait_for_event("SleepStarted nap")
    crash(runner)
    assert world.status() == "sleeping"
    if again == "supervise":
        assert world("supervise", "--once").code == 0
        assert world.status() == "sleeping"
        wait_until(lambda: datetime.now(UTC) >= world.last(SleepStarted).until)
        assert world("supervise", "--once").code == 0
    else:
        assert world("resume", "x").code == 0
    assert world.said().count("SleepStarted nap") == 1
    assert world.said().count("SleepCompleted nap") == 1
    assert 3 <= slept(world) < 3 + PATIENCE / 10
    assert world.lines("done") == ["a", "b"]


def test_a_parked_sleep_exits_75_leaves_no_process_and_goes_on_when_it_is_due(world: World) -> None:
    done = world.run(NAP, "--park", "--input", "pause=1s")
    assert done.code == 75, done.err
    assert "parked" in done.err
    assert world.left() == []
    assert world.row().ownership.owner is None
    assert world.status() == "sleeping"
    wait_until(lambda: datetime.now(UTC) >= world.last(SleepStarted).until)
    assert world("supervise", "--once").code == 0
    assert world.status() == "completed"
    assert world.lines("done") == ["a", "b"]
    assert slept(world) >= 1


def test_only_a_wait_longer_than_park_after_parks(world: World) -> None:
    assert world.run(NAP, "--park-after", "10m", name="short").code == 0
    assert world.run(NAP, "--park-after", "1s", "--input", "pause=1h", name="long").code == 75
    assert world("resume", "long", "--park").code == 75
    assert world.said("long").count("SleepStarted nap") == 1


class Shifted(SystemClock):
    """The machine's clocks, the wall's moved by `by` seconds."""

    by = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.by)


class Held(SystemClock):
    """The machine's clocks, and a machine too busy to look at both at once: the wall's is read `held` seconds late."""

    held = 0.2

    def now(self) -> datetime:
        time.sleep(self.held)
        return super().now()


def nap_with(world: World, clock: SystemClock, listen: Callable[[str, Any], None]) -> Result:
    """Run, by this clock, a step that sleeps for 0.8 seconds."""
    executors = {e.key: e for e in (*shell.cerebelum_executors(), *sleep.cerebelum_executors())}
    client = Verbs(lambda: open_store(world.url), lambda: executors, environ=world.environ, clock=clock)
    path = world.flow("steps: [{id: nap, sleep: 800ms}, {id: b, run: 'true'}]")
    box: list[Result] = []
    thread = threading.Thread(target=lambda: box.append(client.run(path, {}, settings=Settings(listeners=(listen,)))))
    thread.start()
    thread.join(30)
    client.close()
    return box[0]


@pytest.mark.parametrize("by", [-86400.0, 86400.0, -1.0, 1.0])
def test_a_wall_clock_that_is_set_during_the_wait_neither_shortens_nor_lengthens_it(world: World, by: float) -> None:
    clock = Shifted()
    real = SystemClock()
    moments: dict[str, float] = {}

    def listen(execution_id: str, event: Any) -> None:
        moments.setdefault(type(event).__name__, real.elapsed())
        if isinstance(event, SleepStarted):
            clock.by = by

    ended = nap_with(world, clock, listen)
    assert ended.exit_code == 0
    # A listener hears of the beginning a little later than the log says it was.
    assert 0.5 <= moments["SleepCompleted"] - moments["SleepStarted"] < 5
    assert world.said(ended.execution_id).count("SleepCompleted nap") == 1


def test_a_runner_that_is_held_up_between_two_looks_at_its_clocks_does_not_sleep_less(world: World) -> None:
    clock = Held()

    def listen(execution_id: str, event: Any) -> None:
        if isinstance(event, SleepStarted):
            clock.held = 0.0

    ended = nap_with(world, clock, listen)
    assert ended.exit_code == 0
    assert 0.8 <= slept(world, ended.execution_id) < 5


def test_a_clock_that_was_set_back_between_two_processes_costs_at_most_the_original_length(world: World) -> None:
    """What is left by the wall clock is capped at the length of the sleep."""
    from cerebelum.host.clock import remaining

    now = datetime.now(UTC)
    assert remaining(now + timedelta(days=3), 60.0, now) == 60.0
    assert remaining(now - timedelta(days=3), 60.0, now) == 0.0
