"""The plugin of examples/plugin, used by its site.yaml: as a single file, and as an installed distribution."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.binary.program import BINARY, program
from tests.examples.program import EXAMPLES, Program

FOLDER = EXAMPLES / "plugin"
FILE = FOLDER / "cerebelum_example_file.py"


@dataclass(frozen=True)
class Loaded:
    """One way of having the plugin."""

    arguments: tuple[str, ...]
    origin: str


@pytest.fixture(params=["file", "variable", "installed"])
def loaded(request: pytest.FixtureRequest, cerebelum: Program, tmp_path: Path) -> Loaded:
    if request.param == "file":
        return Loaded(("--plugin", str(FILE)), "file")
    if request.param == "variable":
        cerebelum.env["CEREBELUM_PLUGINS"] = str(FILE)
        return Loaded((), "file")
    site = tmp_path / "site-packages"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    cerebelum.execute(*pip, "--target", site, FOLDER, seconds=180)
    cerebelum.env["CEREBELUM_PLUGIN_PATH" if BINARY else "PYTHONPATH"] = str(site)
    return Loaded((), "installed")


def test_the_plugin_writes_the_files_of_its_workflow(cerebelum: Program, loaded: Loaded) -> None:
    cerebelum("run", FOLDER / "site.yaml", "--input", "title=Mine", "--input", "port=81", *loaded.arguments)

    settings = cerebelum.folder / "site" / "settings.ini"
    assert settings.read_text() == "[server]\nport = 81\n"
    assert settings.stat().st_mode & 0o777 == 0o600
    assert "<title>Mine</title>" in (cerebelum.folder / "site" / "index.html").read_text()
    output = {"page": str(cerebelum.folder / "site" / "index.html"), "changed": True}
    assert cerebelum.json("status", "last")["output"] == output


def test_a_file_that_is_right_is_left_alone(cerebelum: Program) -> None:
    cerebelum("run", FOLDER / "site.yaml", "--plugin", FILE)
    before = (cerebelum.folder / "site" / "index.html").stat()
    cerebelum("run", FOLDER / "site.yaml", "--plugin", FILE)

    assert cerebelum.json("status", "last")["output"]["changed"] is False
    assert (cerebelum.folder / "site" / "index.html").stat() == before


def test_plugins_tells_where_it_came_from(cerebelum: Program, loaded: Loaded) -> None:
    found = cerebelum.json("plugins", *loaded.arguments)["plugins"]

    theirs = [p for p in found if p["origin"] != "built-in"]
    assert [(p["origin"], [e["key"] for e in p["executors"]], p["problem"]) for p in theirs] == [
        (loaded.origin, ["file"], None)
    ]


def test_its_body_is_checked_like_a_built_in_one(cerebelum: Program) -> None:
    workflow = cerebelum.folder / "typo.yaml"
    workflow.write_text("steps:\n  - id: a\n    file: {path: x, contnt: y, mode: '99'}\n")
    found = cerebelum("validate", workflow, "--plugin", FILE, code=2).text

    assert "typo.yaml:3:21: steps[0].file: unknown key `contnt`; did you mean `content`?" in found
    assert "typo.yaml:3:38: steps[0].file.mode: " in found


def test_the_json_schema_knows_it(cerebelum: Program) -> None:
    assert '"mode"' in cerebelum("schema", "--plugin", FILE).out
    assert '"mode"' not in cerebelum("schema").out


def test_without_the_plugin_its_key_is_unknown(cerebelum: Program) -> None:
    assert "unknown key `file`" in cerebelum("run", FOLDER / "site.yaml", code=2).text


def test_a_file_that_cannot_be_written_fails_the_step_with_a_reason(cerebelum: Program) -> None:
    (cerebelum.folder / "site").write_text("in the way")
    shown = cerebelum("run", FOLDER / "site.yaml", "--plugin", FILE, code=1).text

    assert "site/settings.ini: cannot write the file: " in shown
    assert "Traceback" not in shown


WAITING = FOLDER / "cerebelum_example_wait_for.py"


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is bound, so that nobody else gets it, and that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def waiting(cerebelum: Program, port: int, more: str = "") -> Path:
    workflow = cerebelum.folder / "waiting.yaml"
    workflow.write_text(f"name: waiting\nsteps:\n  - id: up\n    wait_for: {{port: {port}, every: 20ms}}\n{more}")
    return workflow


def test_an_executor_that_waits_for_a_port_goes_on_when_it_is_there(cerebelum: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        cerebelum("run", waiting(cerebelum, server.getsockname()[1]), "--plugin", WAITING)
    assert cerebelum.json("status", "last")["steps"][0]["output"]["attempts"] == 1


def test_an_executor_that_waits_for_a_port_ends_with_its_time_limit(cerebelum: Program, closed_port: int) -> None:
    workflow = waiting(cerebelum, closed_port, "    timeout: 100ms\n")
    shown = cerebelum("run", workflow, "--plugin", WAITING, code=1).text
    assert "took longer than 0.1 s" in shown
    assert "left behind" not in shown
    assert cerebelum.json("status", "last")["steps"][0]["error"]["kind"] == "timeout"


def test_an_executor_that_waits_for_a_port_ends_when_told_to(cerebelum: Program, closed_port: int) -> None:
    command = [*program(), "run", str(waiting(cerebelum, closed_port)), "--plugin", str(WAITING)]
    with subprocess.Popen(command, cwd=cerebelum.folder, env=cerebelum.env, stdout=subprocess.PIPE) as runner:
        assert runner.stdout is not None
        while b"refused" not in (line := runner.stdout.readline()):
            assert line, "it ended by itself"
        runner.send_signal(signal.SIGINT)
        runner.stdout.read()
    assert runner.returncode == 130
    assert cerebelum.json("status", "last")["steps"][0]["interrupted"] == "operator"


def test_a_duration_of_a_plugin_is_checked_like_a_built_in_one(cerebelum: Program) -> None:
    workflow = waiting(cerebelum, 1)
    workflow.write_text(workflow.read_text().replace("20ms", "soon"))
    said = cerebelum("validate", workflow, "--plugin", WAITING, code=2).text
    forms = "write it like 30s, 10m, 1h30m, 2d or 500ms; a plain number is seconds"
    assert f"waiting.yaml:4:32: steps[0].wait_for.every: `soon`: this is not a duration; {forms}" in said
    assert '"pattern": "^(?:' in cerebelum("schema", "--plugin", WAITING).out
    workflow.write_text(workflow.read_text().replace("soon", "\"${{ lower('LATER') }}\""))
    said = cerebelum("run", workflow, "--plugin", WAITING, code=1).text
    assert "wait_for.every: `later`: this is not a duration" in said
