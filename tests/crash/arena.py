"""Where the crash tests kill: real runner processes over a workflow of everything, and what must hold afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from cerebelum.core.errors import UsageError
from cerebelum.core.events import ExecutionFailed, StepCompleted, StepFailed, StepHandedOver, StepStarted, StepTaken
from cerebelum.core.evolve import reconstruct
from cerebelum.core.state import status
from cerebelum.store import Query
from tests.binary.program import environment, program
from tests.engine.harness import ROOT, Lab, left_of

ROUNDS = int(os.environ.get("CEREBELUM_CHAOS_ROUNDS", "0"))
"""How many rounds of random crashes are wanted; 0: the everyday selection."""
PATIENCE = 60.0
"""Seconds after which a runner that has not ended counts as hanging."""

# Each step says once per attempt that it took effect, which is checked against the log.
STORM = """
name: storm
inputs:
  fail: {type: boolean, default: false}
env: {SAY: 'echo "$CEREBELUM_STEP $CEREBELUM_ATTEMPT" >> effects'}
output: ${{ steps.finish.output }}
steps:
  - id: first
    run: |
      eval "$SAY"
      echo "word=hello" >> "$CEREBELUM_OUTPUT"
  - parallel:
      - {id: left, run: 'eval "$SAY"; echo said'}
      - id: flaky
        retry: {attempts: 2, delay: 50ms}
        run: 'eval "$SAY"; test -e flaked || { touch flaked; exit 7; }'
  - {id: nap, sleep: 100ms}
  - {id: go, approval: {message: 'Go?'}}
  - id: finish
    env: {WORD: '${{ steps.first.output.word }}'}
    run: 'eval "$SAY"; echo $WORD; test "$INPUT_FAIL" != true'
    output: text
on_success:
  - {id: cheer, run: 'eval "$SAY"'}
on_failure:
  - {id: mourn, run: 'eval "$SAY"'}
finally:
  - {id: sweep, run: 'eval "$SAY"'}
