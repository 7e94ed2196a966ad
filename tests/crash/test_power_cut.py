"""Power cuts: whatever the disk had not been told to keep may be gone, and yet no acknowledged event is lost."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from cerebelum.backends.sqlite import SqliteStore, headroom, open_store
from cerebelum.core.errors import StoreError
from cerebelum.core.events import AnyEvent, Entry, encode
from cerebelum.core.evolve import evolve
from cerebelum.core.state import State
from cerebelum.core.summary import summarise
from cerebelum.store import Chunk, EventStore, Ownership, Runner
from cerebelum.store.verify import verify
from tests.core.world import World, chain
from tests.crash.arena import ROUNDS
from tests.crash.power import Disk, recorded, restore

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FENCE = Ownership("runner-1", 1)
RUNNER = Runner(
    id="runner-1",
    host="host",
    boot_id="boot",
    pid=1,
    pid_namespace="",
    start_ticks=1,
    started_at=NOW,
    lock="/nonexistent",
)
STEPS = [f"s{n}" for n in range(12)]
EXECUTIONS = 10
ROOM = bytes(headroom._STEP)


class Acknowledged(NamedTuple):
    """An entry whose append has returned."""

    execution_id: str
    entry: Entry


def turns(world: World) -> Iterator[list[AnyEvent]]:
    """The commits of an execution from its start to its end."""
    yield list(world.log)
    for step in STEPS:
        yield world.completes(step, output={"text": "x" * 700})


def work(store: EventStore, disk: Disk) -> Iterator[Acknowledged]:
    """Drive executions as a runner does, with output, beats and records of processes in between."""
    for number in range(EXECUTIONS):
        name = f"release-{number:010}"
        state: State | None = None
        digest = "0" * 64
        for turn, events in enumerate(turns(World(chain(*STEPS)).start())):
            for event in events:
                state = evolve(state, event, name)
            assert state is not None
            entries = encode(name, events, digest)
            digest = entries[-1].digest
            store.append(name, events[0].version - 1, entries, summarise(state, digest), fence=FENCE)
            # Nothing is acknowledged before `append` has returned.
            yield from (Acknowledged(name, entry) for entry in entries)
            store.write_log(name, [Chunk(STEPS[0], 1, turn * 30_000, "stdout", NOW, bytes(30_000))])
            if turn % 4 == 0:
                store.beat(RUNNER)


def images(tmp_path: Path, *, synchronous: str | None = None, most: int) -> tuple[list[Acknowledged], Disk]:
    """Work on a disk that forgets, and the images of about `most` power cuts during it."""
    path = tmp_path / "store.db"
    first = open_store(f"sqlite:///{path}")
    first.beat(RUNNER)
    first.close()
    disk = Disk(cut_every=max(1, 7000 // most))
    acknowledged: list[Acknowledged] = []
    with recorded(path, disk) as store:
        if synchronous is not None:
            weaken(store, synchronous)
        for each in work(store, disk):
            acknowledged.append(each)
            disk.acknowledged = len(acknowledged)
    return acknowledged, disk


def weaken(store: SqliteStore, synchronous: str) -> None:
    for lane in (store._events, store._notes):
        lane.pragmas = (f"PRAGMA synchronous = {synchronous}", *lane.pragmas[1:])


def lost(folder: Path, acknowledged: list[Acknowledged]) -> str | None:
    """What is wrong with the store after the power came back; None if everything acknowledged is there, and sound."""
    store = open_store(f"sqlite:///{folder / 'store.db'}")
    try:
        flaws = [flaw for verified in verify(store) for flaw in verified.flaws]
        if flaws:
            return f"damaged: {flaws}"
        names = {each.execution_id for each in acknowledged}
        stored = {(name, entry) for name in names for entry in store.read(name)}
        missing = [each for each in acknowledged if (each.execution_id, each.entry) not in stored]
        if missing:
            return f"{len(missing)} acknowledged events lost, the first of {missing[0].execution_id}"
        # It has to be of use, too.
        store.beat(RUNNER)
    except StoreError as error:
        return f"cannot be read: {error.text()}"
    finally:
        store.close()
    return None


def losses(tmp_path: Path, acknowledged: list[Acknowledged], disk: Disk) -> list[str]:
    found = []
    for number, (count, image) in enumerate(disk.images):
        folder = tmp_path / "after"
        folder.mkdir()
        restore(image, folder, random.Random(f"cerebelum {number}"))
        problem = lost(folder, acknowledged[:count])
        if problem:
            found.append(f"cut {number}: {problem}")
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    return found


def test_after_a_power_cut_every_acknowledged_event_is_there(tmp_path: Path) -> None:
    acknowledged, disk = images(tmp_path, most=2000 if ROUNDS else 250)
    assert len(acknowledged) == EXECUTIONS * (2 * len(STEPS) + 2)
    assert len(disk.images) > 150
    # Room that was made beforehand is among what may be gone, or be there without what was to be written into it.
    assert any(data == ROOM for _, image in disk.images for held in image.values() for _, data in held.pending)
    assert any(held.pending for _, image in disk.images for held in image.values())
    assert losses(tmp_path, acknowledged, disk) == []


def test_without_syncs_the_same_check_finds_losses(tmp_path: Path) -> None:
    """The check is able to fail: a store that does not sync does lose what it acknowledged."""
    acknowledged, disk = images(tmp_path, synchronous="OFF", most=100)
    assert len(losses(tmp_path, acknowledged, disk)) > 10


@pytest.mark.skipif(not ROUNDS, reason="part of make chaos")
def test_with_fewer_syncs_acknowledged_events_are_lost_too(tmp_path: Path) -> None:
    """Why the store asks for FULL and not for NORMAL where it acknowledges."""
    acknowledged, disk = images(tmp_path, synchronous="NORMAL", most=300)
    assert losses(tmp_path, acknowledged, disk)
