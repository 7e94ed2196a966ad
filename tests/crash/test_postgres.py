"""A server and a network that fail under a run: the steps go on, the engine waits, and nothing gets lost or doubled."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from random import Random

import psycopg
import pytest

from cerebelum.core.events import StepStarted
from cerebelum.engine.ownership import FENCE_SECONDS
from cerebelum.store import Ownership, Query
from cerebelum.store.liveness import DEAD_SECONDS
from tests.crash.arena import PATIENCE, ROUNDS, STORM, Arena, Ran, check, chosen, stop_hard
from tests.engine.harness import await_words, left_of, said
from tests.servers.postgres import Postgres, with_schema
from tests.servers.proxy import Proxy

WIDTH, LENGTH = 4, 5
BUSY = """
name: busy
env: {SAY: 'echo "$CEREBELUM_STEP $CEREBELUM_ATTEMPT" >> effects; echo "this is $CEREBELUM_STEP"'}
steps:
""" + "".join(
    "  - parallel:\n"
    + "".join(f"      - {{id: s{row}{at}, run: 'eval \"$SAY\"; sleep 0.1; echo done'}}\n" for at in range(WIDTH))
    for row in range(LENGTH)
)
STEPS = [f"s{row}{at}" for row in range(LENGTH) for at in range(WIDTH)]


TAKING_OVER = r"SET owner = .*epoch \+ 1"
"""What the statement has in it that makes somebody the owner."""


@contextmanager
def fighting(folder: Path, url: str) -> Iterator[Arena]:
    arena = Arena(folder, url)
    arena.write(BUSY, "busy.yaml")
    arena.write(STORM, "storm.yaml")
    yield arena
    arena.close()


@pytest.fixture
def far(tmp_path: Path, postgres_url: str, proxy: Proxy) -> Iterator[Arena]:
    """An arena whose programs reach the server through `proxy`, while the test itself does without."""
    with fighting(tmp_path, postgres_url) as arena:
        arena.environ["CEREBELUM_STORE"] = proxy.url
        yield arena


@pytest.fixture
def own(tmp_path: Path, own_server: Postgres) -> Iterator[Arena]:
    """An arena with a server that nobody else uses."""
    with fighting(tmp_path, with_schema(own_server.url, "arena")) as arena:
        yield arena


@contextmanager
def again_and_again(deed: Callable[[], object], every: float, most: int = 20) -> Iterator[list[object]]:
    """Do something again and again, from another thread; what is given are its results so far."""
    over = threading.Event()
    results: list[object] = []

    def work() -> None:
        while len(results) < most and not over.wait(every):
            results.append(deed())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield results
    finally:
        over.set()
        thread.join()


def as_if_nothing_had_been(arena: Arena, ran: Ran, *, outputs: bool = True) -> None:
    """`busy` went through: every step was done once, at the first attempt, and all of its output is there."""
    assert ran.code == 0, ran
    check(arena, arena.id, ran.printed)
    events = arena.events(arena.id)
    assert [e.version for e in events] == [said["version"] for said in ran.printed]
    assert sorted(e.step for e in events if isinstance(e, StepStarted)) == sorted(STEPS)
    assert sorted(arena.lines("effects")) == sorted(f"{step} 1" for step in STEPS)
    for step in STEPS if outputs else ():
        assert arena.log(step, name=arena.id) == f"this is {step}\ndone\n".encode()


def busy_during(arena: Arena, deed: Callable[[], object], every: float, most: int = 20) -> tuple[Ran, list[object]]:
    """How a run of `busy` ends while something is done again and again, from its beginning, and what that gave."""
    runner = arena.spawn("run", "busy.yaml", "--json", "--id", arena.id)
    try:
        await_beginning(arena)
        with again_and_again(deed, every, most) as results:
            return arena.see(runner), results
    finally:
        stop_hard(runner)


def await_beginning(arena: Arena) -> None:
    """A server that was never reached would not be waited for."""
    client = arena.client()
    end = time.monotonic() + PATIENCE
    while not client.store.find(Query(id=arena.id)).rows:
        assert time.monotonic() < end, "it did not begin"
        time.sleep(0.02)


# --- the network -----------------------------------------------------------------------------------------------------


def away(proxy: Proxy) -> None:
    proxy.refuse()
    proxy.drop()
    time.sleep(0.7)
    proxy.accept()


def silent(proxy: Proxy) -> None:
    proxy.blackhole()
    time.sleep(0.7)
    proxy.accept()


def slow(proxy: Proxy) -> None:
    proxy.delay(Random().uniform(0, 0.05))


_SOMETIMES = cycle((1, 0))
TROUBLE: dict[str, tuple[Callable[[Proxy], object], float]] = {
    "connections are reset": (Proxy.drop, 0.15),
    "connections are half closed": (Proxy.half_close, 0.15),
    "everything is slow": (slow, 0.1),
    "nobody answers the door": (away, 0.5),
    "nobody answers": (silent, 0.1),
    # Not always: what is sent again is lost again, and would never get through.
    "acknowledgements are lost": (lambda proxy: proxy.lose_acknowledgements(next(_SOMETIMES)), 0.08),
    "requests are lost": (lambda proxy: proxy.lose_requests(next(_SOMETIMES)), 0.08),
}


def calm(proxy: Proxy) -> None:
    proxy.accept()
    proxy.delay(0)
    proxy.lose_requests(0)
    proxy.lose_acknowledgements(0)


@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_run_over_a_bad_network_is_as_if_it_had_been_a_good_one(far: Arena, proxy: Proxy, trouble: str) -> None:
    deed, every = TROUBLE[trouble]
    ran, deeds = busy_during(far, lambda: deed(proxy), every)
    calm(proxy)
    assert deeds
    if "lost" in trouble:
        assert proxy.lost, "nothing went wrong: nothing is proven"
    as_if_nothing_had_been(far, ran)


def test_what_somebody_approves_is_heard_of_although_the_connection_that_tells_was_lost(
    far: Arena, proxy: Proxy
) -> None:
    far.write("steps: [{id: go, approval: {message: m}}, {id: a, run: 'true'}]", "ask.yaml")
    runner = far.spawn("run", "ask.yaml", "--json", "--id", far.id)
    try:
        end = time.monotonic() + 30
        await_beginning(far)
        while far.client().status(far.id).status != "waiting_for_approval":
            assert time.monotonic() < end
            time.sleep(0.05)
        proxy.drop()
        far.approve(far.id)
        began = time.monotonic()
        assert far.see(runner).code == 0
        assert time.monotonic() - began < 10
    finally:
        stop_hard(runner)


@pytest.mark.parametrize("place", ["before-commit:5", "after-commit:5", "after-spawn:3", "after-record:4"])
def test_killed_on_a_bad_network_and_resumed_on_one(far: Arena, proxy: Proxy, place: str) -> None:
    """The network fails, the runner dies, and the network fails on whoever resumes."""
    runner = far.spawn("run", "storm.yaml", "--json", "--id", far.id, CEREBELUM_FAULT=place)
    await_beginning(far)
    with again_and_again(proxy.drop, 0.3), again_and_again(proxy.lose_acknowledgements, 0.5, 8):
        ran = [far.see(runner)]
        assert ran[0].code == -signal.SIGKILL, ran[0]
        while far.ended(far.id) is None:
            ran.append(far.cli("resume", far.id, "--json"))
            # Who has not reached the server yet does not wait for it.
            assert ran[-1].code in (0, 74), ran[-1]
            assert len(ran) < 20
    calm(proxy)
    check(far, far.id, [event for r in ran for event in r.printed])


@pytest.fixture
def orphan(far: Arena) -> Arena:
    """An arena with an execution whose runner was killed."""
    step = "{id: a, run: 'test -e mended || { echo a > reached; sleep 600; }; echo a >> done'}"
    far.write(f"steps: [{step}]", "held.yaml")
    reached = far.fifo("reached")
    runner = far.spawn("run", "held.yaml", "--id", far.id)
    await_words(reached)
    stop_hard(runner)
    (far.folder / "mended").touch()
    return far


def test_who_took_over_and_did_not_hear_of_it_finds_that_out(orphan: Arena, proxy: Proxy) -> None:
    proxy.lose_acknowledgements(1, matching=TAKING_OVER)
    assert orphan.cli("resume", orphan.id).code == 0
    assert proxy.lost == 1
    assert orphan.client().store.find(Query(id=orphan.id)).rows[0].ownership == Ownership(None, 2)


def test_of_those_who_take_over_on_a_bad_network_exactly_one_wins(orphan: Arena, proxy: Proxy) -> None:
    proxy.lose_acknowledgements(3, matching=TAKING_OVER)
    crowd = [orphan.spawn("resume", orphan.id, "--json") for _ in range(5)]
    ran = [orphan.see(process) for process in crowd]
    assert proxy.lost == 3
    # Whoever comes when all is over is told so.
    assert sorted({r.code for r in ran}) in ([0], [0, 4], [0, 2, 4], [0, 2]), ran
    assert not [r.error for r in ran if "Traceback" in r.error]
    assert orphan.lines("done") == ["a"]
    assert said(orphan.events(orphan.id)).count("ExecutionResumed") == 1
    assert left_of(f"CEREBELUM_TOKEN={orphan.id}.") == []


HELD = """
name: held
steps:
  - parallel:
      - {id: a, run: 'test -e mended || { echo a > reached; sleep 600; }; echo a >> done'}
      - {id: b, run: 'test -e mended || { echo b > reached; trap "" TERM; sleep 600; }; echo b >> done'}
