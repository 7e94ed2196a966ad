"""A runner that is stopped past its time, taken over, and continued: it writes no more and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import threading

import msgspec
import pytest

from cerebelum.backends.sqlite.holder import holder
from cerebelum.core.errors import OwnedElsewhere
from cerebelum.engine import ownership
from cerebelum.host.clock import SystemClock
from cerebelum.store import Query
from cerebelum.store.liveness import judge
from tests.crash.arena import Arena, stop_hard
from tests.engine.harness import await_words, left_of, said
from tests.lifecycle.world import wait_until

FLOW = """
name: held
steps:
  - parallel:
      - {id: quick, run: 'test -e mended || { echo quick > reached; read x < go; }; echo quick >> effects'}
      - {id: long, run: 'test -e mended || { echo long > reached; sleep 600; }; echo long >> effects'}
"""


class Hasty(SystemClock):
    """A clock on which each look comes 12 s after the last, so that nobody has to wait for a death of half a minute."""

    def __init__(self) -> None:
        self.looks = 0

    def elapsed(self) -> float:
        self.looks += 1
        return 12.0 * self.looks

    def idle(self, seconds: float) -> None:
        return None


def test_a_runner_stopped_past_its_time_and_taken_over_writes_no_more(arena: Arena) -> None:
    arena.write(FLOW, "held.yaml")
    reached, go = arena.fifo("reached"), arena.fifo("go")
    runner = arena.spawn("run", "held.yaml", "--id", arena.id)
    try:
        await_words(reached, 2)
        store = arena.client().store
        # As Ctrl-Z does: one that was stopped in the middle of a transaction would lock the store for everybody.
        runner.send_signal(signal.SIGTSTP)
        os.waitid(os.P_PID, runner.pid, os.WSTOPPED | os.WNOWAIT)
        row = store.find(Query(id=arena.id)).rows[0]
        assert row.runner is not None
        assert judge(row.runner) == "alive", "on its own machine a stopped runner is alive: it holds its lock"
        # Seen from another machine only its beat can tell.
        store.beat(msgspec.structs.replace(row.runner, host="far", boot_id="another", lock="/nonexistent"))
        row = store.find(Query(id=arena.id)).rows[0]
        with ownership.Registration(store, SystemClock(), arena.environ) as successor:
            fence = ownership.take(store, row, successor, Hasty())
            assert (fence.owner, fence.epoch) == (successor.runner.id, 2)
            before = arena.events(arena.id)
            go.write_text("go\n")
            # Before the runner goes on, which ends what is left of its steps.
            wait_until(lambda: arena.lines("effects") == ["quick"], "the end of the step")
            runner.send_signal(signal.SIGCONT)
            ran = arena.see(runner)
            assert ran.code == 4, ran
            assert "another runner has taken over" in ran.error
            assert arena.events(arena.id) == before
            assert left_of(f"CEREBELUM_TOKEN={arena.id}.") == []
            assert store.find(Query(id=arena.id)).rows[0].ownership == fence
            assert store.own(arena.id, None, fence) is not None
        (arena.folder / "mended").touch()
        assert arena.cli("resume", arena.id).code == 0
    finally:
        stop_hard(runner)
    # What the first runner's `quick` did was not recorded, so it was done again: at least once, and completed once.
    assert arena.lines("effects") == ["quick", *sorted(["quick", "long"], key=arena.lines("effects")[1:].index)]
    assert [s for s in said(arena.events(arena.id)) if s.startswith("StepCompleted")] in (
        ["StepCompleted quick", "StepCompleted long"],
        ["StepCompleted long", "StepCompleted quick"],
    )
    assert arena.cli("store", "verify").code == 0


def test_a_runner_whose_beat_goes_on_is_not_taken_over_however_long_it_is_watched(arena: Arena) -> None:
    arena.write(FLOW, "held.yaml")
    reached, _ = arena.fifo("reached"), arena.fifo("go")
    runner = arena.spawn("run", "held.yaml", "--id", arena.id)
    await_words(reached, 2)
    store = arena.client().store
    row = store.find(Query(id=arena.id)).rows[0]
    near = row.runner
    assert near is not None
    try:
        runner.send_signal(signal.SIGTSTP)
        os.waitid(os.P_PID, runner.pid, os.WSTOPPED | os.WNOWAIT)
        far = msgspec.structs.replace(near, host="far", boot_id="another", lock="/nonexistent")
        store.beat(far)
        row = store.find(Query(id=arena.id)).rows[0]
        looked = threading.Event()

        class Watched(Hasty):
            def elapsed(self) -> float:
                if self.looks == 1:
                    # The far runner beats once while it is being watched.
                    store.beat(msgspec.structs.replace(far, beat=far.beat + 1))
                    looked.set()
                return super().elapsed()

            def idle(self, seconds: float) -> None:
                return None

        with (
            ownership.Registration(store, SystemClock(), arena.environ) as successor,
            pytest.raises(OwnedElsewhere, match="far"),
        ):
            ownership.take(store, row, successor, Watched())
        assert looked.is_set()
        assert store.find(Query(id=arena.id)).rows[0].ownership == row.ownership
    finally:
        stop_hard(runner)
        store.beat(near)
        assert arena.cli("cancel", arena.id).code == 0
    assert left_of(f"CEREBELUM_TOKEN={arena.id}.") == []


def test_ctrl_z_never_leaves_the_store_locked(arena: Arena) -> None:
    """Whoever stops a runner stops it between two transactions, and others go on using the store."""
    steps = "".join(f"  - {{id: s{n}, run: 'true'}}\n" for n in range(400))
    # It is not over before it is told so: nobody would be left to be stopped.
    last = "  - {id: end, run: 'while ! test -e go; do sleep 0.05; done'}\n"
    arena.write(f"name: many\nsteps:\n{steps}{last}", "many.yaml")
    runner = arena.spawn("run", "many.yaml", "--id", arena.id, "--json")
    assert runner.stdout is not None
    runner.stdout.readline()
    store = arena.client().store
    near = store.find(Query(id=arena.id)).rows[0].runner
    assert near is not None
    other = msgspec.structs.replace(near, id="other")
    try:
        for number in range(40):
            runner.stdout.readline()
            threading.Event().wait(number / 10_000)  # Each time a little later in what a step takes.
            runner.send_signal(signal.SIGTSTP)
            os.waitid(os.P_PID, runner.pid, os.WSTOPPED | os.WNOWAIT)
            if arena.url.startswith("sqlite:"):
                assert holder(str(arena.store)) is None
            store.beat(other)
            runner.send_signal(signal.SIGCONT)
            os.waitid(os.P_PID, runner.pid, os.WCONTINUED)
        (arena.folder / "go").touch()
        assert arena.see(runner).code == 0
    finally:
        stop_hard(runner)
    assert arena.ended(arena.id) == "completed"
