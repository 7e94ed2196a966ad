"""What follows from the end of an attempt is often decided by the thread of that attempt: nobody can tell."""

from __future__ import annotations

import threading
import time

import pytest

from cerebelum.core.events import AnyEvent, ExecutionCancelled, StepCompleted, StepStarted, encode
from cerebelum.core.evolve import evolve
from cerebelum.core.summary import summarise
from cerebelum.engine.loop import Engine
from cerebelum.engine.requests import pause, request
from cerebelum.host.clock import SystemClock
from cerebelum.store import Query, lookup
from tests.engine.harness import Lab, finished, said, with_listener
from tests.stores import only_sqlite

TASKS = """
    import os, signal
    def nothing():
        pass
    def tell():
        os.kill(os.getpid(), signal.SIGTERM)
"""


def chain(count: int, told: int = -1) -> str:
    """Functions that do nothing, one after the other; number `told` tells the process to stop."""
    names = ["tell" if n == told else "nothing" for n in range(count)]
    steps = "".join(f"  - {{id: s{n}, python: 'tasks.py:{name}'}}\n" for n, name in enumerate(names))
    return f"name: chain\nsteps:\n{steps}"


@pytest.fixture
def tasks(lab: Lab) -> None:
    lab.write(TASKS, "tasks.py")


@pytest.mark.usefixtures("tasks")
@pytest.mark.parametrize("step", ["s0", "s1", "s4"])
def test_what_a_listener_raises_ends_the_run_whichever_event_it_was_told_of(lab: Lab, step: str) -> None:
    def listener(name: str, event: AnyEvent) -> None:
        if isinstance(event, StepCompleted) and event.step == step:
            raise LookupError(step)

    with pytest.raises(LookupError, match=step):
        lab.run(chain(5), settings=with_listener(listener))
    told = said(lab.events())
    assert told.count(f"StepCompleted {step}") == 1
    if step != "s4":
        assert lab.resume().state.ended == "completed"
        assert said(lab.events()).count(f"StepCompleted {step}") == 1


@pytest.mark.usefixtures("tasks")
def test_a_runner_that_was_taken_over_in_the_middle_of_a_chain_writes_nothing_more(lab: Lab) -> None:
    other = lab.client().store

    def listener(name: str, event: AnyEvent) -> None:
        if isinstance(event, StepStarted) and event.step == "s3":
            [row] = other.find(Query(id=name)).rows
            assert other.own(name, "somebody", row.ownership) is not None

    assert lab.run(chain(6), settings=with_listener(listener)).end == "fenced"
    assert said(lab.events())[-1] == "StepStarted s3"


@pytest.mark.usefixtures("tasks")
def test_a_request_is_heeded_by_a_chain_that_never_waits(lab: Lab) -> None:
    other = lab.client().store

    def listener(name: str, event: AnyEvent) -> None:
        if isinstance(event, StepStarted) and event.step == "s3":
            request(other, SystemClock(), name, lambda state, stamp: pause(state, stamp, by="somebody", why=None))

    result = lab.run(chain(1000), settings=with_listener(listener))
    assert result.state.paused is not None
    assert result.state.done < 1000
    assert lab.resume().state.ended == "completed"


@only_sqlite
@pytest.mark.usefixtures("tasks")
def test_a_signal_is_heeded_by_a_chain_that_never_waits(lab: Lab) -> None:
    runner = lab.start("run", lab.write(chain(2000, told=5)))
    code, _, _ = finished(runner)
    assert code == 143
    done = [text for text in said(lab.events()) if text.startswith("StepCompleted")]
    assert 5 <= len(done) < 2000


@only_sqlite
def test_a_runner_that_folds_the_end_which_its_successor_wrote_still_finds_out_that_it_was_taken_over(lab: Lab) -> None:
    lab.write("def wait(context):\n    if context.wait(60): open('told', 'w').close()\n", "tasks.py")
    other = lab.client().store
    engines: list[Engine] = []

    def succeed(name: str) -> None:
        [row] = other.find(Query(id=name)).rows
        taken = other.own(name, "somebody", row.ownership)
        log = lookup.read(other, name)
        end = ExecutionCancelled(version=log.state.version + 1, at=SystemClock().now(), by="somebody")
        entries = encode(name, [end], log.digest)
        summary = summarise(evolve(log.state, end), entries[-1].digest)
        other.append(name, log.state.version, entries, summary, fence=taken)
        # It looks at what was appended before it looks whose it is.
        engines[0]._inbox.put("news")
        while engines[0].state.ended is None:
            time.sleep(0.01)
        engines[0].woken()

    def listener(name: str, event: AnyEvent) -> None:
        if isinstance(event, StepStarted):
            threading.Thread(target=succeed, args=(name,)).start()

    flow = "name: chain\nsteps:\n  - {id: s0, python: 'tasks.py:wait'}\n"
    assert lab.run(flow, settings=with_listener(listener), on_engine=engines.append).end == "fenced"
    assert (lab.folder / "told").exists(), "its step went on to its end"