"""


def test_where_the_store_stays_away_the_steps_are_ended_before_others_may_take_over(
    tmp_path: Path, postgres_url: str
) -> None:
    """For one runner nobody listens any more, for the other one nobody answers."""
    silent = {}
    with Proxy(postgres_url) as closed, Proxy(postgres_url) as dead:
        worlds = {}
        for name, proxy in (("closed", closed), ("dead", dead)):
            (tmp_path / name).mkdir()
            worlds[name] = arena = Arena(tmp_path / name, postgres_url)
            arena.write(HELD, "held.yaml")
            arena.environ["CEREBELUM_STORE"] = proxy.url
        reached = {name: arena.fifo("reached") for name, arena in worlds.items()}
        runners = {name: arena.spawn("run", "held.yaml", "--id", arena.id) for name, arena in worlds.items()}
        for name in worlds:
            await_words(reached[name], 2)
        closed.refuse()
        closed.drop()
        dead.blackhole()
        gone = time.monotonic()
        # A little before the time is over everybody is still at work.
        time.sleep(FENCE_SECONDS - 7)
        for name, arena in worlds.items():
            assert runners[name].poll() is None
            assert len(left_of(f"CEREBELUM_TOKEN={arena.id}.")) >= 2
        for name, arena in worlds.items():
            while left_of(f"CEREBELUM_TOKEN={arena.id}."):
                time.sleep(0.05)
                assert time.monotonic() - gone < DEAD_SECONDS, f"{name}: the steps went on"
            runner = arena.client().store.find(Query(id=arena.id)).rows[0].runner
            assert runner is not None
            assert runner.silent is not None
            silent[name] = runner.silent
            assert runner.silent < DEAD_SECONDS, f"{name}: others would have taken over before the steps had ended"
        for name, arena in worlds.items():
            ran = arena.see(runners[name])
            assert ran.code == 74, (name, ran)
            assert "Traceback" not in ran.error
            assert "resume" in ran.error
            # It ends, and does not wait for the server for as long as connections are tried.
            assert time.monotonic() - gone < 90, (name, silent)
    for arena in worlds.values():
        arena.environ["CEREBELUM_STORE"] = postgres_url
        assert arena.client().status(arena.id).status == "paused"
        (arena.folder / "mended").touch()
        assert arena.cli("resume", arena.id).code == 0
        assert sorted(arena.lines("done")) == ["a", "b"]
        assert arena.cli("store", "verify").code == 0
        arena.close()


# --- the server ------------------------------------------------------------------------------------------------------

WAITING = (
    """
