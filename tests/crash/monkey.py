"""A monkey among the runners: kills, stops and continues them at random while a crowd of executions runs.

    python -m tests.crash.monkey [--minutes 3] [--seed 1] [--crowd 40] [--postgres]

Afterwards it lets `supervise` bring everything to its end, and checks the store, every effect and every process. It
prints what it did and what it found; the exit code is 1 if anything does not hold.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from cerebelum.core.errors import CerebelumError, UsageError
from cerebelum.store import Query
from tests.crash.arena import PATIENCE, STORM, Arena, check_effects, stop_hard
from tests.engine.harness import left_of
from tests.servers import keeper
from tests.servers.postgres import with_schema

RUNNERS = 3
"""How many runners and how many supervisors the monkey keeps alive at a time."""
SUPERVISORS = 2


@dataclass(slots=True)
class Monkey:
    """What is going on, and what was done so far."""

    arena: Arena
    chance: Random
    crowd: int
    names: list[str] = field(default_factory=list)
    runners: list[subprocess.Popen[bytes]] = field(default_factory=list)
    supervisors: list[subprocess.Popen[bytes]] = field(default_factory=list)
    stopped: list[subprocess.Popen[bytes]] = field(default_factory=list)
    did: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The program, in a folder of its execution if it has one; what it says goes to a file."""
        path = self.arena.folder / "said" / f"{len(os.listdir(self.arena.folder / 'said')):05}-{arguments[0]}"
        folder = self.arena.folder / "work" / self.names[-1] if arguments[0] == "run" else self.arena.folder
        with path.open("wb") as said:
            return subprocess.Popen(
                self.arena.command(*arguments),
                cwd=folder,
                env={**self.arena.environ, "PYTHONPATH": os.getcwd()},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    # -- what it does -------------------------------------------------------------------------------------------------

    def act(self) -> None:
        """Do one thing."""
        self.bury()
        if len(self.supervisors) < SUPERVISORS:
            self.supervisors.append(self.spawn("supervise", "--max", "4"))
            self.did["supervise"] += 1
        alive = [p for p in (*self.runners, *self.supervisors) if p not in self.stopped]
        wishes = ["start", "start", "resume", "approve", "approve", "approve", "kill", "stop", "continue", "look"]
        wish = self.chance.choice(wishes)
        if wish == "start" and len(self.names) < self.crowd and len(self.runners) < RUNNERS:
            self.start()
        elif wish == "resume" and self.names and len(self.runners) < RUNNERS:
            self.runners.append(self.spawn("resume", self.chance.choice(self.names), "--json"))
        elif wish == "approve":
            self.approve()
        elif wish == "kill" and alive:
            self.chance.choice(alive).send_signal(signal.SIGKILL)
        elif wish == "stop" and alive and len(self.stopped) < 2:
            process = self.chance.choice(alive)
            process.send_signal(signal.SIGSTOP)
            self.stopped.append(process)
        elif wish == "continue" and self.stopped:
            self.stopped.pop(0).send_signal(signal.SIGCONT)
        elif wish == "look":
            self.look()
        else:
            return
        self.did[wish] += 1

    def start(self) -> None:
        self.names.append(f"{self.arena.id}-{len(self.names):03}")
        folder = self.arena.folder / "work" / self.names[-1]
        folder.mkdir(parents=True)
        (folder / "storm.yaml").write_text(STORM)
        self.runners.append(self.spawn("run", "storm.yaml", "--json", "--id", self.names[-1], "--or-resume"))

    def approve(self) -> None:
        client = self.arena.client()
        for row in client.store.find(Query(status=("waiting_for_approval",), limit=3)).rows:
            try:
                client.approve(row.summary.execution_id, by="monkey")
            except UsageError:
                self.did["approve (too late)"] += 1

    def look(self) -> None:
        """No zombie: what is listed as running is owned by a process that lives."""
        page = self.arena.client().list(Query(status=("running",), limit=200))
        for row in page.rows:
            if row.summary.status != "running" or row.runner is None:
                self.problems.append(f"{row.summary.execution_id} is listed among the running ones: {row}")

    def bury(self) -> None:
        for group in (self.runners, self.supervisors, self.stopped):
            for process in [p for p in group if p.poll() is not None]:
                group.remove(process)
                if group is not self.stopped:
                    self.codes[f"{'runner' if group is self.runners else 'supervisor'} {process.returncode}"] += 1

    # -- what has to hold in the end ----------------------------------------------------------------------------------

    def settle(self) -> None:
        """Wake everybody, end them, and have `supervise --once` bring every execution to its end."""
        for process in self.stopped:
            process.send_signal(signal.SIGCONT)
        for process in (*self.runners, *self.supervisors):
            process.send_signal(signal.SIGTERM)
        for process in (*self.runners, *self.supervisors):
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.problems.append(f"process {process.pid} did not end within {PATIENCE:g} s of SIGTERM")
                stop_hard(process)
        self.bury()
        open_ones = self.names
        for _ in range(30):
            open_ones = [n for n in self.names if self.arena.exists(n) and self.arena.ended(n) != "completed"]
            if not open_ones:
                return
            self.approve()
            self.arena.cli("supervise", "--once")
            for name in open_ones:
                # What a SIGTERM has paused, or has been given up, is for people to resume.
                view = self.arena.client().status(name)
                if view.status in ("paused", "failed"):
                    self.did["resume (in the end)"] += 1
                    self.arena.cli("resume", name, "--json")
        self.problems.append(f"not completed in the end: {open_ones}")

    def check(self) -> None:
        """Look at the store, the effects and the processes."""
        verified = self.arena.cli("store", "verify", "--json")
        if verified.code != 0:
            self.problems.append(f"store verify: {verified}")
        for name in [n for n in self.names if self.arena.exists(n)]:
            folder = self.arena.folder / "work" / name
            effects = (folder / "effects").read_text().splitlines() if (folder / "effects").exists() else []
            events = self.arena.client().history(name)
            try:
                check_effects(effects, events)
            except AssertionError as error:
                self.problems.append(f"{name}: {error}")
            if [e.version for e in events] != list(range(1, len(events) + 1)):
                self.problems.append(f"{name}: versions are not contiguous")
            if left_of(f"CEREBELUM_TOKEN={name}."):
                self.problems.append(f"{name}: processes are left: {left_of(f'CEREBELUM_TOKEN={name}.')}")
            self.acknowledged(name, {(e.version, type(e).__name__) for e in events})
        for path in sorted((self.arena.folder / "said").iterdir()):
            text = path.read_text(errors="replace")
            if "Traceback" in text or "database is locked" in text:
                self.problems.append(f"{path.name} said: {text[-2000:]}")

    def acknowledged(self, name: str, stored: set[tuple[int, str]]) -> None:
        import json

        for path in (self.arena.folder / "said").iterdir():
            for line in path.read_bytes().splitlines(keepends=True):
                if line.startswith(b'{"execution_id":"' + name.encode() + b'"') and line.endswith(b"}\n"):
                    event = json.loads(line)
                    if "version" in event and (event["version"], event["type"]) not in stored:
                        self.problems.append(f"{name}: acknowledged and lost: {event}")


def main(arguments: list[str]) -> int:
    """Let the monkey loose; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.monkey")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--crowd", type=int, default=40)
    parser.add_argument("--pace", type=float, default=0.15, help="seconds between two deeds, on average")
    parser.add_argument("--postgres", action="store_true", help="on a Postgres server instead of a file")
    wanted = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="cerebelum-monkey-"))
    (folder / "said").mkdir()
    print(f"monkey: seed {wanted.seed}, {wanted.minutes:g} minutes, up to {wanted.crowd} executions, in {folder}")
    url, servers = f"sqlite:///{folder / 'store' / 'test.db'}", None
    if wanted.postgres:
        servers = keeper.start()
        url = with_schema(keeper.ask("postgres").url, "monkey")
    monkey = Monkey(Arena(folder, url), Random(wanted.seed), wanted.crowd)
    until = time.monotonic() + 60 * wanted.minutes
    try:
        while time.monotonic() < until:
            monkey.act()
            time.sleep(monkey.chance.uniform(0, 2 * wanted.pace))
        monkey.settle()
        monkey.check()
    except CerebelumError as error:
        monkey.problems.append(f"the monkey itself was refused: {error.text()}")
    finally:
        for process in (*monkey.runners, *monkey.supervisors):
            stop_hard(process)
        monkey.arena.close()
        if servers is not None:
            keeper.end(servers)
    return report(monkey, folder)


def report(monkey: Monkey, folder: Path) -> int:
    def counted(counts: Counter[str]) -> str:
        return ", ".join(f"{what}: {count}" for what, count in sorted(counts.items()))

    print(f"did:    {counted(monkey.did)}")
    print(f"ended:  {counted(monkey.codes)}")
    print(f"found:  {len(monkey.names)} executions, {len(monkey.problems)} problems")
    for problem in monkey.problems:
        print(f"  {problem}")
    if monkey.problems:
        print(f"everything is still in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
