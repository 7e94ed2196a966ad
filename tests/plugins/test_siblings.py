"""Workflows of several folders in one process, with modules of the same names beside them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cerebelum import ExecutionClient
from tests.lifecycle.world import World

FLOW = """
import {name}helpers, {name}pack
from cerebelum import step, workflow
@step
def who():
    import {name}lazy
    from {name}pack.part import WHO
    return [{name}helpers.WHO, {name}lazy.WHO, {name}pack.WHO, WHO]
@workflow
def flow(wf):
    wf.timeline(wf.sleep(0.05) >> who)
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    path = [*sys.path]
    yield
    sys.path[:] = path
    for name in [*sys.modules]:
        if name.startswith("of_"):
            del sys.modules[name]


def make(folder: Path, who: str, name: str) -> Path:
    (folder / f"{name}pack").mkdir(parents=True)
    (folder / f"{name}helpers.py").write_text(f"WHO = 'helpers {who}'\n")
    (folder / f"{name}lazy.py").write_text(f"WHO = 'lazy {who}'\n")
    (folder / f"{name}pack" / "__init__.py").write_text("from .part import WHO\n")
    (folder / f"{name}pack" / "part.py").write_text(f"WHO = 'pack {who}'\n")
    (folder / "flow.py").write_text(FLOW.format(name=name))
    return folder / "flow.py"


def expected(who: str) -> list[str]:
    return [f"helpers {who}", f"lazy {who}", f"pack {who}", f"pack {who}"]


def test_each_workflow_has_the_modules_of_its_own_folder_every_time(tmp_path: Path) -> None:
    files = {who: make(tmp_path / who, who, "of_siblings_") for who in ("one", "two", "three")}
    with ExecutionClient(store="memory:siblings") as client:
        for who in ("one", "two", "one", "three", "two", "one"):
            name = client.start_execution.blocking(str(files[who]))
            client.wait.blocking(name, timeout=30)
            assert client.get_execution_status.blocking(name).step_outputs["who"] == expected(who)


def test_a_supervisor_drives_workflows_of_several_folders(world: World) -> None:
    for who in ("one", "two"):
        file = make(world.folder / who, who, "of_supervised_")
        assert world("run", str(file), "--id", who, "--park").code == 75
    time.sleep(0.1)
    assert world("supervise", "--once").code == 0
    for who in ("one", "two"):
        assert world.state(who).output == expected(who)


def test_an_import_may_be_called_by_any_of_its_parameters(tmp_path: Path) -> None:
    file = make(tmp_path / "named", "named", "of_named_")
    with ExecutionClient(store="memory:siblings") as client:
        client.wait.blocking(client.start_execution.blocking(str(file)), timeout=30)
    assert __import__("json", globals=globals(), fromlist=["decoder"], level=0).decoder.JSONDecoder
    assert __import__(name="os.path").path is os.path
    with pytest.raises(ModuleNotFoundError, match="of_nothing"):
        __import__("of_nothing", {"__file__": str(file)})


def test_what_somebody_else_has_imported_stays(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "of_program_helpers.py").write_text("WHO = 'the program'\n")
    sys.path.insert(0, str(tmp_path / "theirs"))
    import_module = __import__("importlib").import_module
    theirs = import_module("of_program_helpers")
    file = make(tmp_path / "ours", "ours", "of_program_")
    with ExecutionClient(store="memory:siblings") as client:
        name = client.start_execution.blocking(str(file))
        client.wait.blocking(name, timeout=30)
    assert sys.modules["of_program_helpers"] is theirs
    assert theirs.WHO == "the program"
