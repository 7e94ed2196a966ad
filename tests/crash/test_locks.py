"""Executions of one group never overlap, wherever they are killed, and one that only stood still is fenced."""

from __future__ import annotations

import os
import signal
from datetime import datetime
from itertools import groupby

import msgspec
import pytest

from cerebelum.core.events import LockAcquired, SleepCompleted, SleepStarted, StepCompleted, StepStarted
from cerebelum.engine.queueing import Line
from cerebelum.store import Query
from cerebelum.store.liveness import judge
from tests.crash.arena import Arena, stop_hard
from tests.crash.test_stopped import Hasty
from tests.engine.harness import await_words, left_of
from tests.lifecycle.world import wait_until

FLOW = """
name: locked
concurrency: production
env: {SAY: 'echo "$CEREBELUM_EXECUTION_ID $CEREBELUM_STEP" >> effects'}
steps:
  - {id: a, run: 'eval "$SAY"'}
  - {id: nap, sleep: 50ms}
  - {id: b, run: 'eval "$SAY"'}
finally:
  - {id: c, run: 'eval "$SAY"'}
"""

HELD = """
name: held
concurrency: production
steps:
  - id: a
    run: 'test -e mended || { echo a > reached; read x < go; }; echo "$CEREBELUM_EXECUTION_ID" >> effects'
  - {id: b, run: 'echo "$CEREBELUM_EXECUTION_ID" >> effects'}
"""

DEEDS = (LockAcquired, StepStarted, StepCompleted, SleepStarted, SleepCompleted)

KILLED = [
    *(f"before-commit:{number}" for number in range(1, 8)),
    *(f"after-commit:{number}" for number in range(1, 8)),
    *("after-claim:1", "before-unclaim:1", "before-spawn:2", "after-spawn:2", "after-exit:2"),
]


@pytest.mark.parametrize("place", KILLED)
def test_wherever_one_is_killed_the_next_one_goes_on_and_the_two_never_overlap(arena: Arena, place: str) -> None:
    arena.write(FLOW, "locked.yaml")
    killed = arena.see(arena.spawn("run", "locked.yaml", "--id", "one", CEREBELUM_FAULT=place))
    assert killed.code == -signal.SIGKILL, killed
    there, over = arena.exists("one"), arena.ended("one") == "completed"
    second = arena.spawn("run", "locked.yaml", "--id", "two")
    try:
        if there and not over and arena.client().status("one").status == "sleeping":
            # What waits for time keeps the lock, although nobody drives it.
            wait_until(lambda: arena.exists("two") and "LockAwaited" in kinds(arena, "two"), "it waits in line")
            assert arena.cli("supervise", "--once").code == 0
        ran = arena.see(second)
    finally:
        stop_hard(second)
    assert ran.code == 0, ran
    arena.see_through("one", "resume", "locked.yaml", "--id", "one")
    assert arena.client().store.claims() == []
    assert not overlapping(arena)
    for name in ("one", "two"):
        # Killed before its end was recorded, a step runs again; nothing is left out.
        assert [step for step, _ in groupby(steps(arena, name))] == ["a", "b", "c"]
    assert arena.cli("store", "verify").code == 0


@pytest.mark.parametrize("place", ["after-claim:1", "after-fence:1", "after-commit:1", "before-commit:2"])
def test_one_that_takes_the_lock_of_a_dead_one_and_dies_is_followed_by_another(arena: Arena, place: str) -> None:
    arena.write(HELD, "held.yaml")
    reached = arena.fifo("reached")
    arena.fifo("go")
    first = arena.spawn("run", "held.yaml", "--id", arena.id)
    await_words(reached, 1)
    stop_hard(first)
    assert left_of(f"CEREBELUM_TOKEN={arena.id}.") != []
    (arena.folder / "mended").touch()
    second = arena.see(arena.spawn("run", "held.yaml", "--id", "second", CEREBELUM_FAULT=place))
    assert second.code == -signal.SIGKILL, second
    assert arena.cli("run", "held.yaml", "--id", "third").code == 0
    # Whoever went on saw to it that nothing of the first one was left.
    assert left_of(f"CEREBELUM_TOKEN={arena.id}.") == []
    assert arena.lines("effects") == ["third", "third"]
    arena.see_through("second", "resume", "held.yaml", "--id", "second")
    assert arena.cli("resume", arena.id).code == 0
    assert arena.lines("effects") == ["third", "third", "second", "second", arena.id, arena.id]
    assert arena.client().store.claims() == []


