"""An execution that goes on on another machine: what is shown of that, and what is warned of.

A machine is what CEREBELUM_HOST says here; real ones are in tests/crash/test_two_hosts.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cerebelum.core.events import ExecutionResumed, ExecutionStarted
from tests.binary.program import program
from tests.cli.conftest import Done
from tests.cli.screens import windows
from tests.lifecycle.world import World, crash, wait_until

FLOW = """
    steps:
      - {id: build, run: echo made > made}
      - {id: nap, sleep: 1ms}
      - {id: push, run: test -e mended}
      - {id: end, run: 'true'}
    """
A, B = {"CEREBELUM_HOST": "agent-a"}, {"CEREBELUM_HOST": "agent-b"}
WARNING = "the completed step build ran on agent-a; files that it left there are not here"
COLUMN = '<th scope="col">Host</th>'


@pytest.fixture
def failed(world: World) -> World:
    """An execution `x` that failed in `push` on agent-a, and would not again."""
    assert world.run(FLOW, env=A).code == 1
    world.write("mended", "")
    return world


def hosts(world: World, name: str = "x") -> dict[str, str | None]:
    """By step, what `status --json` says."""
    return {step["id"]: step["host"] for step in world("status", name, "--json").json()["steps"]}


# --- going on elsewhere ----------------------------------------------------------------------------------------------


def test_a_resume_on_another_machine_warns_of_what_was_left_behind_and_goes_on(failed: World) -> None:
    done = failed("resume", "x", env=B)
    assert done.code == 0, done
    assert f"cerebelum: warning: {WARNING}" in done.err
    assert failed.last(ExecutionStarted).environment.host == "agent-a"
    assert failed.last(ExecutionResumed).environment.host == "agent-b"


def test_a_resume_on_the_same_machine_warns_of_nothing(failed: World) -> None:
    assert "ran on" not in failed("resume", "x", env=A).err


def test_a_portable_workflow_warns_of_nothing_and_may_become_portable_at_the_resume(failed: World) -> None:
    failed.flow("\n    portable: true" + FLOW)
    planned = failed("resume", "x", "--plan", "--json", env=B).json()
    assert (planned["changed"], planned["blocked"], planned["elsewhere"]) == (True, [], [])
    done = failed("resume", "x", env=B)
    assert (done.code, "ran on" in done.err) == (0, False), done
    assert failed.state().workflow.portable


def test_the_plan_tells_what_was_left_behind(failed: World) -> None:
    assert WARNING in failed("resume", "x", "--plan", env=B).out
    planned = failed("resume", "x", "--plan", "--json", env=B).json()
    assert planned["elsewhere"] == [{"host": "agent-a", "steps": ["build"]}]
    assert failed("resume", "x", "--plan", "--json", env=A).json()["elsewhere"] == []
    assert "ran on" not in failed("resume", "x", "--plan", "--from", "build", env=B).out


def test_a_fork_and_a_job_that_is_run_again_warn_as_well(failed: World) -> None:
    assert WARNING in failed("fork", "x", "--from", "push", "--id", "y", env=B).err
    assert WARNING in failed("run", "flow.yaml", "--id", "x", "--or-resume", env=B).err


def test_supervise_tells_what_was_left_behind_goes_on_and_records_where(world: World) -> None:
    text = """
        steps:
          - {id: build, run: 'true'}
          - {id: work, run: 'test -e mended || { echo up >> up; exec sleep 600; }'}
        """
    runner = world.begin(text, env=A)
    world.wait_for_line("up")
    crash(runner)
    world.write("mended", "")
    assert f"x: resurrected; {WARNING}" in world("supervise", "--once", env=B).err
    resumed = world.last(ExecutionResumed)
    assert resumed.reason == "resurrected"
    assert (resumed.environment.host, resumed.environment.cwd) == ("agent-b", str(world.folder))
    assert hosts(world) == {"build": "agent-a", "work": "agent-b"}
    assert re.search("ExecutionResumed  by .*@agent-b", world("history", "x").out)


def test_what_is_woken_elsewhere_is_told_as_well_and_a_cancel_is_not(world: World) -> None:
    world.park("steps: [{id: build, run: 'true'}, {id: nap, sleep: 300ms}, {id: a, run: 'true'}]", env=A)
    assert f"x: woken; {WARNING}" in world("supervise", "--once", env=B).err
    asks = "steps: [{id: build, run: 'true'}, {id: ask, approval: {message: ok}}]"
    assert world.run(asks, "--park", name="y", env=A).code == 75
    cancelled = world("cancel", "y", env=B)
    assert (cancelled.code, "ran on" in cancelled.err) == (0, False)
    assert world.status("y") == "cancelled"


# --- looking ---------------------------------------------------------------------------------------------------------


def test_status_report_and_history_say_where_each_step_ran_once_there_were_two_machines(failed: World) -> None:
    assert failed("resume", "x", env=B).code == 0
    lines = failed("status", "x").out.splitlines()
    shown = [re.search(r"✓ (\w+) .*  on (\S+)", line) for line in lines if line.startswith("  ✓")]
    expected = {"build": "agent-a", "nap": "agent-a", "push": "agent-b", "end": "agent-b"}
    assert {found[1]: found[2] for found in shown if found} == expected
    assert re.search("^ran on +agent-b$", failed("status", "x", "push").out, re.MULTILINE)
    assert hosts(failed) == expected
    page = failed("report", "x", "-o", "-").out
    assert COLUMN in page
    assert page.count('<td class="fact"><bdi>agent-b</bdi></td>') == 2
    history = [line for line in failed("history", "x").out.splitlines() if "StepStarted" in line]
    assert [re.findall(r"  on (\S+)", line) for line in history] == [["agent-a"]] * 3 + [["agent-b"]] * 2


def test_of_one_machine_alone_nothing_is_told_of_each_step(failed: World) -> None:
    assert "  on agent-a" not in failed("status", "x").out
    assert "ran on" not in failed("status", "x", "push").out
    assert "  on agent-a" not in failed("history", "x").out
    assert COLUMN not in failed("report", "x", "-o", "-").out
    assert hosts(failed) == {"build": "agent-a", "nap": "agent-a", "push": "agent-a", "end": None}


def test_a_shell_says_that_the_step_ran_on_another_machine(failed: World) -> None:
    with windows(failed) as opens:
        window = opens("shell", "x", "--step", "push", controls=True, columns=200, SHELL="/bin/sh", **B)
        window.until(lambda lines: any("agent-b; it ran on agent-a" in line for line in lines))


# --- the folder ------------------------------------------------------------------------------------------------------


def performed(folder: Path, world: World, *words: str, **environ: str) -> Done:
    """The program in another folder than the world's."""
    env = {**world.environ, **environ}
    done = subprocess.run([*program(), *words], cwd=folder, env=env, capture_output=True, timeout=60, check=False)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def moved(world: World) -> Path:
    """The folder on agent-b, while that of agent-a, in which `x` failed, is not there."""
    text = "portable: true\nsteps: [{id: a, run: 'true'}, {id: b, run: 'test -e mended; pwd >> done'}]"
    before, after = world.folder / "a", world.folder / "b"
    for folder in (before, after):
        folder.mkdir()
        (folder / "flow.yaml").write_text(text)
    assert performed(before, world, "run", "flow.yaml", "--id", "x", **A).code == 1
    shutil.rmtree(before)
    (after / "mended").touch()
    return after


