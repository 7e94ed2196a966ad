"""Workflows beside what else a program does: forks, workflows in workflows, other processes, other names."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cerebelum import Builder, UsageError, WorkflowError, step, workflow
from cerebelum.core.errors import DefinitionError, NotFound, OwnedElsewhere, Problem
from cerebelum.core.step_kind import Defines
from cerebelum.sdk.workflow import PythonWorkflow
from tests.lifecycle.world import World


@step
async def leaf() -> int:
    return 7


@workflow
def inner(wf: Builder) -> None:
    wf.timeline(leaf)


@step
async def middle_step() -> int:
    return int(inner.run(store="memory:").output) + 1


@workflow
def middle(wf: Builder) -> None:
    wf.timeline(middle_step)


@step
async def outer_step() -> int:
    return int(middle.run(store="memory:").output) + 1


@workflow
def outer(wf: Builder) -> None:
    wf.timeline(outer_step)


def test_an_async_step_may_run_a_workflow_of_async_steps_without_awaiting_it() -> None:
    assert outer.run(store="memory:").output == 9
    assert outer.run(store="memory:").output == 9


def test_a_forked_process_has_an_event_loop_of_its_own() -> None:
    assert inner.run(store="memory:").output == 7
    child = os.fork()
    if child == 0:
        os._exit(0 if inner.run(store="memory:").output == 7 else 1)
    end = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < end:
        time.sleep(0.02)
    if ended[0] == 0:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert ended == (child, 0)


@step
def broken() -> None:
    raise ValueError("for want of a nail")


@workflow
def fails(wf: Builder) -> None:
    wf.timeline(broken)


def test_a_failure_can_be_handed_to_another_process() -> None:
    with pytest.raises(WorkflowError) as raised:
        fails.run(store="memory:")
    there = pickle.loads(pickle.dumps(raised.value))
    assert (str(there), there.failed_step, there.exit_code) == (str(raised.value), "broken", 1)
    assert there.error == raised.value.error
    assert there.__notes__ == raised.value.__notes__
    with pytest.raises(UsageError, match="another process"):
        asyncio.run(there.resume())


@pytest.mark.parametrize(
    "error",
    [
        DefinitionError([Problem("flow.yaml:1:1", "steps[0]", "nothing there", "write something")]),
        NotFound("there is none", where="x", hint="look"),
        OwnedElsewhere("driven elsewhere"),
        UsageError("wrong", hint="right"),
    ],
)
def test_what_went_wrong_can_be_handed_to_another_process(error: UsageError) -> None:
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is type(error)
    assert (str(there), vars(there)) == (str(error), vars(error))


# --- names -----------------------------------------------------------------------------------------------------------

ALIAS = """
from cerebelum import step, workflow
@step
def one(): return 1
@step(isolated=True)
def two(one): return one + 1
def _deploy(wf): wf.timeline(one >> two)
deploy = workflow(name="deploy")(_deploy)
if __name__ == "__main__": deploy.cli()
"""
LIBRARY = """
from cerebelum import step, workflow
@step
def one(): return 1
@step(isolated=True)
def two(one): return one + 1
def make(given):
    @workflow(name=given)
    def inner(wf): wf.timeline(one >> two)
    return inner
"""
MADE = """
from library import make
alpha = make("alpha")
beta = make("beta")
if __name__ == "__main__": print(alpha.run().output)
"""


def test_a_workflow_is_known_by_the_name_that_its_file_gives_it(world: World) -> None:
    world.write("alias.py", ALIAS)
    for target in ("alias.py", "alias.py:deploy"):
        assert world("validate", target).code == 0
        assert "output: 2" in world("run", target).out
    assert world("graph", "alias.py:deploy").out.split() == ["one", "│", "two"]
    done = subprocess.run(
        [sys.executable, world.folder / "alias.py", "run"],
        env=world.environ,
        cwd=world.folder,
        capture_output=True,
        check=True,
    )
    assert b"output: 2" in done.stdout


def test_workflows_that_a_function_of_another_file_makes_are_those_of_the_file_that_has_them(world: World) -> None:
    world.write("library.py", LIBRARY)
    world.write("made.py", MADE)
    assert "output: 2" in world("run", "made.py:beta", "--id", "x").out
    assert Path(world("status", "x", "--json").json()["source"]["path"]).name == "made.py"
    done = subprocess.run(
        [sys.executable, world.folder / "made.py"], env=world.environ, cwd=world.folder, capture_output=True, check=True
    )
    assert done.stdout.strip() == b"2"


@pytest.mark.parametrize(
    ("options", "message"), [({"tags": ["a", 5]}, "the tag 5 is no text"), ({"store": 5}, "store=5 names no store")]
)
def test_options_of_a_run_that_cannot_be_are_refused(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        inner.run(**options)


def test_a_workflow_says_that_it_defines_one() -> None:
    assert isinstance(inner, Defines)
    assert isinstance(inner, PythonWorkflow)
    assert inner.function_name == "inner"
