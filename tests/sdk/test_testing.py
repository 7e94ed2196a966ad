"""The pytest plugin, as somebody uses it who has cerebelum installed: in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FLOW = """
import asyncio
from cerebelum import approval, sleep, step, workflow

ran = []

@step
def build():
    ran.append("build")
    return 7

@step(retry={"attempts": 3, "delay": "1h"})
def flaky(context, build):
    ran.append("flaky")
    if context.attempt < 3:
        raise OSError("again")
    return build

@step
async def wait(flaky):
    ran.append("wait")
    await sleep("30d")
    answer = await approval("Go?", timeout="7d")
    return [flaky, dict(answer.response)]

@step
def ship(wait):
    ran.append("ship")
    return wait

@workflow
def deploy(wf):
    wf.timeline(build >> flaky >> wait >> wf.sleep("2d", name="soak") >> ship)

@step
def broken():
    raise OSError("no disk")

@step
def undo(context):
    ran.append((context.status, context.failed_step, context.error.message, context.attempt))

@workflow
def breaking(wf):
    wf.timeline(broken)
    wf.on_failure(undo)

YAML = '''
name: nightly
steps:
  - {id: a, sleep: 100d}
  - {id: go, approval: {message: Go?}}
  - {id: b, run: echo b, output: text}
'''
"""

TESTS = """
import asyncio
import pytest
from cerebelum import ExecutionClient, WorkflowError
from cerebelum.testing import Crashed
import flow

@pytest.fixture(autouse=True)
def fresh():
    flow.ran.clear()

def test_days_pass_at_once(run_workflow, cerebelum_store):
    result = run_workflow(flow.deploy, approvals={"wait": {"by": "night"}})
    assert result.output == [7, {"by": "night"}]
    assert flow.ran == ["build", "flaky", "flaky", "flaky", "wait", "wait", "wait", "ship"]
    assert (result.completed_at - result.started_at).days == 32
    with ExecutionClient() as client:
        assert client.get_execution_status.blocking(result.execution_id).status.name == "COMPLETED"

def test_nobody_answers(run_workflow):
    with pytest.raises(WorkflowError, match="nobody decided in time"):
        run_workflow(flow.deploy)

def test_an_answer_to_no_step_is_a_mistake(run_workflow):
    with pytest.raises(ValueError, match="answers wiat, which is no step"):
        run_workflow(flow.deploy, approvals={"wait": True, "wiat": True})

def test_somebody_says_no(run_workflow):
    with pytest.raises(WorkflowError, match="rejected by test"):
        run_workflow(flow.deploy, approvals={"wait": False})

def test_an_error_goes_on(run_workflow):
    with pytest.raises(WorkflowError) as failed:
        run_workflow(flow.deploy, approvals={"wait": False})
    with pytest.raises(WorkflowError, match="rejected by test"):
        asyncio.run(failed.value.resume())
    assert run_workflow.resume(failed.value.execution_id, approvals={"wait": True}).output == [7, {}]

@pytest.mark.parametrize(("event", "step", "again"), [
    ("StepCompleted", "build", ["flaky", "flaky", "wait", "wait", "wait", "ship"]),
    ("StepStarted", "build", ["build", "flaky", "flaky", "flaky", "wait", "wait", "wait", "ship"]),
    ("StepFailed", "flaky", ["flaky", "flaky", "wait", "wait", "wait", "ship"]),
    ("SleepStarted", "wait", ["wait", "wait", "ship"]),
    ("SleepCompleted", "soak", ["ship"]),
    ("ApprovalRequested", "wait", ["wait", "ship"]),
])
def test_a_crash(run_workflow, crash_after, event, step, again):
    crash_after(event, step=step)
    with pytest.raises(Crashed) as crashed:
        run_workflow(flow.deploy, approvals={"wait": True})
    flow.ran.clear()
    result = run_workflow.resume(crashed.value.execution_id)
    assert result.output == [7, {}]
    assert flow.ran == again

def test_a_handler_that_is_performed_again_is_told_the_same(run_workflow, crash_after):
    crash_after("StepStarted", step="undo")
    with pytest.raises(Crashed) as crashed:
        run_workflow(flow.breaking)
    with pytest.raises(WorkflowError):
        run_workflow.resume(crashed.value.execution_id)
    assert flow.ran == [("failed", "broken", "OSError: no disk", 2)]

def test_there_is_no_such_event(crash_after):
    with pytest.raises(ValueError, match="there is no event 'Completed'"):
        crash_after("Completed")

def test_a_file(run_workflow, tmp_path):
    (tmp_path / "nightly.yaml").write_text(flow.YAML)
    result = run_workflow(tmp_path / "nightly.yaml")
    assert result.status == "waiting_for_approval"
    assert run_workflow.resume(result.execution_id, approvals={"go": True}).results["b"] == "b"
    assert run_workflow(tmp_path / "nightly.yaml", approvals={"go": True}).results["b"] == "b"

def test_stores_are_apart(run_workflow, cerebelum_store):
    with ExecutionClient() as client:
        assert client.list_executions.blocking().total_count == 0
"""


def test_workflows_are_tested_in_virtual_time(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    (tmp_path / "test_flow.py").write_text(TESTS)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CEREBELUM"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_flow.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "15 passed" in done.stdout


def test_the_plugin_costs_nothing_where_it_is_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n"
        "def test_nothing():\n"
        "    assert 'cerebelum.testing' in sys.modules\n"
        "    assert not {'cerebelum.app', 'click', 'yaml', 'msgspec'} & sys.modules.keys()\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["cerebelum_store", "run_workflow", "crash_after"])
def test_the_fixtures_say_what_they_are_for(name: str) -> None:
    import cerebelum.testing

    assert getattr(cerebelum.testing, name).__doc__
