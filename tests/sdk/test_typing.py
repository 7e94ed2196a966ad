"""What type checkers say of a user's code: nothing where it is right, and what is wrong where it is not."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

CODE = """\
import asyncio
from dataclasses import dataclass
from datetime import timedelta

from cerebelum import Builder, Context, ExecutionResult, WorkflowError, approval, poll, retry, sleep, step, workflow


@dataclass
class Inputs:
    version: str
    replicas: int = 2


@step
def fetch(inputs: Inputs) -> dict[str, int]:
    return {"files": inputs.replicas}


@step(retry={"attempts": 3, "delay": "5s"}, timeout=timedelta(minutes=5), when="inputs.replicas > 1")
def lint(fetch: dict[str, int], context: Context) -> str:
    context.progress(0.5)
    return context.idempotency_key


@step(isolated=True, env={"A": "b"})
async def unit(fetch: dict[str, int]) -> int:
    answer = await approval("Go?", timeout="3d")
    await sleep(timedelta(days=2))
    found: bool = await poll(lambda: True, interval="1m", timeout="1h")
    number: int = await retry(lambda: 3, attempts=2, on=OSError)
    return number if found and answer.by else 0


@step
def package(lint: str, unit: int) -> str:
    return lint


@step
def undo() -> None: ...


@workflow(inputs=Inputs, max_parallel=4, timeout="1h")
def deploy(wf: Builder) -> None:
    script = wf.shell("make", name="script", output="text")
    wf.timeline(fetch >> [lint, unit] >> package >> script)
    wf.timeline([lint >> unit, package] >> undo, wf.approval("Go?", timeout="1d"))
    wf.branch(after=package, when={"result == 'x'": undo, lambda result: result is None: [undo], True: undo >> lint})
    wf.diverge(fetch, {OSError: undo, "timeout": "retry", "exit": "continue"})
    wf.on_failure(undo)
    wf.finally_(wf.sleep("1s"))


async def main() -> None:
    try:
        reveal_type(await deploy.execute(Inputs("1"), store="memory:", tags=["nightly"]))
    except WorkflowError as error:
        reveal_type(error.failed_step)
        again: ExecutionResult = await error.resume()
        print(again.results["fetch"])
    reveal_type(await deploy.resume("deploy-1", from_step="lint"))
    reveal_type(deploy.run({"version": "1"}))
    reveal_type(deploy.start(or_resume=True))
    reveal_type(fetch(Inputs("1")))


if __name__ == "__main__":
    asyncio.run(main())
    deploy.cli()
"""
REVEALED = [
    "cerebelum.sdk.results.ExecutionResult",
    "str | None",
    "cerebelum.sdk.results.ExecutionResult",
    "cerebelum.sdk.results.ExecutionResult",
    "str",
    "dict[str, int]",
]
WRONG = """\
from cerebelum import Builder, step, workflow


@step
def fetch(number: int) -> int:
    return number


def plain() -> None: ...


@workflow
def deploy(wf: Builder) -> None:
    wf.timeline(plain >> fetch)  # no step
    wf.diverge(fetch, {"timeout": "again"})  # no such thing
    wf.timelime(fetch)  # misspelt


fetch("a")  # a text
step(retries=3)  # no such option
deploy.run(execution="deploy-1")  # no such option
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What mypy --strict says of both, by file."""
    folder = tmp_path_factory.mktemp("typing")
    (folder / "right.py").write_text(CODE)
    (folder / "wrong.py").write_text(WRONG)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "right.py", "wrong.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    return {name: [line for line in lines if line.startswith(name)] for name in ("right.py", "wrong.py")}


def test_strict_user_code_is_fine_and_results_have_their_types(said: dict[str, list[str]]) -> None:
    assert [line for line in said["right.py"] if ": error: " in line] == []
    assert re.findall(r'Revealed type is "(.*?)"', "\n".join(said["right.py"])) == REVEALED


def test_what_is_wrong_is_found_on_its_line(said: dict[str, list[str]]) -> None:
    expected = [number for number, line in enumerate(WRONG.splitlines(), 1) if "# " in line]
    found = [int(line.split(":")[1]) for line in said["wrong.py"] if ": error: " in line]
    assert sorted(set(found)) == expected
