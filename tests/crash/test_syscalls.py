"""SIGKILL at system calls: whatever the runner was doing with the kernel, nothing acknowledged is lost.

strace kills the first process that comes to the N-th call of a kind: the runner, or a step of it.
"""

from __future__ import annotations

import os

import pytest

from tests.crash.arena import ROUNDS, Arena, check_effects, chosen
from tests.engine.harness import left_of
from tests.stores import only_sqlite

pytestmark = only_sqlite

EVERYDAY = [
    ("pwrite64", 3),
    ("pwrite64", 40),
    ("fdatasync", 2),
    ("fdatasync", 9),
    ("openat", 400),
    ("unlink", 1),
    ("vfork", 2),
    ("execve", 2),
]
KINDS = {
    "pwrite64": 160,
    "fdatasync": 30,
    "fsync": 4,
    "ftruncate": 3,
    "openat": 700,
    "unlink": 3,
    "mkdir": 6,
    "vfork": 7,
    "execve": 2,
    "fcntl": 500,
    "flock": 1,
    "close": 700,
    "read": 500,
    "write": 40,
    "poll": 10,
    "wait4": 4,
    "pidfd_open": 7,
    "mmap": 300,
    "futex": 100,
}
"""Kinds of calls, and about how often a run makes them in one thread."""


def random_place(seed: int) -> tuple[str, int]:
    chance = chosen(seed)
    kind = chance.choice(sorted(KINDS))
    return kind, chance.randint(1, KINDS[kind])


PLACES = [*EVERYDAY, *(random_place(n) for n in range(ROUNDS))]


@pytest.mark.needs_tool("strace")
@pytest.mark.parametrize(("kind", "number"), PLACES, ids=[f"{n}-{k}-{c}" for n, (k, c) in enumerate(PLACES)])
def test_a_kill_at_a_system_call_loses_nothing(arena: Arena, kind: str, number: int) -> None:
    # Without the approval and its wait, so that the calls come in nearly the same order each time.
    text = (arena.folder / "storm.yaml").read_text().replace("  - {id: go, approval: {message: 'Go?'}}\n", "")
    arena.write(text, "calm.yaml")
    name = arena.id
    strace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={kind}"]
    strace += ["-e", f"inject={kind}:signal=KILL:when={number}"]
    run = ["run", "calm.yaml", "--json", "--id", name]
    killed = arena.see(arena.spawn(*run, before=strace))
    ran = arena.see_through(name, "resume", *run[1:])
    events = arena.client().history(name)
    stored = {(e.version, type(e).__name__) for e in events}
    printed = [event for r in (killed, *ran) for event in r.printed if "type" in event]
    assert {(e["version"], e["type"]) for e in printed} <= stored
    assert [e.version for e in events] == list(range(1, len(events) + 1))
    verified = arena.cli("store", "verify")
    assert verified.code == 0, verified
    assert left_of(f"CEREBELUM_TOKEN={name}.") == []
    if arena.ended(name) == "failed":
        # The kill hit a step, and the runner said so.
        assert arena.cli("resume", name).code == 0
        return
    check_effects(arena.lines("effects"), events)