def test_a_folder_that_is_on_the_other_machine_is_said_to_be_there(world: World, moved: Path) -> None:
    refused = performed(moved, world, "resume", "x", "--recorded", **B)
    assert refused.code == 2
    assert f"the folder it was in, {world.folder / 'a'} on agent-a, is not there on agent-b" in refused.err
    assert "resume x --working-dir DIR" in refused.err
    here = performed(moved, world, "resume", "x", "--recorded", **A)
    assert f"the folder it was started in, {world.folder / 'a'}, is not there" in here.err
    assert performed(moved, world, "resume", "x", "--recorded", "--working-dir", ".", **B).code == 0
    assert (moved / "done").read_text() == f"{moved}\n"


def test_a_job_that_is_run_again_elsewhere_goes_on_in_the_folder_it_is_run_in(world: World, moved: Path) -> None:
    done = performed(moved, world, "run", "flow.yaml", "--id", "x", "--or-resume", **B)
    assert done.code == 0, done
    assert f"going on in {moved}" in done.err
    assert (moved / "done").read_text() == f"{moved}\n"
    assert world.state().environment.cwd == str(moved)


def test_supervise_leaves_alone_what_has_its_folder_elsewhere_and_says_where(world: World) -> None:
    folder = world.folder / "a"
    folder.mkdir()
    (folder / "flow.yaml").write_text("steps: [{id: nap, sleep: 1s}, {id: b, run: 'true'}]")
    assert performed(folder, world, "run", "flow.yaml", "--id", "x", "--park", **A).code == 75
    shutil.rmtree(folder)
    due = world.row().summary.due_at
    assert due is not None
    wait_until(lambda: datetime.now(UTC) >= due, "its time")
    told = world("supervise", "--once", env=B)
    assert f"x: left alone: x: the folder it was in, {folder} on agent-a, is not there on agent-b" in told.err
    assert world.status() == "sleeping"


# --- names -----------------------------------------------------------------------------------------------------------


def test_a_machine_is_called_by_its_node_name_unless_it_is_told_otherwise(world: World) -> None:
    assert world.run("steps: [{id: a, run: 'true'}]").code == 0
    assert world.state().steps["a"].host == os.uname().nodename
    assert world.run("steps: [{id: a, approval: {message: ok}}]", "--park", name="y", env=B).code == 75
    assert world("approve", "y", env=A).code == 0
    assert "@agent-a" in world("history", "y").out


def test_a_process_of_this_machine_is_known_to_be_dead_by_whatever_name_it_was_registered(world: World) -> None:
    text = "steps: [{id: a, run: 'echo up >> up; exec sleep 600'}]"
    runner = world.begin(text, env={"CEREBELUM_HOST": " é "})
    world.wait_for_line("up")
    registered = world.row().runner
    assert registered is not None
    assert registered.host == "é"
    crash(runner)
    assert world.status() == "paused"
