"""Executions without running anything: completed ones with a little output, as many as are wanted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cerebelum.core.events import (
    GENESIS,
    AnyEvent,
    Environment,
    ExecutionCompleted,
    ExecutionStarted,
    StepCompleted,
    StepStarted,
    encode,
)
from cerebelum.core.evolve import evolve
from cerebelum.core.model import Source, Step, Workflow
from cerebelum.core.state import State
from cerebelum.core.summary import summarise
from cerebelum.store import Chunk, EventStore, Whole

START = datetime(2026, 1, 2, tzinfo=UTC)
STEPS = 14
_BATCH = 200


def execution(number: int, steps: int = STEPS, tags: tuple[str, ...] = ("nightly",)) -> Whole:
    """One of two events for each step, and two more; it started `number` seconds after START."""
    name = f"made-{number:07}"
    bodies = tuple(Step(id=f"s{at}", executor="run", body=f"make part-{at}", line=at + 2) for at in range(steps))
    workflow = Workflow(name=f"made-{number % 7}", steps=bodies)
    at = START + timedelta(seconds=number)
    events: list[AnyEvent] = [
        ExecutionStarted(
            version=1,
            at=at,
            workflow=workflow.name,
            definition=workflow,
            source=Source(kind="yaml", path="/srv/made/made.yaml", digest="0" * 64),
            inputs={"n": number},
            environment=Environment(host="maker", cwd="/srv/made", platform="Linux", version="0"),
            tags=tags,
        )
    ]
    for step in bodies:
        version = len(events) + 1
        events.append(StepStarted(version=version, at=at, step=step.id, attempt=1, executor="run"))
        done = StepCompleted(version=version + 1, at=at, step=step.id, attempt=1, output="x" * 100, duration=0.25)
        events.append(done)
    events.append(ExecutionCompleted(version=len(events) + 1, at=at))
    entries = encode(name, events, GENESIS)
    state: State | None = None
    for event in events:
        state = evolve(state, event, name)
    assert state is not None
    return Whole(summarise(state, entries[-1].digest), 1, entries)


def fill(store: EventStore, count: int, steps: int = STEPS) -> None:
    """Put so many of them, with a piece of output each, into a store."""
    for begin in range(0, count, _BATCH):
        batch = [execution(number, steps) for number in range(begin, min(count, begin + _BATCH))]
        for whole in batch:
            chunk = Chunk("s0", 1, 0, "stdout", START, b"made part-0\n" * 20)
            store.write_log(whole.summary.execution_id, [chunk])
        store.restore(batch)