"""


class Ran(NamedTuple):
    """A runner that has ended: exit code (minus the signal), the events it printed, and its standard error."""

    code: int
    printed: list[dict[str, Any]]
    error: str


class Arena(Lab):
    """A folder with a store, in which the real program is run and killed."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder, url)
        self.environ["CEREBELUM_STORE"] = url
        # What other tests, in other processes, leave behind must not be taken for ours.
        self.id = f"storm-{os.urandom(4).hex()}"
        """An id for an execution, which no other arena has."""

    def command(self, *arguments: str) -> list[str]:
        return [*program(), *arguments]

    def spawn(self, *arguments: str, before: Sequence[str] = (), **environ: str) -> subprocess.Popen[bytes]:
        """The program in a session of its own; its standard error goes to a file."""
        path = self.folder / f"stderr-{os.urandom(4).hex()}"
        with path.open("wb") as error:
            process = subprocess.Popen(
                [*before, *self.command(*arguments)],
                cwd=self.folder,
                env={**self.environ, **environment(), "PYTHONPATH": str(ROOT), **environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=error,
                start_new_session=True,
            )
        process.args = [str(path)]
        return process

    def cli(self, *arguments: str, **environ: str) -> Ran:
        """Run the program to its end."""
        return self.see(self.spawn(*arguments, **environ))

    def see(self, process: subprocess.Popen[bytes], kill_after: float | None = None) -> Ran:
        """Read what a runner prints to its end, approving what it asks for; kill it `kill_after` seconds from now."""
        timers = [threading.Timer(PATIENCE, process.kill)]
        if kill_after is not None:
            timers.append(threading.Timer(kill_after, process.kill))
        printed: list[dict[str, Any]] = []
        try:
            for timer in timers:
                timer.start()
            assert process.stdout is not None
            for line in process.stdout:
                # The last line of a killed runner may be cut off.
                if line.startswith(b'{"execution_id"') and line.endswith(b"\n"):
                    said = json.loads(line)
                    printed.append(said)
                    if said.get("type") in ("ApprovalRequested", "ExecutionResumed"):
                        self.approve(said["execution_id"])
            process.wait(PATIENCE)
        finally:
            for timer in timers:
                timer.cancel()
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        assert isinstance(process.args, list)
        return Ran(process.returncode, printed, Path(str(process.args[0])).read_text())

    def approve(self, name: str) -> None:
        """Approve what the execution waits for, if it does."""
        client = self.client()
        if client.status(name).status == "waiting_for_approval":
            with suppress(UsageError):
                client.approve(name, by="arena")

    def exists(self, name: str) -> bool:
        return bool(self.client().store.find(Query(id=name)).rows)

    def ended(self, name: str) -> str | None:
        return self.client().status(name).state.ended if self.exists(name) else None

    def see_through(self, name: str, way: str, *run: str) -> list[Ran]:
        """Bring an execution to its end after a crash, by `resume` or by `supervise`, or start it if it never began."""
        ran: list[Ran] = []
        while self.ended(name) is None:
            assert len(ran) < 20, [(r.code, r.error) for r in ran]
            if not self.exists(name):
                ran.append(self.cli("run", *run))
            elif way == "resume":
                ran.append(self.cli("resume", name, "--json"))
            else:
                self.approve(name)
                ran.append(self.cli("supervise", "--once"))
            assert ran[-1].code in (0, 1), ran[-1]
        return ran


def check(arena: Arena, name: str, acknowledged: Sequence[dict[str, Any]]) -> None:
    """Everything that must hold of an execution that was killed and brought to its end."""
    events = arena.client().history(name)
    assert [e.version for e in events] == list(range(1, len(events) + 1))
    stored = {(e.version, type(e).__name__) for e in events}
    lost = [(a["version"], a["type"]) for a in acknowledged if (a["version"], a["type"]) not in stored]
    assert not lost, f"acknowledged and lost: {lost}"
    state = reconstruct(name, events)
    assert state is not None
    assert state.ended == ("failed" if state.inputs.get("fail") else "completed"), (state.error, status(state))
    assert isinstance(events[-1], ExecutionFailed) == bool(state.inputs.get("fail"))
    check_effects(arena.lines("effects"), events)
    verified = arena.cli("store", "verify")
    assert verified.code == 0, verified
    assert left_of(f"CEREBELUM_TOKEN={name}.") == []
    assert arena.client().store.processes(name) == []


def check_effects(effects: Sequence[str], events: Sequence[object]) -> None:
    """A settled attempt took effect once, one that was cut off at most once, and nothing ran that is not in the log."""
    done = Counter(effects)
    spawning = {e.step for e in events if isinstance(e, StepStarted | StepHandedOver) and e.executor == "run"}
    started = Counter(
        f"{e.step} {e.attempt}"
        for e in events
        if isinstance(e, StepTaken) or (isinstance(e, StepStarted) and e.step in spawning)
    )
    settled = Counter(
        f"{e.step} {e.attempt}" for e in events if isinstance(e, StepCompleted | StepFailed) and e.step in spawning
    )
    assert set(done) <= set(started), "a step ran whose start was not recorded"
    assert max(done.values()) == 1, f"run twice under one attempt: {done}"
    assert set(started.values()) == {1}, f"started twice under one attempt: {started}"
    assert set(settled) <= set(done), f"recorded, but it did not happen: {set(settled) - set(done)}"
    over: set[str] = set()
    for event in events:
        if isinstance(event, StepStarted | StepHandedOver):
            assert event.step not in over, f"{event.step} was started again after it had completed"
        elif isinstance(event, StepCompleted):
            assert event.step not in over, f"{event.step} completed twice"
            over.add(event.step)


def chosen(seed: int) -> random.Random:
    """A source of chance for one round, so that a round that failed can be run again."""
    return random.Random(f"cerebelum {seed}")


def stop_hard(process: subprocess.Popen[bytes]) -> None:
    """End a process that a test started, whatever state it is in."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
    if process.stdout is not None:
        process.stdout.close()
