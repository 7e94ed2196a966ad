"""The backend of examples/backend: passes the suite, and a workflow runs, is killed and is resumed on it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from tests.binary.program import BINARY, program
from tests.examples.program import EXAMPLES, Program
from tests.lifecycle.world import wait_until

FOLDER = EXAMPLES / "backend"
FLOW = """
name: flow
steps:
  - {id: a, run: echo a >> effects}
  - {id: b, run: 'echo b >> effects; [ -e go ] || { echo waiting; exec sleep 60; }'}
  - {id: c, run: echo c >> effects}
"""


@pytest.fixture
def installed(cerebelum: Program, tmp_path: Path) -> Program:
    """The program with the backend beside it, and with its store."""
    site = tmp_path / "site-packages"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    cerebelum.execute(*pip, "--target", site, FOLDER, seconds=180)
    if BINARY:
        # It has an interpreter of its own, which doesn't see what this one has.
        (site / "lmdb").symlink_to(Path(lmdb.__file__).parent)
    cerebelum.env["CEREBELUM_PLUGIN_PATH" if BINARY else "PYTHONPATH"] = str(site)
    cerebelum.env["CEREBELUM_STORE"] = f"lmdb:///{tmp_path}/kept"
    return cerebelum


def test_it_passes_the_conformance_suite_without_a_skip(cerebelum: Program) -> None:
    quietly = ("-q", "-p", "no:cacheprovider", "--rootdir", FOLDER, "--import-mode=importlib")
    env = {"PYTHONPATH": str(FOLDER)}
    done = cerebelum.execute(sys.executable, "-m", "pytest", *quietly, FOLDER / "tests", seconds=300, env=env)
    found = re.search(r"^(\d+) passed in", done.out, re.MULTILINE)
    assert found is not None, done.text
    assert int(found[1]) > 150
    assert "skipped" not in done.out


def test_it_is_told_as_a_plugin_with_a_store(installed: Program) -> None:
    theirs = [p for p in installed.json("plugins")["plugins"] if p["origin"] != "built-in"]
    assert [(p["origin"], p["backends"], p["problem"]) for p in theirs] == [("installed", ["lmdb"], None)]


def test_a_workflow_that_is_killed_is_resumed_on_it(installed: Program) -> None:
    (installed.folder / "flow.yaml").write_text(FLOW)
    command = [*program(), "run", "flow.yaml", "--id", "flow-1"]
    with subprocess.Popen(command, cwd=installed.folder, env=installed.env, stdout=subprocess.PIPE) as runner:
        assert runner.stdout is not None
        while b"waiting" not in (line := runner.stdout.readline()):
            assert line, "it ended by itself"
        wait_until(lambda: "waiting" in installed("logs", "flow-1", "b").out, "output in the store")
        os.kill(runner.pid, signal.SIGKILL)
    assert installed.json("status", "flow-1")["status"] == "paused"
    assert "flow-1" in installed("list", "--status", "paused").out
    (installed.folder / "go").touch()
    installed("resume", "flow-1")
    assert (installed.folder / "effects").read_text().split() == ["a", "b", "b", "c"]
    assert installed.json("status", "flow-1")["status"] == "completed"
    assert "waiting" in installed("logs", "flow-1", "b", "--attempt", "1").out
    installed("store", "verify")
    assert "StepInterrupted" in installed("history", "flow-1").out


def test_doctor_describes_it(installed: Program) -> None:
    (installed.folder / "flow.yaml").write_text("name: one\nsteps: [{id: a, run: echo a}]\n")
    installed("run", "flow.yaml")
    assert "lmdb" in installed("doctor").out.lower()


def test_a_url_that_names_no_folder_is_refused(installed: Program) -> None:
    said = installed("list", "--store", "lmdb://x", code=2).err
    assert "lmdb:///relative/folder" in said
