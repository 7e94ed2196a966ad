"""Workflows in files: run, resumed, validated and drawn by the command line like those in YAML."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Home

FLOW = """\
import sys, time
from pathlib import Path
from cerebelum import Context, step, workflow
from parts import double

@step
def fetch(inputs):
    Path("ran").open("a").write("fetch\\n")
    return inputs.get("n", 2)

@step
def ship(double):
    Path("ran").open("a").write("ship\\n")
    if not Path("mended").exists():
        raise ValueError("broken")
    return double

@step
def wait(ship):
    Path("waiting").touch()
    while Path("hold").exists():
        time.sleep(0.01)
    return ship

@workflow
def deploy(wf):
    wf.timeline(fetch >> double >> ship >> wait)

if __name__ == "__main__":
    deploy.cli()
"""
PARTS = "from cerebelum import step\n@step\ndef double(fetch):\n    return 2 * fetch\n"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("CEREBELUM_STORE")
    home = Home(tmp_path)
    home.write("flow.py", FLOW)
    home.write("parts.py", PARTS)
    return home


def ran(cli: Home) -> list[str]:
    return (cli.folder / "ran").read_text().split()


def test_the_verbs_take_a_python_file(cli: Home) -> None:
    assert cli("validate", "flow.py").out == "flow.py: ok: deploy, 4 steps\n"
    assert cli("graph", "flow.py", "--format", "mermaid").out.count("-->") == 3
    failed = cli("run", "flow.py", "--id", "deploy-1", "-i", "n=4")
    assert failed.code == 1
    assert "ValueError: broken" in failed.out
    plan = cli("resume", "deploy-1", "--plan", "--json").json()
    assert [(row["step"], row["action"]) for row in plan["steps"]] == [
        ("fetch", "KEEP"),
        ("double", "KEEP"),
        ("ship", "RERUN"),
        ("wait", "RERUN"),
    ]
    cli.write("mended", "")
    done = cli("resume", "deploy-1")
    assert done.code == 0, done.err
    assert ran(cli) == ["fetch", "ship", "ship"]
    status = cli("status", "deploy-1", "--json").json()
    assert status["status"] == "completed"
    assert status["output"] == "44"


def test_an_edit_is_used_where_it_mends_and_asked_about_where_it_changes(cli: Home) -> None:
    cli("run", "flow.py", "--id", "deploy-1")
    # Layout, comments and options are nothing that was performed.
    text = FLOW.replace("@step\ndef fetch(inputs):", "@step(retry=5)\n\ndef fetch( inputs ):  # the sources")
    cli.write("flow.py", text.replace('raise ValueError("broken")', "pass"))
    assert cli("resume", "deploy-1").code == 0
    assert ran(cli) == ["fetch", "ship", "ship"]
    cli.write("flow.py", FLOW)
    cli("run", "flow.py", "--id", "deploy-2")
    cli.write("parts.py", PARTS.replace("2 * fetch", "3 * fetch"))
    changed = cli("resume", "deploy-2")
    assert changed.code == 5
    assert "double" in changed.err
    cli.write("mended", "")
    assert cli("resume", "deploy-2", "--from", "double").code == 0
    assert cli("status", "deploy-2", "--json").json()["output"] == 6


def test_a_kill_in_the_middle_loses_nothing(cli: Home) -> None:
    cli.write("mended", "")
    cli.write("hold", "")
    with cli.start("run", "flow.py", "--id", "deploy-1") as process:
        wait_for(cli.folder / "waiting")
        process.send_signal(signal.SIGKILL)
    assert cli("status", "deploy-1", "--json").json()["status"] == "paused"
    (cli.folder / "hold").unlink()
    # By another program that has the same workflow, with functions of its own.
    code = "import asyncio, flow\nprint(asyncio.run(flow.deploy.resume('deploy-1')).output)\n"
    done = python(cli, "-c", code)
    assert (done.stdout, done.stderr) == ("4\n", "")
    assert ran(cli) == ["fetch", "ship"]


def test_a_script_is_a_program_of_its_own(cli: Home) -> None:
    failed = python(cli, "flow.py", "run", "--id", "deploy-1", "-i", "n=1")
    assert failed.returncode == 1, failed.stderr
    assert "ValueError: broken" in failed.stdout
    assert python(cli, "flow.py", "status", "deploy-1").stdout.startswith("deploy-1")
    assert json.loads(python(cli, "flow.py", "list", "--json").stdout)["executions"][0]["workflow"] == "deploy"
    cli.write("mended", "")
    assert python(cli, "flow.py", "resume", "deploy-1").returncode == 0
    assert ran(cli) == ["fetch", "ship", "ship"]


def test_a_script_says_what_it_takes(cli: Home) -> None:
    typed = """