name: waiting
env: {SAY: 'echo "$CEREBELUM_STEP $CEREBELUM_ATTEMPT" >> effects'}
steps:
  - parallel:
"""
    + "".join(
        f"      - {{id: w{n}, run: 'echo {n} > reached; until test -e go; do sleep 0.05; done; eval \"$SAY\"'}}\n"
        for n in range(4)
    )
    + "  - {id: end, run: 'eval \"$SAY\"'}\n"
)


def test_steps_go_on_while_the_server_is_dead_and_what_they_did_is_recorded_when_it_lives(
    own: Arena, own_server: Postgres
) -> None:
    own.write(WAITING, "waiting.yaml")
    reached = own.fifo("reached")
    runner = own.spawn("run", "waiting.yaml", "--json", "--id", own.id)
    await_words(reached, 4)
    own_server.kill()
    (own.folder / "go").touch()
    end = time.monotonic() + 30
    while len(own.lines("effects")) < 4:
        assert time.monotonic() < end, "the steps did not go on"
        time.sleep(0.02)
    assert runner.poll() is None
    time.sleep(2.0)  # Long enough that a beat is missed and several tries are in vain.
    own_server.start()
    ran = own.see(runner)
    assert ran.code == 0, ran
    check(own, own.id, ran.printed)
    assert own.lines("effects")[-1] == "end 1"
    assert sorted(own.lines("effects")) == ["end 1", *(f"w{n} 1" for n in range(4))]


def test_a_server_that_is_killed_and_restarted_all_the_time_costs_a_run_nothing_but_time(
    own: Arena, own_server: Postgres
) -> None:
    def kill() -> None:
        own_server.kill()
        own_server.start()

    ran, deeds = busy_during(own, kill, 0.3, 4)
    assert deeds
    # Of what steps print, a crash of the server may take the last moments, as a power cut may.
    as_if_nothing_had_been(own, ran, outputs=False)


def test_sessions_that_are_ended_at_random_cost_a_run_nothing(own: Arena, own_server: Postgres) -> None:
    ending = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'cerebelum' AND random() < 0.5"
    )
    with psycopg.connect(own_server.admin, autocommit=True) as admin:

        def end_some() -> int:
            [count] = admin.execute(ending).fetchone() or [0]
            return int(count)

        ran, ended = busy_during(own, end_some, 0.05, 30)
    assert sum(int(str(count)) for count in ended) >= 10
    as_if_nothing_had_been(own, ran)


def test_a_supervisor_outlives_the_server(own: Arena, own_server: Postgres) -> None:
    names = [f"{own.id}-{n}" for n in range(3)]
    for name in names:
        folder = own.folder / name
        folder.mkdir()
        (folder / "busy.yaml").write_text(BUSY)
        runner = own.spawn("run", f"{name}/busy.yaml", "--json", "--id", name, CEREBELUM_FAULT="after-commit:4")
        assert own.see(runner).code == -signal.SIGKILL
    supervisor = own.spawn("supervise", "--once", "--json")
    assert supervisor.stdout is not None
    try:
        # From here on it is at work; until it has found the server once, it may give up.
        assert b"ExecutionResumed" in supervisor.stdout.readline()
        for _ in range(2):
            threading.Event().wait(0.8)
            own_server.kill()
            own_server.start()
        ran = own.see(supervisor)
    finally:
        stop_hard(supervisor)
    assert ran.code == 0, ran
    for name in names:
        assert own.ended(name) == "completed"
        starts = [e.step for e in own.events(name) if isinstance(e, StepStarted)]
        assert set(starts) == set(STEPS)
        # Two of the first four may have been interrupted.
        assert len(starts) <= len(STEPS) + WIDTH
    assert own.cli("store", "verify").code == 0
    assert left_of(f"CEREBELUM_TOKEN={own.id}") == []


# --- a pooler --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "before-commit:6", "after-commit:3", "after-own:1", "after-spawn:2"])
def test_through_pgbouncer_it_is_as_without(tmp_path: Path, pgbouncer_url: str, place: str) -> None:
    with fighting(tmp_path, pgbouncer_url) as arena:
        run = ["storm.yaml", "--json", "--id", arena.id]
        ran = [arena.see(arena.spawn("run", *run, CEREBELUM_FAULT=place))]
        ran += arena.see_through(arena.id, "resume", *run)
        check(arena, arena.id, [event for r in ran for event in r.printed])


@pytest.mark.skipif(not ROUNDS, reason="part of make chaos")
@pytest.mark.parametrize("seed", range(ROUNDS // 4))
def test_anything_may_go_wrong_with_the_network_at_any_time(far: Arena, proxy: Proxy, seed: int) -> None:
    chance = chosen(seed)
    deeds = [deed for deed, _ in TROUBLE.values()]
    ran, _ = busy_during(far, lambda: chance.choice(deeds)(proxy), chance.uniform(0.1, 0.5))
    calm(proxy)
    as_if_nothing_had_been(far, ran)


def test_runners_that_were_stopped_for_longer_than_any_patience_go_on(tmp_path: Path, postgres_url: str) -> None:
    """As a suspended laptop is, in the middle of whatever they do with the server; then their connections are gone."""
    arenas = []
    with Proxy(postgres_url) as proxy:
        for number in range(5):
            (tmp_path / str(number)).mkdir()
            arenas.append(Arena(tmp_path / str(number), postgres_url))
            arenas[-1].write(BUSY, "busy.yaml")
            arenas[-1].environ["CEREBELUM_STORE"] = proxy.url
        runners = [arena.spawn("run", "busy.yaml", "--json", "--id", arena.id) for arena in arenas]
        try:
            for arena in arenas:
                await_beginning(arena)
            proxy.blackhole()
            time.sleep(0.5)
            for runner in runners:
                runner.send_signal(signal.SIGSTOP)
            time.sleep(FENCE_SECONDS + 5)
            proxy.drop()
            proxy.accept()
            for runner in runners:
                runner.send_signal(signal.SIGCONT)
            for arena, runner in zip(arenas, runners, strict=True):
                as_if_nothing_had_been(arena, arena.see(runner))
        finally:
            for arena, runner in zip(arenas, runners, strict=True):
                stop_hard(runner)
                arena.close()
