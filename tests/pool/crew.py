"""Real workers on a real server, as machines with names of their own, and with boot ids of their own if wanted."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from pathlib import Path

from cerebelum.app import App
from cerebelum.core.events import Queued
from cerebelum.sdk import pool
from cerebelum.store import Query
from tests.crash.arena import check_effects
from tests.lifecycle.world import World

# What a step does is noted once per attempt, and checked against the log.
STEPS = 10
EFFECT = 'echo "$CEREBELUM_STEP $CEREBELUM_ATTEMPT" >> effects-$CEREBELUM_EXECUTION_ID'
_LINES = "".join(f"  - {{id: s{at}, run: 'sleep 0.0{at % 4}; {EFFECT}'}}\n" for at in range(STEPS))
CHAIN = f"name: chain\nportable: true\nsteps:\n{_LINES}"

_PLACED = "".join(
    f"  - {{id: s{at}, run: 'sleep 0.0{at % 4}; {EFFECT}'{', runs_on: {queue: gpu, labels: [a100]}' * (at % 2)}}}\n"
    for at in range(STEPS)
)
PLACED = f"name: placed\nportable: true\nsteps:\n{_PLACED}"
"""The same, with every other step on a worker of another queue."""

_BOOT = 'mount --bind "$BOOT_ID" /proc/sys/kernel/random/boot_id; exec "$@"'
"""What makes a process believe that it is on another machine."""


class Crew:
    """The workers of a test, in one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.app = App(world.environ)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.codes: list[int] = []
        (world.folder / "said").mkdir()

    def hire(
        self, *options: str, queue: str = "build", machine: bool = False, host: str = ""
    ) -> subprocess.Popen[bytes]:
        """Start a worker on a host of its own, or on `host`; `machine`: also with a boot id of its own: needs root."""
        number = f"{len(os.listdir(self.world.folder / 'said')):03}"
        said = self.world.folder / "said" / number
        env = {**self.world.environ, "CEREBELUM_HOST": host or f"agent-{number}"}
        before: list[str] = []
        if machine:
            boot_id = self.world.folder / f"boot-{number}"
            boot_id.write_text(f"{uuid.uuid4()}\n")
            env["BOOT_ID"] = str(boot_id)
            before = ["unshare", "--mount", "sh", "-ec", _BOOT, "sh"]
        from tests.binary.program import program

        with said.open("wb") as out:
            worker = subprocess.Popen(
                [*before, *program(), "worker", "--queue", queue, *options],
                cwd=self.world.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.workers.append(worker)
        return worker

    def said(self) -> str:
        """What all workers have said."""
        return "\n".join(path.read_text() for path in sorted((self.world.folder / "said").iterdir()))

    def submit(self, file: Path, name: str, *, queue: str = "build", priority: int = 0) -> None:
        pool.submit(
            self.app.client(),
            file,
            {},
            Queued(queue, priority),
            execution_id=name,
            working_dir=self.world.folder,
        )

    def bury(self) -> None:
        """Take note of those that have ended."""
        for worker in [w for w in self.workers if w.poll() is not None]:
            self.workers.remove(worker)
            assert worker.returncode is not None
            self.codes.append(worker.returncode)

    def dismiss(self) -> None:
        """End all of them, in order where they heed that."""
        for worker in self.workers:
            worker.send_signal(signal.SIGCONT)
            worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                worker.wait(30)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self.bury()

    def close(self) -> None:
        """Leave nothing behind."""
        self.dismiss()
        self.app.close()

    def going_on(self) -> int:
        """How many executions have not ended."""
        store = self.world.client.store
        return len(
            store.find(Query(status=("queued", "running", "sleeping", "waiting_for_worker", "paused"), limit=1000)).rows
        )

    def check(self, name: str) -> None:
        """An execution completed, and every completed step took effect once."""
        events = self.world.events(name)
        assert self.world.state(name).ended == "completed", (name, self.world.said(name))
        check_effects(self.world.lines(f"effects-{name}"), events)
