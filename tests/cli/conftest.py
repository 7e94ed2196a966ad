"""A fresh home with nothing in it, and the real program in a process of its own."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.binary.program import environment, program

ROOT = Path(__file__).resolve().parent.parent.parent


BUILD_SYSTEMS = ("GITHUB_", "GITLAB_", "BUILDKITE", "TF_BUILD", "TEAMCITY_", "JENKINS_")
"""What the tests' own build system sets, which the program is not to see."""


class Done(NamedTuple):
    """How a process ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    def id(self) -> str:
        """The execution that `run` or `resume` said it drives."""
        return self.out.partition(":")[0]


class Home:
    """A folder to work in, with a home, and the program."""

    def __init__(self, folder: Path, store_url: str | None = None) -> None:
        """`store_url` that is none of a file is in the environment; a file is where it is unasked."""
        self.folder = folder
        self.store = folder / "home" / ".local" / "state" / "cerebelum" / "cerebelum.db"
        (folder / "home").mkdir()
        self.environ = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("CEREBELUM_", "XDG_", "PYTHON", "LC_", *BUILD_SYSTEMS))
        }
        self.environ |= {"HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", "NO_COLOR": ""}
        self.environ["CEREBELUM_TIMESTAMPS"] = "0"
        self.environ |= environment()
        self.url = f"sqlite:///{self.store}"
        if store_url is not None and not store_url.startswith("sqlite:"):
            self.url = self.environ["CEREBELUM_STORE"] = store_url

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # A process that was just started may be reading it: it is never to see a file that is empty meanwhile.
        if not path.is_file() or path.read_bytes() != text.encode():
            path.write_text(text)
        return path

    def start(
        self, *arguments: str | bytes, env: Mapping[str, str] | None = None, python: Sequence[str] = (), **more: Any
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*program(*python), *arguments],
            cwd=self.folder,
            env={**self.environ, **(env or {})},
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
        )

    def __call__(
        self, *arguments: str | bytes, env: Mapping[str, str] | None = None, stdin: str = "", **more: Any
    ) -> Done:
        with self.start(*arguments, env=env, **{"stdin": subprocess.PIPE, **more}) as process:
            try:
                out, err = process.communicate(stdin.encode(), timeout=60)
            finally:
                process.kill()
        return Done(process.returncode, (out or b"").decode(errors="replace"), (err or b"").decode(errors="replace"))


@pytest.fixture
def cli(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """A home for a test. One that uses the fixture `store_url` has it on either store."""
    return Home(tmp_path, request.getfixturevalue("store_url") if "store_url" in request.fixturenames else None)


FLAKY = """
name: flaky
inputs:
  who: {type: string, default: you}
steps:
  - id: hello
    run: echo "hello $INPUT_WHO"
    output: text
  - parallel:
      - {id: left, run: echo left}
      - {id: right, run: 'echo right >&2; test -e mended'}
  - {id: end, run: echo end}
"""


@pytest.fixture
def flaky(cli: Home) -> Callable[[], None]:
    """A workflow that fails in `right` until the function this gives is called."""
    cli.write("flaky.yaml", FLAKY)

    def mend() -> None:
        cli.write("mended", "")

    return mend