from dataclasses import dataclass
@dataclass
class Given:
    version: str
    to: str = "staging"

@workflow(inputs=Given)
def roll_out(wf):
    "Put a version on the machines."
    wf.timeline(fetch)

if __name__ == "__main__":
    roll_out.cli()
"""
    cli.write("typed.py", FLOW.partition("if __name__")[0] + typed)
    bare, asked = python(cli, "typed.py"), python(cli, "typed.py", "--help")
    assert (bare.returncode, asked.returncode) == (2, 0), bare.stderr
    assert bare.stdout == asked.stdout
    assert bare.stdout.splitlines()[:3] == [
        "The workflow roll-out: Put a version on the machines.",
        "",
        "  typed.py run -i version=... [-i to=...]  start it and see it through",
    ]
    assert [line.split()[1] for line in bare.stdout.splitlines() if line.startswith("  ")] == [
        "run",
        "status",
        "resume",
        "list",
    ]
    assert "flow.py run [-i NAME=VALUE]..." in python(cli, "flow.py").stdout


def test_a_script_takes_options_in_front_of_the_verb(cli: Home) -> None:
    assert python(cli, "flow.py", "--store", "own.db", "run", "--id", "deploy-1").returncode == 1
    assert json.loads(python(cli, "flow.py", "--store=own.db", "list", "--json").stdout)["total"] == 1
    assert json.loads(python(cli, "flow.py", "list", "--json").stdout)["total"] == 0
    other = python(cli, "flow.py", "--store", "own.db", "list", "--workflow=other", "--json")
    assert json.loads(other.stdout)["total"] == 0


def test_started_detached_it_goes_on_without_its_starter(cli: Home) -> None:
    cli.write("mended", "")
    cli.write("hold", "")
    code = "import flow; print(flow.deploy.start({'n': 5}, execution_id='deploy-1', tags=['x']))"
    started = python(cli, "-c", code)
    assert (started.stdout, started.stderr) == ("deploy-1\n", "")
    wait_for(cli.folder / "waiting")
    assert cli("status", "deploy-1", "--json").json()["status"] == "running"
    (cli.folder / "hold").unlink()
    assert cli("watch", "deploy-1").code == 0
    assert cli("status", "deploy-1", "--json").json()["output"] == 10
    again = python(cli, "-c", code)
    assert "there is an execution deploy-1 already" in again.stderr


def test_ctrl_c_in_a_script_pauses_it_in_an_orderly_way(cli: Home) -> None:
    cli.write("mended", "")
    cli.write("hold", "")
    script = "import flow\nflow.deploy.run(execution_id='deploy-1')\n"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=cli.folder, env=cli.environ, stderr=subprocess.PIPE) as process:
        wait_for(cli.folder / "waiting")
        (cli.folder / "hold").unlink()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in err
    assert b"deploy-1 is paused; go on with: cerebelum resume deploy-1" in err
    status = cli("status", "deploy-1", "--json").json()
    assert status["status"] == "paused"
    assert cli("resume", "deploy-1").code == 0


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("x = 1\n", ("bad.py",), "there is no workflow in this file"),
        ("def f(:\n", ("bad.py",), "bad.py:1:7: not Python"),
        ("import nothing_like_it\n", ("bad.py",), "bad.py:1: loading the file failed: ModuleNotFoundError"),
        ("import sys\nsys.exit(3)\n", ("bad.py",), "loading the file ended it (3)"),
        (
            FLOW.replace("fetch >> double", "double >> fetch"),
            ("bad.py",),
            "`fetch` is a step, but does not",
        ),
        (FLOW + "\n@workflow\ndef other(wf): wf.timeline(fetch)\n", ("bad.py",), "several workflows in this file"),
        (FLOW, ("bad.py:deplyo",), "did you mean deploy?"),
        (FLOW, ("none.py",), "there is no such file"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(cli: Home, text: str, arguments: tuple[str, ...], message: str) -> None:
    cli.write("bad.py", text)
    done = cli("run", *arguments)
    assert done.code == 2, done.err
    assert message in done.err
    assert "Traceback" not in done.err
    assert not cli.store.exists()


def test_one_of_several_is_named(cli: Home) -> None:
    cli.write("flow.py", FLOW + "\n@workflow(name='the other')\ndef other(wf): wf.timeline(fetch >> double)\n")
    assert cli("run", "flow.py:other", "--id", "other-1").code == 0
    assert cli("status", "other-1", "--json").json()["workflow"] == "the other"
    failed = cli("run", "flow.py:deploy", "--id", "deploy-1")
    assert failed.code == 1
    cli.write("mended", "")
    assert cli("resume", "deploy-1").code == 0
    cli("run", "flow.py:deploy", "--id", "deploy-2")
    (cli.folder / "flow.py").unlink()
    (cli.folder / "mended").unlink()
    gone = cli("resume", "other-1", "--from", "double")
    assert gone.code == 2


def test_a_file_that_is_gone_cannot_be_resumed(cli: Home) -> None:
    cli("run", "flow.py", "--id", "deploy-1")
    recorded = cli("resume", "deploy-1", "--recorded")
    assert recorded.code == 2
    assert "cannot go on with the recorded definition" in recorded.err
    os.rename(cli.folder / "flow.py", cli.folder / "moved.py")
    gone = cli("resume", "deploy-1")
    assert gone.code == 2
    assert "flow.py is gone" in gone.err
    cli.write("mended", "")
    assert cli("resume", "deploy-1", "--file", "moved.py").code == 0


ITSELF = """\
import asyncio
from cerebelum import step, workflow
@step(isolated=True)
def one(): return 1
@workflow
def deploy(wf): wf.timeline(one)
"""


@pytest.mark.parametrize(
    "runs",
    [
        "deploy.run()",
        "deploy.cli()",
        "deploy.start()",
        "asyncio.run(deploy.execute())",
        "asyncio.run(deploy.resume('x'))",
    ],
)
def test_a_file_that_runs_itself_when_it_is_loaded_is_refused(cli: Home, runs: str) -> None:
    cli.write("self.py", f"{ITSELF}{runs}\n")
    done = cli("run", "self.py")
    assert done.code == 2
    assert "deploy is run while this file is being loaded" in done.err
    assert 'if __name__ == "__main__":' in done.err
    assert not cli.store.exists()


def test_the_process_of_an_isolated_step_does_not_begin_it_all_again(cli: Home) -> None:
    cli.write("self.py", f"{ITSELF}deploy.run()\n")
    done = python(cli, "self.py")
    assert done.returncode == 1
    assert "deploy is run while this file is being loaded" in done.stderr
    assert cli("list", "--json").json()["total"] == 1


@pytest.mark.parametrize("start", ["from .parts", "from company.parts"])
@pytest.mark.parametrize("inside", ["", "from .flow import deploy\n"])
def test_a_workflow_may_be_in_a_package(cli: Home, start: str, inside: str) -> None:
    cli.write("company/__init__.py", inside)
    cli.write("company/parts.py", "from cerebelum import step\n@step(isolated=True)\ndef parts(): return [1]\n")
    flow = "import parts\nfrom cerebelum import workflow\n@workflow\ndef deploy(wf): wf.timeline(parts)\n"
    cli.write("company/flow.py", flow.replace("import parts", f"{start} import parts"))
    done = cli("run", "company/flow.py", "--id", "deploy-1")
    assert done.code == 0, done.err
    assert cli("status", "deploy-1", "--json").json()["output"] == [1]
    imported = python(cli, "-c", "import company.flow as flow; print(flow.deploy.run().output)")
    assert imported.stdout == "[1]\n", imported.stderr


def python(cli: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    environ = {**cli.environ, "PYTHONPATH": f"{cli.environ['PYTHONPATH']}{os.pathsep}{cli.folder}"}
    return subprocess.run(command, cwd=cli.folder, env=environ, capture_output=True, text=True, timeout=60, check=False)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_plugins_hear_of_what_a_program_drives(cli: Home) -> None:
    cli.write("mended", "")
    cli.write(
        "home/.config/cerebelum/plugins/hears.py",
        "from cerebelum import hookimpl\n@hookimpl\ndef cerebelum_event(execution_id, event):\n"
        "    open('heard', 'a').write(type(event).__name__ + '\\n')\n",
    )
    done = python(cli, "-c", "import flow; flow.deploy.run()")
    assert done.returncode == 0, done.stderr
    heard = (cli.folder / "heard").read_text().split()
    assert heard[0] == "ExecutionStarted"
    assert heard[-1] == "ExecutionCompleted"
    assert heard.count("StepCompleted") == 4
