"""The program as a user has it: a process of its own, with an environment that nobody else's settings reach into."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.binary.program import BINARY, environment, program

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = ROOT / "examples"
_FOREIGN = ("CEREBELUM_", "PYTEST_", "XDG_", "COV_", "INPUT_", "PYTHON")


@dataclass(frozen=True)
class Ended:
    """What a process left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@dataclass(frozen=True)
class Program:
    """Runs commands in a folder and a home of their own."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, *arguments: str | Path, code: int | None = 0, seconds: float = 60, env: dict[str, str] | None = None
    ) -> Ended:
        """`cerebelum ARGUMENTS`, which has to exit with `code` (None: any)."""
        return self.execute(*program(), *arguments, code=code, seconds=seconds, env=env)

    def json(self, *arguments: str | Path) -> Any:
        """What `cerebelum ARGUMENTS --json` prints."""
        return json.loads(self(*arguments, "--json").out)

    def execute(
        self,
        *argv: str | Path,
        code: int | None = 0,
        seconds: float = 60,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Ended:
        """Any command. After `seconds` it and what it started is told to end, and the test fails."""
        process = subprocess.Popen(
            [str(a) for a in argv],
            cwd=cwd or self.folder,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        late = False
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            late = True
            os.killpg(process.pid, signal.SIGTERM)
            out, err = process.communicate(timeout=30)
        ended = Ended(process.returncode, out, err)
        if late or (code is not None and ended.code != code):
            why = f"took longer than {seconds:g} s" if late else f"exit code {ended.code}, expected {code}"
            pytest.fail(f"{' '.join(map(str, argv))}: {why}\n--- stdout\n{out}\n--- stderr\n{err}", pytrace=False)
        return ended


def in_folder(folder: Path) -> Program:
    """The program with its home, store and settings below `folder`, which it also runs in."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
    home, work, commands = folder / "home", folder / "work", folder / "bin"
    for path in (home, work, commands):
        path.mkdir()
    if BINARY:
        # Scripts that say `cerebelum` mean the same program.
        (commands / "cerebelum").symlink_to(program()[0])
    env |= {
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "PATH": f"{commands}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', os.defpath)}",
        "PYTHONDONTWRITEBYTECODE": "1",
        **environment(),
    }
    return Program(work, env)
