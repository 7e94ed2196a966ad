"""What the tests of a life from run to end share: real processes, the store they write, and ways to wait for them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

from cerebelum.core.events import AnyEvent
from cerebelum.core.state import State
from cerebelum.sdk.verbs import Verbs
from cerebelum.store import Query, Row
from tests.cli.conftest import Done, Home
from tests.stores import open_store

PATIENCE = 30.0
"""Seconds after which something that had to happen counts as never happening."""


def wait_until(condition: Callable[[], Any], what: str = "it") -> Any:
    """What `condition()` gives once it is true; fails if that takes too long."""
    pause = threading.Event()
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} never happened"
        pause.wait(0.02)
    return found


class World(Home):
    """A home with the program in it, whose processes are gone at the end of the test."""

    def __init__(self, folder: Path, store_url: str) -> None:
        super().__init__(folder, store_url)
        self.environ["TMPDIR"] = str(folder)
        self.started: list[subprocess.Popen[bytes]] = []
        self.client = Verbs(lambda: open_store(self.url), dict, environ=self.environ)

    def start(self, *arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = super().start(*arguments, **options)
        self.started.append(process)
        return process

    def flow(self, text: str, name: str = "flow.yaml") -> Path:
        return self.write(name, dedent(text))

    def run(self, text: str, *arguments: str, name: str = "x", **options: Any) -> Done:
        """Run a workflow to its end as execution `name`."""
        return self("run", str(self.flow(text)), "--id", name, *arguments, **options)

    def begin(self, text: str, *arguments: str, name: str = "x", **options: Any) -> subprocess.Popen[bytes]:
        """The same, without waiting for the end."""
        return self.start("run", str(self.flow(text)), "--id", name, *arguments, **options)

    def park(self, text: str, *arguments: str, name: str = "x", **options: Any) -> None:
        """Run a workflow that sleeps until it parks, and wait until the sleep is over."""
        done = self.run(text, "--park", *arguments, name=name, **options)
        assert done.code == 75, done
        due = self.row(name).summary.due_at
        assert due is not None
        wait_until(lambda: datetime.now(UTC) >= due, "its time")

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def wait_for_line(self, name: str, count: int = 1) -> list[str]:
        wait_until(lambda: len(self.lines(name)) >= count, f"{count} lines in {name}")
        return self.lines(name)

    def events(self, name: str = "x") -> tuple[AnyEvent, ...]:
        return self.client.history(name)

    def said(self, name: str = "x") -> list[str]:
        return [f"{type(e).__name__} {getattr(e, 'step', '')}".strip() for e in self.events(name)]

    def wait_for_event(self, what: str, name: str = "x") -> None:
        wait_until(lambda: self._there(name) and what in self.said(name), what)

    def _there(self, name: str) -> bool:
        return bool(self.client.store.find(Query(id=name)).rows)

    def state(self, name: str = "x") -> State:
        return self.client.status(name).state

    def row(self, name: str = "x") -> Row:
        return self.client.store.find(Query(id=name)).rows[0]

    def status(self, name: str = "x") -> str:
        return self.client.status(name).status

    def last(self, kind: type[Any], name: str = "x") -> Any:
        return [e for e in self.events(name) if isinstance(e, kind)][-1]

    def sound(self) -> bool:
        return not any(v.flaws for v in self.client.verify())

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.client.close()
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def left(self, word: str = "") -> list[int]:
        """Pids of living step processes of this world that have `word` in their environment."""
        found = []
        mark = f"CEREBELUM_WORKFLOW_DIR={self.folder}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    environ = (entry / "environ").read_bytes()
                except OSError:
                    continue
                if mark in environ and word.encode() in environ and state not in "ZX":
                    found.append(int(entry.name))
        return found


def finish(process: subprocess.Popen[bytes]) -> Done:
    """How a process ended, once it has."""
    out, err = process.communicate(timeout=PATIENCE)
    return Done(process.returncode, out.decode(), err.decode())


def crash(process: subprocess.Popen[bytes]) -> None:
    """What an OOM killer does: no chance to clean up."""
    process.kill()
    process.communicate()