def test_a_holder_that_stood_still_past_its_time_writes_no_more_once_another_has_the_lock(arena: Arena) -> None:
    arena.write(HELD, "held.yaml")
    reached, _ = arena.fifo("reached"), arena.fifo("go")
    first = arena.spawn("run", "held.yaml", "--id", arena.id)
    try:
        await_words(reached, 1)
        store = arena.client().store
        first.send_signal(signal.SIGTSTP)
        os.waitid(os.P_PID, first.pid, os.WSTOPPED | os.WNOWAIT)
        row = store.find(Query(id=arena.id)).rows[0]
        assert row.runner is not None
        line = Line(store, Hasty())
        assert judge(row.runner) == "alive"
        # On its own machine it is alive, however long it stands still.
        assert [line.still_ahead([arena.id]) for _ in range(9)] == [[arena.id]] * 9
        # Seen from another machine only its beat can tell.
        store.beat(msgspec.structs.replace(row.runner, host="far", boot_id="another", lock="/nonexistent"))
        looks = [line.still_ahead([arena.id]) for _ in range(9)]
        assert looks[0] == [arena.id]
        assert [] in looks
        assert store.claims() == []
        (arena.folder / "mended").touch()
        assert arena.cli("run", "held.yaml", "--id", "second").code == 0
        before = arena.events(arena.id)
        first.send_signal(signal.SIGCONT)
        ran = arena.see(first)
        assert ran.code == 4, ran
        assert "another runner has taken over" in ran.error
        assert arena.events(arena.id) == before
        assert left_of(f"CEREBELUM_TOKEN={arena.id}.") == []
    finally:
        stop_hard(first)
    assert arena.lines("effects")[:2] == ["second", "second"]
    assert arena.cli("resume", arena.id).code == 0
    assert arena.client().store.claims() == []


def test_a_supervisor_that_dies_between_two_of_a_group_is_followed_by_another(arena: Arena) -> None:
    arena.write(FLOW, "locked.yaml")
    names = [f"x{number}" for number in range(4)]
    for name in names:
        # Each sleeps with the lock, or waits for it.
        assert arena.cli("run", "locked.yaml", "--id", name, "--park").code == 75
    places = ("after-commit:2", "before-unclaim:1", "after-commit:3", "before-commit:2", "after-own:2")
    ended = [arena.see(arena.spawn("supervise", "--once", CEREBELUM_FAULT=place)).code for place in places]
    assert -signal.SIGKILL in ended
    wait_until(lambda: all_over(arena, names), "the end of all of them")
    assert not overlapping(arena)
    assert arena.client().store.claims() == []


def all_over(arena: Arena, names: list[str]) -> bool:
    assert arena.cli("supervise", "--once").code == 0
    return all(arena.ended(name) == "completed" for name in names)


def kinds(arena: Arena, name: str) -> list[str]:
    return [type(event).__name__ for event in arena.client().history(name)]


def steps(arena: Arena, name: str) -> list[str]:
    return [step for who, step in (line.split() for line in arena.lines("effects")) if who == name]


def overlapping(arena: Arena) -> list[str]:
    """What executions did without having been the last one that got the lock, in the order in which it was recorded."""
    deeds: list[tuple[datetime, int, str, str]] = []
    for row in arena.client().store.find(Query(limit=99)).rows:
        name = row.summary.execution_id
        deeds += [
            (e.at, e.version, name, type(e).__name__) for e in arena.client().history(name) if isinstance(e, DEEDS)
        ]
    holder, wrong = "", []
    for _, _, name, deed in sorted(deeds):
        holder = name if deed == "LockAcquired" else holder
        if name != holder:
            wrong.append(f"{name}: {deed}")
    return wrong
