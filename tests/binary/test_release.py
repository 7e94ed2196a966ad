"""The workflow that builds releases: well-formed, and asking for nothing that is not there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / ".github" / "workflows" / "release.yml").read_text()
JOBS: dict[str, Any] = yaml.safe_load(TEXT)["jobs"]
STEPS = [(name, step) for name, job in JOBS.items() for step in job["steps"]]


def test_every_make_target_exists() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    platforms = JOBS["binary"]["strategy"]["matrix"]["include"]
    lines = "\n".join(step.get("run", "") for _, step in STEPS)
    called = re.findall(r"^make (?:PYTHON=\S+ )?([a-z][a-z-]*)", lines, re.MULTILINE)
    wanted = {*(target for platform in platforms for target in platform["target"].split()), *called}
    assert {"smoke", "smoke-service", "binary"} <= wanted <= set(targets)


def test_a_release_lacks_only_what_may_fail() -> None:
    platforms = JOBS["binary"]["strategy"]["matrix"]["include"]
    (check,) = (step["run"] for step in JOBS["publish"]["steps"] if step.get("name") == "What has to be there")
    required = {
        f"files/{file}-{platform['name']}"
        for platform in platforms
        for file, target in (("cerebelum", ""), ("cerebelum-service", "smoke-service"))
        if target in platform["target"] and not platform.get("may-fail")
    }
    assert set(check.split()) == {"ls", *required}
    assert "!cancelled()" in JOBS["publish"]["if"]


def test_actions_are_named_by_commit() -> None:
    used = [step["uses"] for _, step in STEPS if "uses" in step]
    assert used
    assert [name for name in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)] == []


def test_only_publishing_may_write() -> None:
    assert yaml.safe_load(TEXT)["permissions"] == {}
    for name, job in JOBS.items():
        writes = [scope for scope, right in job["permissions"].items() if right == "write"]
        assert bool(writes) == (name == "publish")


@pytest.mark.parametrize("path", ["build/install.sh", "examples/hello.yaml"])
def test_files_that_it_names_exist(path: str) -> None:
    assert path in TEXT
    assert (ROOT / path).is_file()


def test_it_says_what_was_never_run() -> None:
    head = TEXT.partition("name:")[0]
    for platform in ("macOS", "Windows", "arm64"):
        assert platform in head
