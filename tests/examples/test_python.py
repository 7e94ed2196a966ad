"""The workflows of examples/python: each as a script and by the command line, stopped, killed and gone on with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.binary.program import BINARY, program
from tests.examples.program import EXAMPLES, Ended, Program
from tests.lifecycle.world import wait_until

FOLDER = EXAMPLES / "python"
as_script = pytest.mark.skipif(bool(BINARY), reason="a script is run by a Python that has the package")


def script(cerebelum: Program, name: str, *arguments: str, code: int = 0) -> Ended:
    """`python examples/python/NAME ARGUMENTS`."""
    return cerebelum.execute(sys.executable, FOLDER / name, *arguments, code=code)


def output(cerebelum: Program, name: str) -> object:
    return cerebelum.json("status", name)["output"]


def test_every_example_says_how_it_is_run_and_is_valid(cerebelum: Program) -> None:
    files = sorted(FOLDER.glob("*.py"))
    assert [file.name for file in files] == ["deploy.py", "hello.py", "orders.py", "pipeline.py", "polling.py"]
    for file in files:
        assert f"python examples/python/{file.name}" in file.read_text()
        assert f"cerebelum run examples/python/{file.name}" in file.read_text()
        assert "ok: " in cerebelum("validate", file).out


@as_script
@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("hello.py", "HELLO, WORLD!\n"),
        ("pipeline.py", "Lima sold most, 5; 0 rows were wrong\nby city: {'Quito': 4, 'Lima': 5}\n"),
        ("polling.py", "all is well\n"),
    ],
)
def test_it_runs_as_a_script(cerebelum: Program, name: str, printed: str) -> None:
    assert script(cerebelum, name).out == printed


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("hello.py", ("-i", "name=Ada"), "HELLO, ADA!"),
        ("pipeline.py", (), "Lima sold most, 5; 0 rows were wrong"),
        ("polling.py", (), "all is well"),
        ("deploy.py", ("-i", "version=1.4.0"), "1.4.0 is live on staging-1"),
    ],
)
def test_it_runs_by_the_command_line(
    cerebelum: Program, name: str, arguments: tuple[str, ...], expected: object
) -> None:
    cerebelum("run", FOLDER / name, "--id", "it", *arguments)
    assert output(cerebelum, "it") == expected


def test_the_pipeline_tries_again(cerebelum: Program) -> None:
    cerebelum("run", FOLDER / "pipeline.py", "--id", "it")
    steps = {step["id"]: step for step in cerebelum.json("status", "it")["steps"]}
    assert steps["fetch"]["attempt"] == 2
    assert steps["total"]["output"] == {"Quito": 4, "Lima": 5}


def events(cerebelum: Program, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in cerebelum("history", name, "--json").out.splitlines()]


def ran(cerebelum: Program, name: str) -> list[str]:
    """The steps that were not skipped, but those that decide."""
    steps = cerebelum.json("status", name)["steps"]
    return [step["id"] for step in steps if step["status"] not in ("skipped", "pending")]


@as_script
def test_the_deployment_is_a_program(cerebelum: Program, tmp_path: Path) -> None:
    machines = tmp_path / "machines"
    where = ("-i", f"folder={machines}", "-i", "to=production")
    script(cerebelum, "deploy.py", "run", "--id", "good", "-i", "version=1.4.0", *where)
    assert "canary" in ran(cerebelum, "good")
    assert {file.read_text() for file in machines.glob("production-*/version")} == {"1.4.0"}
    # What has failed is rolled back, and nothing stays locked.
    script(cerebelum, "deploy.py", "run", "--id", "bad", "-i", "version=9.9.9", *where, code=1)
    assert list(machines.glob("production-*/version")) == []
    assert not (machines / "lock").exists()
    # An unknown version is no failure of the deployment.
    script(cerebelum, "deploy.py", "run", "--id", "none", "-i", "version=0.0.0", *where)
    assert "suggest" in ran(cerebelum, "none")
    assert "switch" not in ran(cerebelum, "none")
    assert "has to be" not in script(cerebelum, "deploy.py", "list").out
    wrong = script(cerebelum, "deploy.py", "run", "-i", "version=1", "-i", "to=moon", code=2)
    assert "is not one of staging, production" in wrong.err


def test_a_long_poll_outlives_its_process(cerebelum: Program, tmp_path: Path) -> None:
    given = ("-i", f"folder={tmp_path}", "-i", "every=6s")
    cerebelum("run", FOLDER / "polling.py", "--id", "it", "--park", *given, code=75)
    status = cerebelum.json("status", "it")
    assert status["status"] == "sleeping"
    (tmp_path / "it.txt").write_text("it is there\n")
    cerebelum("resume", "it")
    assert output(cerebelum, "it") == "it is there"
    assert [event["type"] for event in events(cerebelum, "it")].count("SleepStarted") == 1


ORDER = ("-i", "customer=ada", "-i", "cents=4200")


def till(cerebelum: Program) -> list[str]:
    return [line.split(" ", 1)[1] for line in (cerebelum.folder / "till.txt").read_text().splitlines()]


def test_an_order_waits_for_people_and_for_days_without_a_process(cerebelum: Program) -> None:
    cerebelum("run", FOLDER / "orders.py", "--id", "order-1", *ORDER, "--park", code=75)
    assert cerebelum.json("status", "order-1")["status"] == "waiting_for_approval"
    cerebelum("approve", "order-1", "--response", "carrier=pigeon")
    cerebelum("resume", "order-1", "--park", code=75)
    status = cerebelum.json("status", "order-1")
    assert status["status"] == "sleeping"
    [sleeping] = [event for event in events(cerebelum, "order-1") if event["type"] == "SleepStarted"]
    assert sleeping["seconds"] == 2 * 86400
    cerebelum("cancel", "order-1")
    assert till(cerebelum) == ["ada pays 4200", "ada gets 4200 back"]


def test_an_order_is_killed_in_the_middle_and_paid_once(cerebelum: Program) -> None:
    command = [*program(), "run", str(FOLDER / "orders.py"), "--id", "order-1", *ORDER, "-i", "ask_after=0s"]
    with subprocess.Popen(
        command, cwd=cerebelum.folder, env=cerebelum.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: status_of(cerebelum, "order-1") == "waiting_for_approval")
        process.send_signal(signal.SIGKILL)
    cerebelum("approve", "order-1", "--response", "carrier=pigeon")
    cerebelum("resume", "order-1")
    assert output(cerebelum, "order-1") == "ada was asked"
    assert till(cerebelum) == ["ada pays 4200"]
    assert "to ada: pigeon brings it" in cerebelum("logs", "order-1").out


def status_of(cerebelum: Program, name: str) -> object:
    ended = cerebelum("status", name, "--json", code=None)
    return cerebelum.json("status", name)["status"] if ended.code == 0 else None


def test_an_order_that_fails_is_paid_back_and_can_still_be_mended(cerebelum: Program) -> None:
    cerebelum("run", FOLDER / "orders.py", "--id", "order-1", *ORDER, "--park", code=75)
    cerebelum("approve", "order-1", "--response", "carrier=nobody")
    cerebelum("resume", "order-1", "--park", code=1)
    assert till(cerebelum) == ["ada pays 4200", "ada gets 4200 back"]
    assert cerebelum.json("status", "order-1")["status"] == "failed"


def test_an_order_that_is_cancelled_or_rejected_is_paid_back(cerebelum: Program) -> None:
    cerebelum("run", FOLDER / "orders.py", "--id", "order-1", *ORDER, "--park", code=75)
    cerebelum("reject", "order-1", code=None)
    cerebelum("resume", "order-1", "--park", code=None)
    assert till(cerebelum) == ["ada pays 4200", "ada gets 4200 back"]
