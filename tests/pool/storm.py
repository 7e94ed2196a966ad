"""Workers that are killed, stopped, drained and started at random while a crowd of executions goes through a queue.

    python -m tests.pool.storm [--executions 200] [--seed 1] [--restarts 2] [--machines] [--steps] [--pace 0.7]

The server of its own restarts in the middle. At the end every execution has to be complete, every completed step's
effect to be there once, nothing to be left in the queue, and the store to be sound. It prints what it did and found;
the exit code is 1 if anything does not hold. With --steps every other step is one that is handed to a worker. With
--machines (root) half of the workers have boot ids of their own, so that only their beats tell that they are dead,
which takes most of a minute each time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from cerebelum.core.errors import CerebelumError
from cerebelum.core.events import ExecutionResumed, StepReported
from cerebelum.sdk import pool
from tests.lifecycle.world import World
from tests.pool.crew import CHAIN, PLACED, Crew
from tests.servers.postgres import Postgres, programs, with_schema

WORKERS = 4
QUEUES = "build,gpu"
PATIENCE = 240.0
"""Seconds without any progress after which it counts as stuck."""


class Storm:
    """What is going on, and what was done so far."""

    def __init__(self, crew: Crew, server: Postgres | None, chance: Random, machines: bool) -> None:
        self.crew, self.server, self.chance, self.machines = crew, server, chance, machines
        self.did: Counter[str] = Counter()
        self.stopped: list[int] = []

    def man(self) -> None:
        """Have as many workers as there are to be."""
        self.crew.bury()
        while len(self.crew.workers) < WORKERS:
            machine = self.machines and self.chance.random() < 0.5
            concurrency = str(self.chance.choice((1, 2, 3)))
            options = ("--concurrency", concurrency, "--resurrections", "1000", "--labels", "a100")
            self.crew.hire(*options, queue=QUEUES, machine=machine)
            self.did["start"] += 1

    def act(self) -> None:
        """Do one thing to some worker."""
        self.man()
        worker = self.chance.choice(self.crew.workers)
        wish = self.chance.choice(("kill", "kill", "stop", "continue", "term", "drain"))
        if wish == "kill":
            worker.kill()
        elif wish == "stop" and len(self.stopped) < 2:
            worker.send_signal(signal.SIGSTOP)
            self.stopped.append(worker.pid)
        elif wish == "continue" and self.stopped:
            self.wake()
        elif wish == "term" and worker.pid not in self.stopped:
            worker.terminate()
        elif wish == "drain":
            self.drain()
        else:
            return
        self.did[wish] += 1

    def wake(self) -> None:
        pid = self.stopped.pop(0)
        for worker in self.crew.workers:
            if worker.pid == pid:
                worker.send_signal(signal.SIGCONT)

    def drain(self) -> None:
        workers = pool.overview(self.crew.world.client).workers
        if workers:
            try:
                pool.drain(self.crew.world.client, self.chance.choice(workers).runner.id)
            except CerebelumError:
                self.did["drain (dead)"] += 1

    def restart(self) -> None:
        if self.server is not None:
            self.server.restart()
            self.did["server restart"] += 1

    def run(self, executions: int, restarts: int, pace: float) -> None:
        """Storm until all is done, the last third in peace."""
        due = [executions * (at + 1) // (restarts + 2) for at in range(restarts)]
        left, moved = self.crew.going_on(), time.monotonic()
        while left:
            self.man()
            if due and executions - left >= due[0]:
                due.pop(0)
                self.restart()
            if left > executions // 8:
                self.act()
            else:
                while self.stopped:
                    self.wake()
            time.sleep(self.chance.uniform(0, 2 * pace))
            now = self.crew.going_on()
            if now != left:
                left, moved = now, time.monotonic()
            if time.monotonic() - moved > PATIENCE:
                raise AssertionError(
                    f"nothing moves any more: {left} are left\n{pool.overview(self.crew.world.client)}"
                )

    def check(self, names: list[str]) -> None:
        """Raises AssertionError for what does not hold."""
        for name in names:
            self.crew.check(name)
        assert self.crew.world.sound()

    def left(self) -> list[pool.Queue]:
        """The queues that are not empty."""
        found = pool.overview(self.crew.world.client)
        return [q for q in found.queues if q.depth.waiting or q.depth.later or q.depth.taken]

    def report(self, names: list[str]) -> str:
        self.did["steps reported"] = sum(
            isinstance(e, StepReported) for name in names for e in self.crew.world.events(name)
        )
        reasons = Counter(
            e.reason for name in names for e in self.crew.world.events(name) if isinstance(e, ExecutionResumed)
        )
        counted = ", ".join(f"{what}: {count}" for what, count in sorted(self.did.items()))
        codes = ", ".join(f"{code}: {count}" for code, count in sorted(Counter(self.crew.codes).items()))
        return f"did:    {counted}\nended:  {codes}\nresumed: {dict(reasons)}"


def storm(
    world: World,
    server: Postgres | None,
    *,
    executions: int,
    seed: int,
    restarts: int,
    machines: bool,
    pace: float,
    steps: bool = False,
) -> str:
    """All of it, in a world; what it did. Raises AssertionError for what does not hold."""
    crew = Crew(world)
    one = Storm(crew, server, Random(seed), machines)
    file = world.flow(PLACED if steps else CHAIN)
    names = [f"storm-{number:03}" for number in range(executions)]
    try:
        for name in names:
            crew.submit(file, name)
        one.run(executions, restarts, pace)
        crew.dismiss()
        # A job is finished a moment after its execution has ended: whoever was killed in between has left it behind,
        # and seems to be on another machine, whose silence tells.
        crew.hire("--labels", "a100", queue=QUEUES)
        end = time.monotonic() + PATIENCE
        while one.left():
            assert time.monotonic() < end, f"left in the queues: {one.left()}"
            time.sleep(0.2)
        crew.dismiss()
        one.check(names)
    finally:
        crew.close()
    return one.report(names)


def main(arguments: list[str]) -> int:
    """The script; returns the exit code."""
    parser = argparse.ArgumentParser(prog="storm", description="kill, stop and drain workers at random")
    parser.add_argument("--executions", type=int, default=200)
    parser.add_argument("--restarts", type=int, default=2)
    parser.add_argument("--pace", type=float, default=0.7, help="seconds between two deeds, on average")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--machines", action="store_true", help="half of the workers with boot ids of their own")
    parser.add_argument("--steps", action="store_true", help="every other step on a worker of another queue")
    wanted = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="cerebelum-storm-"))
    print(f"storm: seed {wanted.seed}, {wanted.executions} executions, in {folder}", flush=True)
    binaries = programs()
    assert binaries is not None, "no Postgres is installed"
    server = Postgres(Path(tempfile.mkdtemp(prefix="cerebelum-storm-server-")) / "server", binaries)
    os.chmod(server.folder.parent, 0o755)
    began = time.monotonic()
    try:
        server.start()
        world = World(folder, with_schema(server.url, "storm"))
        try:
            said = storm(world, server, **vars(wanted))
        except AssertionError as problem:
            print(f"PROBLEM: {problem}\neverything is still in {folder}")
            return 1
        finally:
            world.close()
    finally:
        if server.process is not None:
            server.kill()
        shutil.rmtree(server.folder.parent)
    print(f"{said}\nall is well after {time.monotonic() - began:.0f} s")
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
