"""Machines that share a store: one dies, one is frozen, one lives, and another one takes over what it may.

Each machine has its own name, boot id, processes, network and disk; only the store and one folder are shared. Half a
minute has to pass until another machine counts as dead, so that all of it is one test.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cerebelum.app import App
from cerebelum.core.events import StepCompleted, StepStarted
from cerebelum.core.state import State
from cerebelum.sdk.verbs import Verbs
from cerebelum.store import Query, Row
from cerebelum.store.liveness import DEAD_SECONDS
from tests.binary.program import environment, program
from tests.engine.harness import ROOT, left_of

FLOW = """
name: moved
env: {SAY: 'echo "$CEREBELUM_EXECUTION_ID $CEREBELUM_STEP $(uname -n)" >> effects'}
steps:
  - {id: one, run: 'eval "$SAY"; echo made > "$HOME/made"'}
  - {id: two, run: 'eval "$SAY"'}
  - id: three
    run: |
      eval "$SAY"
      until test -e "go-$CEREBELUM_EXECUTION_ID" || test "$(uname -n)" = agent-b; do sleep 0.1; done
  - {id: four, run: 'eval "$SAY"; if test -e "$HOME/made"; then echo here; else echo elsewhere; fi', output: text}
"""
PATIENCE = DEAD_SECONDS + 60
"""Seconds after which something that had to happen counts as never happening."""

# The shell stays: it is the machine's init, with whose end all of the machine ends.
BOOT = """
hostname "$NAME"
mount --bind "$BOOT_ID" /proc/sys/kernel/random/boot_id
mount -t tmpfs disk "$HOME"
"$@"
exit $?
"""
UNSHARE = ("unshare", "--uts", "--pid", "--ipc", "--mount", "--mount-proc", "--fork", "--kill-child")


class Machine:
    """A machine on which the program runs, until that ends or the machine does."""

    def __init__(self, folder: Path, name: str, url: str, *arguments: str) -> None:
        disk, boot_id, self._said = folder / f"disk-{name}", folder / f"boot-{name}", folder / f"stderr-{name}"
        disk.mkdir()
        boot_id.write_text(f"{uuid.uuid4()}\n")
        environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), **environment()}
        environ |= {"NAME": name, "BOOT_ID": str(boot_id), "HOME": str(disk), "TMPDIR": str(disk)}
        # A database that is not reached by a file needs the network.
        alone = ("--net",) if url.startswith("sqlite:") else ()
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [*UNSHARE, *alone, "sh", "-ec", BOOT, "sh", *program(), *arguments],
                cwd=folder,
                env={**environ, "CEREBELUM_STORE": url},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )

    def crash(self) -> None:
        """The power goes out."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def program(self) -> int:
        """The pid of the program on it, as it is seen from outside."""
        [init] = _children(self.process.pid)
        [pid] = _children(init)
        return pid

    def ended(self) -> int:
        """The program's exit code, once it has ended."""
        return self.process.wait(PATIENCE)

    def said(self) -> str:
        return self._said.read_text()


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Site:
    """The machines, and what an onlooker on none of them sees."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.machines: list[Machine] = []
        self.app = App({"CEREBELUM_STORE": url, "HOME": str(folder)})
        (folder / "moved.yaml").write_text(FLOW)

    @property
    def client(self) -> Verbs:
        return self.app.client()

    def boot(self, name: str, *arguments: str) -> Machine:
        machine = Machine(self.folder, name, self.url, *arguments)
        self.machines.append(machine)
        return machine

    def runs(self, host: str, name: str) -> Machine:
        """A machine that runs an execution and is in its third step."""
        machine = self.boot(host, "run", "moved.yaml", "--id", name)
        self.wait_for(lambda: f"{name} three {host}" in self.effects(), f"{name} in its third step", machine)
        return machine

    def effects(self) -> list[str]:
        path = self.folder / "effects"
        return path.read_text().splitlines() if path.exists() else []

    def state(self, name: str) -> State:
        return self.client.status(name).state

    def completed(self, name: str) -> bool:
        return self.state(name).ended == "completed"

    def row(self, name: str) -> Row:
        return self.client.store.find(Query(id=name, limit=1)).rows[0]

    def wait_for(self, condition: Callable[[], Any], what: str, *machines: Machine) -> None:
        pause, end = threading.Event(), time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, (f"{what}: never happened", [m.said() for m in machines])
            pause.wait(0.02)

    def close(self) -> None:
        for machine in self.machines:
            machine.crash()
        self.app.close()


@pytest.fixture(params=["sqlite"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh store that several machines can reach: one parameter for each kind."""
    urls: Mapping[str, str] = {"sqlite": f"sqlite:///{tmp_path / 'shared.db'}"}
    return urls[request.param]


