"""What the tests of processes and executors share: attempts with a sink that remembers, and waiting with a bound."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cerebelum.core.model import OutputKind, Step
from cerebelum.steps.executor import Invocation, Stop
from cerebelum.steps.process import TOKEN
from cerebelum.store import Stream

_numbers = itertools.count(1)


class MemorySink:
    """Keeps what is written; calls `on_text[text]` once, when `text` has been written to it."""

    def __init__(self, on_text: Mapping[bytes, Callable[[], object]] | None = None) -> None:
        self.waiting = dict(on_text or {})
        self.streams: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}

    def write(self, stream: Stream, data: bytes) -> None:
        self.streams[stream] += data
        for text in [text for text in self.waiting if text in self.streams[stream]]:
            self.waiting.pop(text)()

    def tail(self) -> str:
        return bytes(self.streams["stdout"] + self.streams["stderr"])[-4096:].decode("utf-8", "replace")

    @property
    def out(self) -> bytes:
        return bytes(self.streams["stdout"])

    @property
    def err(self) -> bytes:
        return bytes(self.streams["stderr"])


class MemoryTracker:
    """Remembers the pids it is told of."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.ended: list[int] = []

    def spawned(self, pid: int) -> None:
        self.started.append(pid)

    def gone(self, pid: int) -> None:
        self.ended.append(pid)


def environment(**more: str) -> dict[str, str]:
    """An environment with a token of its own."""
    return {**os.environ, TOKEN: f"test-{os.getpid()}-{next(_numbers)}", **more}


def attempt(
    folder: Path,
    executor: str,
    body: Any,
    *,
    output: OutputKind = "none",
    options: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    stop: Stop | None = None,
    sink: MemorySink | None = None,
    cwd: Path | None = None,
    **more: Any,
) -> Invocation:
    """A first attempt at a step `s` of a workflow whose file is in `folder`."""
    scratch = folder / f"scratch-{next(_numbers)}"
    scratch.mkdir(mode=0o700)
    whole_env = environment(**(env or {}))
    given: dict[str, Any] = {"inputs": {}, "outputs": {}, "secrets": {}, **more}
    return Invocation(
        execution_id="w-0123456789",
        workflow="w",
        step=Step(id="s", executor=executor, body=body, options=dict(options or {}), output=output),
        attempt=1,
        idempotency_key="key-1",
        body=body,
        options=dict(options or {}),
        cwd=cwd or folder,
        folder=folder,
        stop=stop or Stop(),
        sink=sink or MemorySink(),
        tracker=MemoryTracker(),
        make_env=lambda: whole_env,
        make_scratch=lambda: scratch,
        **given,
    )


def wait_until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Return as soon as `holds()` is true; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        os.sched_yield() if hasattr(os, "sched_yield") else None
        time.sleep(0.002)
