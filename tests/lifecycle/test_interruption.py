"""A runner dies: it shows at once, nothing is left of its steps when they run again, and each does as its file says."""

import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cerebelum.core.events import StepCompleted, StepFailed, StepInterrupted
from tests.lifecycle.world import World, crash, finish, wait_until

CUT = """
    steps:
      - {id: a, run: echo a >> done}
      - id: work
        on_interrupt: HOW
        run: |
          echo work >> done
          test -e mended || { echo up >> up; sleep 600; }
          echo n=ran >> "$CEREBELUM_OUTPUT"
      - {id: b, run: echo b >> done}
    """
VERIFY = "verify\n        verify: 'echo verified >> done; echo n=verified >> \"$CEREBELUM_OUTPUT\"; test -e landed'"


def cut(world: World, how: str, number: signal.Signals = signal.SIGKILL) -> None:
    """Have an execution cut off in the middle of `work`, which will go through the next time."""
    runner = world.begin(CUT.replace("HOW", how))
    world.wait_for_line("up")
    runner.send_signal(number)
    finish(runner)
    world.write("mended", "")


def test_nobody_ever_sees_a_zombie(world: World) -> None:
    cut(world, "rerun")
    shown = world("status", "x", "--json").json()
    assert (shown["status"], shown["reason"]) == ("paused", "interrupted")
    text = world("status", "x").out
    assert "interrupted" in text
    assert "resume x" in text
    rows = world("list", "--json").json()["executions"]
    assert [(r["status"], r["reason"]) for r in rows] == [("paused", "interrupted")]
    assert "running" not in world("list").out
    assert world("list", "--status", "running", "--json").json()["executions"] == []
    assert len(world("list", "--status", "paused", "--json").json()["executions"]) == 1


def test_folders_of_killed_runners_go_with_the_next_run_and_those_of_living_ones_stay(world: World) -> None:
    def folders() -> set[Path]:
        return set(world.folder.glob("cerebelum-run-*"))

    cut(world, "rerun")
    [left] = folders()
    (world.folder / "mended").unlink()
    living = world.begin(CUT.replace("HOW", "rerun"), name="y")
    world.wait_for_line("up", 2)
    [used] = folders() - {left}
    for folder in (left, used):
        os.utime(folder, (0, 0))
    world.write("mended", "")
    assert world("resume", "x").code == 0
    assert folders() == {used}
    living.kill()
    finish(living)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_step_is_run_again_by_default(world: World, number: signal.Signals) -> None:
    cut(world, "rerun", number)
    assert world("resume", "x").code == 0
    assert world.lines("done") == ["a", "work", "work", "b"]
    assert world.last(StepInterrupted).why == ("runner_died" if number == signal.SIGKILL else "stopped")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("landed", [True, False])
def test_verify_tells_whether_the_interrupted_step_took_effect(
    world: World, number: signal.Signals, landed: bool
) -> None:
    cut(world, VERIFY, number)
    if landed:
        world.write("landed", "")
    assert world("resume", "x").code == 0
    completed = [e for e in world.events() if isinstance(e, StepCompleted) and e.step == "work"]
    assert [c.verified for c in completed] == [landed]
    assert completed[0].output == {"n": "verified" if landed else "ran"}
    assert world.lines("done") == ["a", "work", "verified", *([] if landed else ["work"]), "b"]
    assert ("verified" in world("history", "x").out) == landed


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_on_interrupt_fail_fails_the_step_and_a_second_resume_runs_it(world: World, number: signal.Signals) -> None:
    cut(world, "fail", number)
    assert world("resume", "x").code == 1
    assert world.last(StepFailed).error.kind == "interrupted"
    assert world.lines("done") == ["a", "work"]
    assert world("resume", "x").code == 0
    assert world.lines("done") == ["a", "work", "work", "b"]


@pytest.mark.parametrize("how", ["fail", VERIFY])
def test_after_a_ctrl_c_the_step_is_simply_run_again(world: World, how: str) -> None:
    cut(world, how, signal.SIGINT)
    assert world("resume", "x").code == 0
    assert world.lines("done") == ["a", "work", "work", "b"]


def test_what_is_left_of_a_step_is_gone_before_it_runs_again_but_a_service_stays(world: World) -> None:
    sleep = f"sleep 7357{os.getpid()}"  # the same test with another store may run beside this one
    text = f"""
        steps:
          - {{id: serve, run: setsid sleep 600 > /dev/null 2>&1 &}}
          - id: work
            run: |
              test -e mended && {{ pgrep -f '^{sleep}' >> seen || true; exit 0; }}
              setsid {sleep} & (nohup setsid {sleep} > /dev/null 2>&1 &) &
              trap '' TERM HUP; echo up >> up; {sleep}; {sleep}
        """
    runner = world.begin(text)
    world.wait_for_line("up")
    wait_until(lambda: len(world.left("CEREBELUM_STEP=work")) >= 4, "the processes of the step")
    crash(runner)
    old = world.left("CEREBELUM_STEP=work")
    assert len(old) >= 4
    world.write("mended", "")
    assert world("resume", "x").code == 0
    assert not set(old) & set(world.left())
    assert world.lines("seen") == []
    assert len(world.left("CEREBELUM_STEP=serve")) == 1


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"boot_id": "another-boot"}, "dead"),
        ({"boot_id": "another-boot", "host": "elsewhere"}, "unknown"),
        ({"boot_id": "another-boot", "lock": "/nonexistent/x.lock"}, "unknown"),
        ({}, "dead"),
    ],
)
def test_a_runner_from_before_a_reboot_is_dead_and_one_on_another_machine_unknown(
    world: World, change: dict[str, Any], verdict: str
) -> None:
    from cerebelum.store.liveness import judge

    cut(world, "rerun")
    runner = world.row().runner
    assert runner is not None
    assert judge(msgspec.structs.replace(runner, **change)) == verdict


def test_after_a_reboot_the_execution_is_paused_and_resumes_at_once(world: World) -> None:
    cut(world, "rerun")
    runner = world.row().runner
    assert runner is not None
    world.client.store.beat(msgspec.structs.replace(runner, boot_id="another-boot", beat=runner.beat + 1))
    assert world.status() == "paused"
    assert world("resume", "x").code == 0
    assert world.lines("done") == ["a", "work", "work", "b"]
