"""What the tests of the engine share: a laboratory with a real store and real executors."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

from cerebelum.core.events import AnyEvent, StepCompleted, StepFailed
from cerebelum.engine.session import Result
from cerebelum.engine.settings import DEFAULTS, Settings
from cerebelum.host.clock import Clock
from cerebelum.plugins import python, shell
from cerebelum.sdk.verbs import Verbs
from cerebelum.steps.executor import Executor
from tests.stores import everything_in, open_store, path_of

PATIENCE = 30.0
"""Seconds after which something that had to happen counts as never happening."""
ROOT = Path(__file__).resolve().parents[2]


def executors() -> Mapping[str, Executor]:
    return {e.key: e for e in (*shell.cerebelum_executors(), *python.cerebelum_executors())}


class Lab:
    """A folder with a store in it; workflows written there are run from it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "LANG": "C.UTF-8",
        }
        self.clients: list[Verbs] = []

    @property
    def store(self) -> Path:
        """The store's file."""
        return path_of(self.url)

    def client(self, *, clock: Clock | None = None, **environ: str) -> Verbs:
        """A client with a store connection of its own; `environ` is added to the environment."""
        client = Verbs(lambda: open_store(self.url), executors, environ={**self.environ, **environ}, clock=clock)
        self.clients.append(client)
        return client

    def write(self, text: str, name: str = "flow.yaml") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    def run(self, text: str | Path, inputs: Mapping[str, Any] | None = None, **options: Any) -> Result:
        """Write a workflow and run it; `environ` among the options is added to the environment."""
        path = text if isinstance(text, Path) else self.write(text)
        client = self.client(**options.pop("environ", {}))
        with _inside(self.folder):
            return client.run(path, inputs or {}, **options)

    def resume(self, name: str = "last", **options: Any) -> Result:
        return self.client(**options.pop("environ", {})).resume(name, **options)

    def events(self, name: str = "last") -> tuple[AnyEvent, ...]:
        return self.client().history(name)

    def log(self, step: str | None = None, attempt: int | None = None, name: str = "last") -> bytes:
        return b"".join(c.data for c in self.client().logs(name, step=step, attempt=attempt))

    def lines(self, name: str) -> list[str]:
        """The lines of a file that steps append to, to count what they did."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def raw(self) -> bytes:
        """Every byte of the store, as it is now."""
        return everything_in(self.url)

    def fifo(self, name: str) -> Path:
        path = self.folder / name
        os.mkfifo(path)
        return path

    def start(self, verb: str, target: str | Path, **environ: str) -> subprocess.Popen[bytes]:
        """A runner process of its own: `run FILE` or `resume ID`."""
        command = [sys.executable, "-m", "tests.engine.child", self.url, verb, str(target)]
        ours = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**self.environ, **ours, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def close(self) -> None:
        for client in self.clients:
            client.close()


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def await_words(fifo: Path, count: int = 1) -> list[str]:
    """The lines that somebody writes to the named pipe, `count` of them; fails if they do not come in time."""
    # For reading and writing, so that one writer's leaving is not taken for the end of all.
    fd = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        text = b""
        while text.count(b"\n") < count:
            ready, _, _ = select.select([fd], [], [], PATIENCE)
            assert ready, f"after {text!r} nobody wrote to {fifo.name}"
            text += os.read(fd, 4096)
        return text.decode().splitlines()
    finally:
        os.close(fd)


def finished(runner: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a runner, once it has ended."""
    out, err = runner.communicate(timeout=PATIENCE)
    return runner.returncode, out.decode(), err.decode()


def left_of(word: str) -> list[int]:
    """Pids of living processes that have `word` in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if word.encode() in (entry / "environ").read_bytes() and state not in "ZX":
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def kill(runner: subprocess.Popen[bytes]) -> None:
    """What a crash does: no chance to clean up."""
    runner.send_signal(signal.SIGKILL)
    finished(runner)


def in_thread(work: Callable[[], Any]) -> Callable[[], Any]:
    """Start `work` in a thread; the function returned waits for its result, or raises what it raised."""
    box: list[Any] = []

    def body() -> None:
        try:
            box.append((work(), None))
        except BaseException as error:
            box.append((None, error))

    thread = threading.Thread(target=body, daemon=True)
    thread.start()

    def result() -> Any:
        thread.join(PATIENCE)
        assert box, "it never ended"
        value, error = box[0]
        if error is not None:
            raise error
        return value

    return result


def said(events: tuple[AnyEvent, ...]) -> list[str]:
    """Events in short: `StepCompleted a`, `ExecutionFailed` …"""
    return [f"{type(e).__name__} {getattr(e, 'step', '')}".strip() for e in events]


def failure(events: tuple[AnyEvent, ...], step: str) -> StepFailed:
    """The last failure of a step."""
    return [e for e in events if isinstance(e, StepFailed) and e.step == step][-1]


def output(events: tuple[AnyEvent, ...], step: str) -> Any:
    """The output a step completed with, last."""
    return [e for e in events if isinstance(e, StepCompleted) and e.step == step][-1].output


def with_listener(listener: Callable[[str, AnyEvent], None]) -> Settings:
    return Settings(listeners=(*DEFAULTS.listeners, listener))
