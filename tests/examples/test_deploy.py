"""The deployment of examples/deploy/deploy.yaml: goes through, fails, goes back, and is resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.examples.program import EXAMPLES, ROOT, Program

pytestmark = pytest.mark.usefixtures("store_url")

DEPLOY = EXAMPLES / "deploy"


@pytest.fixture
def target(cerebelum: Program, tmp_path: Path) -> Iterator[Path]:
    """A server to deploy to; what runs there afterwards is stopped."""
    folder = tmp_path / "server"
    (folder / "shared").mkdir(parents=True)
    configure(folder, '{"greeting": "Hello"}')
    yield folder
    for announced in running(folder):
        cerebelum.execute(DEPLOY / "stop.sh", announced)


def configure(target: Path, text: str) -> None:
    (target / "shared" / "config.json").write_text(text)


def running(target: Path) -> list[Path]:
    """The announcements of the services that run."""
    return [path for path in (target / "run").glob("*") if path.suffix not in (".log", ".new")]


def says(target: Path, version: str) -> str:
    """How the service of that version greets."""
    port = int((target / "run" / version).read_text().split()[1])
    with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/hello/you", timeout=10) as answer:
        return str(json.load(answer)["text"])


def deploy(cerebelum: Program, target: Path, version: str, code: int = 0) -> str:
    file = DEPLOY / "deploy.yaml"
    inputs = ("--input", f"version={version}", "--input", f"target={target}")
    return cerebelum("run", file, "--id", version, *inputs, code=code).text


def test_the_demo_shows_a_failure_and_a_resume_that_repeats_nothing(cerebelum: Program, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    shown = cerebelum.execute(DEPLOY / "demo.sh", seconds=120, env={"TMPDIR": str(tmp_path / "tmp")}).text

    story = [
        "Version 1.0.0 is deployed",
        "=== 1.",
        '"version": "1.0.0"',
        "=== 2.",
        "/health answers 503: config.json is not JSON",
        "back to releases/1.0.0",
        "(exit code 1)",
        '"version": "1.0.0"',
        "$ cerebelum status greeter-1.1.0",
        "=== 3.",
        "$ cerebelum resume greeter-1.1.0 --plan",
        "KEEP",
        "$ cerebelum resume greeter-1.1.0",
        '"version": "1.1.0"',
        "$ cerebelum list",
        "$ cerebelum history greeter-1.1.0",
        "StepFailed",
        "ExecutionResumed",
        "Times each step was started:",
        "Everything went as described",
    ]
    at = 0
    for part in story:
        found = shown.find(part, at)
        assert found >= 0, f"{part!r} is missing, or out of order, in\n{shown}"
        at = found + len(part)
    assert list((tmp_path / "tmp").iterdir()) == [], "the demo left something behind"


def test_make_demo_runs_the_demo_as_it_is() -> None:
    assert "examples/deploy/demo.sh" in (ROOT / "Makefile").read_text()


def test_a_deployment_is_live_afterwards_and_recorded_once(cerebelum: Program, target: Path) -> None:
    deploy(cerebelum, target, "1.0.0")

    assert (target / "current").readlink() == Path("releases/1.0.0")
    assert says(target, "1.0.0") == "Hello, you!"
    assert [line.split()[0] for line in (target / "deployments.log").read_text().splitlines()] == ["1.0.0"]
    assert not list(target.glob("staging-*"))


def test_the_next_version_replaces_the_one_before(cerebelum: Program, target: Path) -> None:
    deploy(cerebelum, target, "1.0.0")
    deploy(cerebelum, target, "1.0.1")

    assert says(target, "1.0.1") == "Hello, you!"
    assert [path.name for path in running(target)] == ["1.0.1"]


def test_a_first_deployment_that_fails_leaves_nothing_live(cerebelum: Program, target: Path) -> None:
    configure(target, "{}")
    shown = deploy(cerebelum, target, "1.0.0", code=1)

    assert "config.json has no `greeting`" in shown
    assert not (target / "current").is_symlink()
    assert running(target) == []

    configure(target, '{"greeting": "Welcome"}')
    cerebelum("resume", "1.0.0")
    assert says(target, "1.0.0") == "Welcome, you!"


def test_what_is_live_is_not_deployed_over(cerebelum: Program, target: Path) -> None:
    deploy(cerebelum, target, "1.0.0")
    cerebelum(
        "run",
        DEPLOY / "deploy.yaml",
        "--input",
        "version=1.0.0",
        "--input",
        f"target={target}",
        "--id",
        "again",
        code=1,
    )

    assert {s["id"]: s["status"] for s in cerebelum.json("status", "again")["steps"]}["preflight"] == "failed"
    assert says(target, "1.0.0") == "Hello, you!"


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", "1.0.0; touch injected", "../../etc"])
def test_a_version_that_is_none_is_refused_before_anything_starts(
    version: str, cerebelum: Program, target: Path
) -> None:
    arguments = ("--input", f"version={version}", "--input", f"target={target}")
    assert "version" in cerebelum("run", DEPLOY / "deploy.yaml", *arguments, code=2).err
    assert not (target / "releases").exists()
