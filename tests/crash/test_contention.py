"""Many processes on one store at once: nobody sees a lock, nothing gets lost, and one wins what one may."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections import Counter

import pytest

from cerebelum.backends.conformance.kit import Other, create, results, sound
from tests.crash.arena import PATIENCE, ROUNDS, Arena, stop_hard
from tests.engine.harness import await_words, left_of, said
from tests.stores import open_store

CROWD = 32 if ROUNDS else 8
APPENDS = 15
"""Entries that each process appends."""

HELD = """
name: held
steps:
  - {id: a, run: echo a >> effects}
  - {id: b, run: 'echo b > reached; read x < go; echo b >> effects'}
"""


def test_processes_that_append_at_once_leave_no_gap_and_no_duplicate(store_url: str) -> None:
    store = open_store(store_url)
    names = ["x-0000000001", "x-0000000002"]
    for name in names:
        create(store, name)
    crowd = [Other(open_store, store_url, "push_all", [str(APPENDS), names[n % 2]]) for n in range(CROWD)]
    won = results(crowd)
    for n, name in enumerate(names):
        assert sound(store, name) == 1 + CROWD // 2 * APPENDS
        told = sorted(version for mine in won[n::2] for version in mine[name])
        assert told == list(range(2, 2 + CROWD // 2 * APPENDS)), "an append was reported that is not there"
    for each in crowd:
        each.end()
    store.close()


def first_to_end(crowd: list[subprocess.Popen[bytes]], count: int) -> list[subprocess.Popen[bytes]]:
    """Those `count` processes that end first."""
    ended: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()

    def wait(process: subprocess.Popen[bytes]) -> None:
        process.wait()
        ended.put(process)

    for process in crowd:
        threading.Thread(target=wait, args=(process,), daemon=True).start()
    return [ended.get(timeout=PATIENCE) for _ in range(count)]


@pytest.mark.parametrize("count", [2, CROWD])
def test_of_simultaneous_resumes_exactly_one_wins_and_the_others_name_it(arena: Arena, count: int) -> None:
    arena.write(HELD, "held.yaml")
    reached, _ = arena.fifo("reached"), arena.fifo("go")
    runner = arena.spawn("run", "held.yaml", "--id", arena.id, "--json")
    await_words(reached)
    stop_hard(runner)
    crowd = [arena.spawn("resume", arena.id, "--json") for _ in range(count)]
    try:
        await_words(reached)
        losers = first_to_end(crowd, count - 1)
        [winner] = [p for p in crowd if p not in losers]
        for process in losers:
            ran = arena.see(process)
            assert ran.code == 4, ran
            assert f"process {winner.pid}" in ran.error
            assert "locked" not in ran.error
        (arena.folder / "go").write_text("go\n")
        assert arena.see(winner).code == 0
    finally:
        for process in crowd:
            stop_hard(process)
    assert arena.lines("effects") == ["a", "b"]
    assert said(arena.events(arena.id)).count("ExecutionResumed") == 1
    assert left_of(f"CEREBELUM_TOKEN={arena.id}.") == []


def test_processes_that_start_and_resume_the_same_ids_at_once_complete_each_of_them_once(arena: Arena) -> None:
    """Some start, some lose; those who lost are told who won, and nobody is told about a lock."""
    steps = "\n".join(f"  - {{id: s{n}, run: 'echo $CEREBELUM_EXECUTION_ID s{n} >> effects'}}" for n in range(6))
    arena.write(f"name: many\nsteps:\n{steps}\n", "many.yaml")
    names = [f"{arena.id}-{n}" for n in range(CROWD // 2)]
    crowd = [arena.spawn("run", "many.yaml", "--id", name, "--or-resume", "--json") for name in names * 2]
    ran = [arena.see(process) for process in crowd]
    assert {r.code for r in ran} <= {0, 2, 4}, ran
    assert not [r.error for r in ran if "locked" in r.error or "Traceback" in r.error]
    for name in names:
        assert any(r.code == 0 for r, own in zip(ran, names * 2, strict=True) if own == name)
        assert arena.client().status(name).status == "completed"
    assert Counter(arena.lines("effects")) == Counter(f"{name} s{n}" for name in names for n in range(6))
    assert arena.cli("store", "verify").code == 0