@pytest.fixture
def site(tmp_path: Path, store_url: str) -> Iterator[Site]:
    if subprocess.run([*UNSHARE, "--net", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make namespaces")
    site = Site(tmp_path, store_url)
    yield site
    site.close()


@pytest.mark.needs_tool("unshare", "mount", "hostname")
def test_another_machine_takes_over_what_is_dead_or_frozen_and_nothing_that_lives(site: Site) -> None:
    dead, frozen, alive = (f"{word}-{os.urandom(4).hex()}" for word in ("dead", "frozen", "alive"))
    a, c, d = site.runs("agent-a", dead), site.runs("agent-c", frozen), site.runs("agent-d", alive)
    b = site.boot("agent-b", "supervise")

    # In the middle of a transaction a frozen process would lock a store that is a file for everybody.
    beat = site.row(frozen).runner
    site.wait_for(lambda: site.row(frozen).runner != beat, "a beat", c)
    runner = c.program()
    os.kill(runner, signal.SIGSTOP)
    a.crash()
    began = time.monotonic()

    for name in (dead, frozen):
        site.wait_for(partial(site.completed, name), f"{name} completed", b)
        hosts = {step: at.host for step, at in site.state(name).steps.items()}
        was_on = "agent-a" if name == dead else "agent-c"
        assert hosts == {"one": was_on, "two": was_on, "three": "agent-b", "four": "agent-b"}
        assert f"{name}: resurrected; completed steps one, two ran on {was_on}; files that they left" in b.said()
        assert site.state(name).steps["four"].output == "elsewhere", "the machines share their disks"
    assert time.monotonic() - began >= DEAD_SECONDS - 6, "a beat has to stand still for its time"

    # What was frozen finds out, records nothing, and leaves nothing behind.
    settled = site.client.history(frozen)
    assert left_of(f"CEREBELUM_EXECUTION_ID={frozen}"), "the step was not frozen with its runner"
    os.kill(runner, signal.SIGCONT)
    assert c.ended() == 4, c.said()
    assert "another runner has taken over" in c.said()
    assert site.client.history(frozen) == settled
    assert left_of(f"CEREBELUM_EXECUTION_ID={frozen}") == []

    # What lives has been left to its own.
    assert (site.row(alive).ownership.epoch, site.client.status(alive).status) == (1, "running")
    (site.folder / f"go-{alive}").touch()
    assert d.ended() == 0, d.said()
    assert {at.host for at in site.state(alive).steps.values()} == {"agent-d"}
    assert alive not in b.said()

    for name in (dead, frozen, alive):
        events = site.client.history(name)
        completed = [event.step for event in events if isinstance(event, StepCompleted)]
        assert completed == ["one", "two", "three", "four"]
        starts = [event.step for event in events if isinstance(event, StepStarted)]
        assert starts.count("one") == starts.count("two") == starts.count("four") == 1
    assert not any(verified.flaws for verified in site.client.verify())
    os.kill(b.program(), signal.SIGTERM)
    assert b.ended() == 143, b.said()
