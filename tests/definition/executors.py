"""Small executors for the tests of definitions: with a literal text, with options, and with a structured body."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from cerebelum.core.errors import CerebelumError, DefinitionError
from cerebelum.core.model import Step, Workflow
from cerebelum.core.outcome import Completed, Outcome
from cerebelum.definition import parse
from cerebelum.steps.executor import Executor, Invocation


class RunOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    shell: Literal["bash", "sh"] | None = None


class CallOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"with_": "with"}):
    with_: dict[str, Any] = {}
    isolated: bool = False


class Expect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    status: int = 200
    bodies: tuple[str, ...] = ()


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str
    method: Literal["GET", "POST"] = "GET"
    headers: dict[str, str] = {}
    expect: Expect = Expect()


class _Stub:
    key = ""
    summary = "For tests."
    body: Any = str
    options: Any = None
    literal: tuple[str, ...] = ()

    def run(self, call: Invocation) -> Outcome:
        return Completed(call.body)

    def fingerprint(self, step: Step, folder: Path) -> str | None:
        return None


class Run(_Stub):
    key = "run"
    options = RunOptions
    literal: tuple[str, ...] = ("run",)


class Call(_Stub):
    """Its code is a file in the workflow's folder."""

    key = "python"
    options = CallOptions
    literal: tuple[str, ...] = ("python",)

    def fingerprint(self, step: Step, folder: Path) -> str | None:
        file = folder / str(step.body)
        if not file.exists():
            raise CerebelumError(f"there is no {step.body}", hint="write it")
        return file.read_text()


class Http(_Stub):
    key = "http"
    body: Any = Request


class Sleep(_Stub):
    key = "sleep"
    body: Any = str | float


ALL: tuple[Executor, ...] = (Run(), Call(), Http(), Sleep())
EXECUTORS: Mapping[str, Executor] = {executor.key: executor for executor in ALL}


def workflow(text: str, folder: Path = Path("/nowhere"), name: str = "w.yaml") -> Workflow:
    return parse(text, name, folder, EXECUTORS)


def problems(text: str) -> list[str]:
    """Every problem of a definition, as `line:col: path: message; hint`."""
    try:
        workflow(text)
    except DefinitionError as e:
        return [problem.text().removeprefix("w.yaml:") for problem in e.problems]
    return []
