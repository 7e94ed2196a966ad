"""SIGKILL at every named point and at random times: what was acknowledged is there, and nothing completed runs again.

`CEREBELUM_CHAOS_ROUNDS=200` runs that many rounds instead of the everyday twenty.
"""

from __future__ import annotations

import signal
from typing import NamedTuple

import pytest

from cerebelum.host.faults import POINTS
from cerebelum.store import Page, Query
from tests.crash.arena import ROUNDS, Arena, Ran, check, chosen, stop_hard
from tests.engine.harness import await_words, left_of


class Round(NamedTuple):
    """Where a runner, and perhaps the one that takes over, is killed; a number is seconds from its start."""

    first: str | float
    second: str | float | None = None
    way: str = "resume"
    fail: bool = False


EVERYDAY = [
    Round("before-commit:1"),
    Round("before-commit:2", way="supervise"),
    Round("before-commit:6", "after-own:1"),
    Round("before-commit:14", way="supervise", fail=True),
    Round("after-commit:1", way="supervise"),
    Round("after-commit:3", "after-own:1", way="supervise"),
    Round("after-commit:9"),
    # `left` and the first attempt of `flaky` may end in one commit, so that there are 14 or 15.
    Round("after-commit:14"),
    Round("before-spawn:1", "before-commit:1"),
    Round("before-spawn:6", way="supervise", fail=True),
    Round("after-spawn:2", way="supervise"),
    Round("after-spawn:5"),
    Round("after-record:3"),
    Round("after-record:7", way="supervise", fail=True),
    Round("after-exit:4"),
    Round("after-exit:5", "after-exit:1", way="supervise"),
    Round("before-log-flush:1"),
    Round("after-log-flush:2", "after-commit:2", fail=True),
    Round(0.35, 0.45),
    Round(0.6, way="supervise"),
]
_MOST = {"commit": 14, "spawn": 7, "record": 7, "exit": 7, "flush": 2}
"""How often an undisturbed run comes to each kind of point."""


def random_round(seed: int) -> Round:
    chance = chosen(seed)

    def place() -> str | float:
        if chance.random() < 0.3:
            return round(chance.uniform(0.05, 1.2), 3)
        point = chance.choice([p for p in POINTS if p.rpartition("-")[2] in _MOST])
        return f"{point}:{chance.randint(1, _MOST[point.rpartition('-')[2]])}"

    second = chance.choice([None, "after-own:1", place()])
    return Round(place(), second, chance.choice(["resume", "supervise"]), chance.random() < 0.3)


ALL = [(n, r) for n, r in enumerate(EVERYDAY)][: ROUNDS or None]
ALL += [(n, random_round(n)) for n in range(len(EVERYDAY), ROUNDS)]


@pytest.mark.parametrize(("number", "killed"), ALL, ids=[f"{n}-{r.first}-{r.second or ''}" for n, r in ALL])
def test_nothing_is_lost_and_nothing_completed_runs_again(arena: Arena, number: int, killed: Round) -> None:
    name = arena.id
    run = ["storm.yaml", "--json", "--id", name, "--input", f"fail={str(killed.fail).lower()}"]
    ran = [killed_at(arena, killed.first, "run", *run)]
    if number < len(EVERYDAY) and isinstance(killed.first, str):
        assert ran[0].code == -signal.SIGKILL, ran[0]
    if killed.second is not None and arena.exists(name) and arena.ended(name) is None:
        arena.approve(name)
        again = ["resume", name, "--json"] if killed.way == "resume" else ["supervise", "--once"]
        ran.append(killed_at(arena, killed.second, *again))
    if arena.exists(name) and arena.ended(name) is None:
        shown = arena.client().status(name)
        assert shown.status in ("paused", "sleeping", "waiting_for_approval"), shown.status
    ran += arena.see_through(name, killed.way, *run)
    check(arena, name, [event for r in ran for event in r.printed])
    assert not any("Traceback" in r.error for r in ran)


def killed_at(arena: Arena, place: str | float, *arguments: str) -> Ran:
    if isinstance(place, str):
        return arena.see(arena.spawn(*arguments, CEREBELUM_FAULT=place))
    return arena.see(arena.spawn(*arguments), kill_after=place)


LEAVING = """
name: leaving
steps:
  - id: serve
    run: |
      if test -e left; then
        ! grep '^State:.[^ZX]' /proc/$(cat left)/status || { echo still alive; exit 1; }
        exit 0
      fi
      setsid sh -c 'echo $$ > left.new; mv left.new left; exec sleep 600' < /dev/null > /dev/null 2>&1 &
      while ! test -e left; do :; done
      echo x > reached
      sleep 600
"""


@pytest.mark.parametrize("way", ["resume", "supervise"])
def test_what_a_killed_runner_left_running_is_dead_before_the_step_runs_again(arena: Arena, way: str) -> None:
    arena.write(LEAVING, "leaving.yaml")
    reached = arena.fifo("reached")
    runner = arena.spawn("run", "leaving.yaml", "--id", arena.id)
    await_words(reached)
    stop_hard(runner)
    assert int(arena.lines("left")[0]) in left_of(f"CEREBELUM_TOKEN={arena.id}.")
    arena.see_through(arena.id, way)
    assert arena.ended(arena.id) == "completed"
    assert left_of(f"CEREBELUM_TOKEN={arena.id}.") == []


def test_what_was_approved_while_nobody_drives_it_is_not_listed_as_running(arena: Arena) -> None:
    arena.write("name: ask\nsteps:\n  - {id: go, approval: {message: 'Go?'}}\n", "ask.yaml")
    assert arena.cli("run", "ask.yaml", "--park", "--id", arena.id).code == 75
    arena.approve(arena.id)
    client = arena.client()
    assert client.list(Query(status=("running",), count_to=9)) == Page([], False, 0)
    assert [row.summary.status for row in client.list(Query(status=("paused",))).rows] == ["paused"]
    assert arena.cli("supervise", "--once").code == 0
    assert arena.ended(arena.id) == "completed"
