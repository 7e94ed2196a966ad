"""The small examples do what their comments say, and every example is a valid workflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.program import EXAMPLES, Program
from tests.stores import everything_in

pytestmark = pytest.mark.usefixtures("store_url")

PLUGIN = EXAMPLES / "plugin" / "cerebelum_example_file.py"
WORKFLOWS = sorted(EXAMPLES.rglob("*.yaml"))
RUN_HERE = {"hello.yaml", "outputs.yaml", "python_steps.yaml"}
RUN_BY_OTHERS = {"deploy.yaml": "test_deploy.py", "release.yaml": "test_release.py", "site.yaml": "test_plugin.py"}


def test_every_workflow_is_run_by_a_test() -> None:
    assert {path.name for path in WORKFLOWS} == RUN_HERE | RUN_BY_OTHERS.keys()
    for workflow, test in RUN_BY_OTHERS.items():
        assert workflow in Path(__file__).with_name(test).read_text()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.relative_to(EXAMPLES).as_posix())
def test_every_workflow_is_valid(path: Path, cerebelum: Program) -> None:
    assert ": ok: " in cerebelum("validate", path, "--plugin", PLUGIN).out


def test_hello_greets_whom_it_is_told_to(cerebelum: Program) -> None:
    shown = cerebelum("run", EXAMPLES / "hello.yaml", "--input", "name=Ada").text

    assert "Hello, Ada!" in shown
    assert "Your name has 3 letters." in shown


def test_hello_needs_no_input(cerebelum: Program) -> None:
    assert "Hello, world!" in cerebelum("run", EXAMPLES / "hello.yaml").text


def test_outputs_are_handed_on_and_the_secret_is_not_seen(cerebelum: Program, tmp_path: Path) -> None:
    token = "s3cret-t0ken"
    shown = cerebelum(
        "run", EXAMPLES / "outputs.yaml", "--input", "environment=production", env={"API_TOKEN": token}
    ).text

    assert "pushing registry.example/app:build-1 (3 layers) to north with the token ***" in shown
    assert "- second line" in shown
    status = cerebelum.json("status", "last")
    assert status["output"] == {"image": "registry.example/app:build-1", "published": True}
    assert {s["id"]: s["status"] for s in status["steps"]}["warn"] == "skipped"
    assert token not in shown
    stored = everything_in(cerebelum.env["CEREBELUM_STORE"])
    assert b"registry.example" in stored
    assert token.encode() not in stored
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if token.encode() in path.read_bytes()] == []


def test_outputs_publishes_to_production_only(cerebelum: Program) -> None:
    cerebelum("run", EXAMPLES / "outputs.yaml", env={"API_TOKEN": "s3cret-t0ken"})

    assert cerebelum.json("status", "last")["output"]["published"] is False


def test_outputs_names_the_secret_it_lacks_before_anything_starts(cerebelum: Program) -> None:
    assert "API_TOKEN" in cerebelum("run", EXAMPLES / "outputs.yaml", code=2).err
    assert cerebelum.json("list")["total"] == 0


def test_python_steps_hand_typed_values_on(cerebelum: Program) -> None:
    shown = cerebelum("run", EXAMPLES / "python_steps.yaml", "--input", "text=to be or perhaps not").text

    assert "A report: the longest word is 'perhaps'" in shown
    status = cerebelum.json("status", "last")
    outputs = {step["id"]: step["output"] for step in status["steps"]}
    assert outputs["words"] == ["to", "be", "or", "perhaps", "not"]
    assert outputs["lookup"] == {"to": 2, "be": 2, "or": 2}
    assert status["output"] == {"title": "A report", "longest": "perhaps", "known": ["be", "or", "to"]}
