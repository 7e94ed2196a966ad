"""Many watch an execution, and it is read once: everybody gets all of it, the slow and the late ones, too."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from cerebelum.backends.conformance.kit import START, log, summary, whole
from cerebelum.core.errors import NotFound
from cerebelum.core.events import Entry
from cerebelum.sdk.verbs import Verbs
from cerebelum.service import recent
from cerebelum.service.reading import Reader
from cerebelum.service.tails import Look, Tails
from cerebelum.store import Change
from tests.lifecycle.world import PATIENCE, World, crash
from tests.stores import open_store

GATES = "name: gates\nsteps:\n" + "".join(
    f"  - {{id: s{n}, run: 'echo said {n}; until test -e go{n}; do sleep 0.02; done'}}\n" for n in range(3)
)


class Counted:
    """A store that counts what is read from it."""

    def __init__(self, url: str) -> None:
        self._store = open_store(url)
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return method(*args, **kwargs)

        return counted if callable(method) else method


@asynccontextmanager
async def following(world: World) -> AsyncIterator[tuple[Tails, Counted]]:
    """Tails of a world's store, and the store; nothing of them is left afterwards."""
    store = Counted(world.url)
    verbs = Verbs(lambda: store, dict, environ=world.environ)
    tails = Tails(Reader(verbs))
    try:
        # Looks that take long are further apart, on a busy machine by many seconds.
        async with asyncio.timeout(2 * PATIENCE):
            yield tails, store
    finally:
        await tails.close()
        verbs.close()


async def everything(tails: Tails, name: str = "x", **how: Any) -> list[Look]:
    async with tails.watch(name, **how) as looks:
        return [look async for look in looks]


def events(looks: Sequence[Look]) -> list[Entry]:
    return [entry for look in looks for entry in look.events]


def printed(looks: Sequence[Look]) -> bytes:
    return b"".join(chunk.data for look in looks for chunk in look.chunks)


async def caught_up(looks: AsyncIterator[Look], type_: str) -> None:
    """Take looks until one has an event of this type."""
    async for look in looks:
        if any(entry.type == type_ for entry in look.events):
            return


def open_gates(world: World) -> None:
    for n in range(3):
        world.write(f"go{n}", "")


def begin(world: World) -> Any:
    process = world.begin(GATES, "-q")
    world.wait_for_event("StepStarted s0")
    return process


def test_two_hundred_watchers_cost_one_reader_and_get_everything(world: World) -> None:
    begin(world)

    async def main() -> None:
        async with following(world) as (tails, store):
            watching = [asyncio.create_task(everything(tails, output_after=0)) for _ in range(200)]
            async with tails.watch("x") as looks:
                await caught_up(looks, "StepStarted")
                before = store.calls["read"]
                open_gates(world)
                heard = await asyncio.gather(*watching)
            versions = list(range(1, world.row().summary.version + 1))
            assert all([entry.version for entry in events(looks)] == versions for looks in heard)
            assert all(looks[-1].over and not any(look.over for look in looks[:-1]) for looks in heard)
            assert {printed(looks) for looks in heard} == {b"said 0\nsaid 1\nsaid 2\n"}
            shown = [[look.standing.status for look in looks if look.standing] for looks in heard]
            assert all(statuses == ["running", "completed"] for statuses in shown)
            assert store.calls["read"] - before < 20
            assert store.calls["read_log"] < 100
            assert tails.watched == 0

    asyncio.run(main())


def test_who_falls_behind_what_is_kept_reads_on_from_the_store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "_MOST_BYTES", 1)
    monkeypatch.setattr(recent, "_PAGE_EVENTS", 2)
    monkeypatch.setattr(recent, "_PAGE_CHUNKS", 1)
    begin(world)

    async def main() -> None:
        async with following(world) as (tails, _), tails.watch("x", output_after=0) as slow:
            found = [await anext(slow)]
            open_gates(world)
            keeping_up = await everything(tails, output_after=0)
            found += [look async for look in slow]
            assert events(found) == events(keeping_up) == world.client.store.read("x")
            assert printed(found) == printed(keeping_up) == b"said 0\nsaid 1\nsaid 2\n"

    asyncio.run(main())


def test_a_watch_goes_on_after_the_version_and_position_it_is_told(world: World) -> None:
    begin(world)
    open_gates(world)
    world.wait_for_event("ExecutionCompleted")

    async def main() -> None:
        async with following(world) as (tails, _):
            whole = await everything(tails, output_after=0)
            first = whole[0]
            rest = await everything(tails, after=4, output_after=first.position)
            assert next(entry.version for entry in events(rest)) == 5
            assert printed([first]) + printed(rest) == b"said 0\nsaid 1\nsaid 2\n"
            beyond = await everything(tails, after=10_000, output_after=2**40)
            assert not events(beyond)
            assert beyond[-1].over

    asyncio.run(main())


def test_the_death_of_the_runner_ends_a_watch(world: World) -> None:
    process = begin(world)

    async def main() -> None:
        async with following(world) as (tails, _), tails.watch("x") as looks:
            await caught_up(looks, "StepStarted")
            crash(process)
            last = [look async for look in looks]
            assert last[-1].over
            standings = [look.standing for look in last if look.standing]
            assert [(at.status, at.reason) for at in standings][-1] == ("paused", "interrupted")

    asyncio.run(main())


def test_an_execution_that_is_not_there_is_not_found(world: World) -> None:
    async def main() -> None:
        async with following(world) as (tails, _):
            with pytest.raises(NotFound):
                await everything(tails)
            assert tails.watched == 0

    asyncio.run(main())


def test_watchers_that_leave_in_the_middle_leave_nothing(world: World) -> None:
    begin(world)

    async def main() -> None:
        async with following(world) as (tails, _):
            before = asyncio.all_tasks()
            watching = [asyncio.create_task(everything(tails, output_after=0)) for _ in range(500)]
            async with tails.watch("x") as looks, tails.changes():
                await caught_up(looks, "StepStarted")
                for task in watching:
                    task.cancel()
                await asyncio.gather(*watching, return_exceptions=True)
            await asyncio.sleep(0)
            assert tails.watched == 0
            assert {task for task in asyncio.all_tasks() - before if not task.done()} == set()

    asyncio.run(main())


def test_closing_ends_every_watch(world: World) -> None:
    begin(world)

    async def main() -> None:
        async with following(world) as (tails, _):
            watching = [asyncio.create_task(everything(tails, output_after=0)) for _ in range(3)]
            async with tails.watch("x") as looks, tails.changes() as changes:
                await caught_up(looks, "StepStarted")
                await tails.close()
                assert [look async for look in looks] == []
                assert [told async for told in changes] == []
            assert not any(look.over for looks in await asyncio.gather(*watching) for look in looks)

    asyncio.run(main())


def test_a_quiet_watch_gives_signs_of_life(world: World) -> None:
    begin(world)

    async def main() -> None:
        async with following(world) as (tails, _):
            async with tails.watch("x", beat=0.01) as looks:
                await caught_up(looks, "StepStarted")
                while (look := await anext(looks)).standing is not None:
                    pass
                assert look == Look()
            async with tails.changes(beat=0.01) as changes:
                while await anext(changes):
                    pass

    asyncio.run(main())


def test_changes_tell_of_what_begins_and_of_who_dies(world: World) -> None:
    async def main() -> None:
        async with following(world) as (tails, store), tails.changes() as changes:
            process = await asyncio.to_thread(begin, world)
            await heard(changes, Change("events", "x"))
            # What nobody has looked at alive is new when it is dead, not changed: let a look begin and end.
            looks = store.calls["find"]
            while store.calls["find"] < looks + 4:
                await asyncio.sleep(0.02)
            crash(process)
            await heard(changes, Change("owner", "x"))

    async def heard(changes: AsyncIterator[Sequence[Change]], wanted: Change) -> None:
        async for told in changes:
            if wanted in told:
                return

    asyncio.run(main())


def test_an_old_execution_that_goes_on_for_a_moment_is_told_of(world: World) -> None:
    store = open_store(world.url)
    store.restore([whole(f"x-{number}", 1, started_at=START + timedelta(hours=number)) for number in range(150)])

    async def main() -> None:
        async with following(world) as (tails, _), tails.changes() as changes:
            # From here on, nothing is missed.
            while Change("unknown") not in await anext(changes):
                pass
            entries = log("x-0", 2)
            ended = summary("x-0", entries, status="completed", ended_at=START)
            await asyncio.to_thread(store.append, "x-0", 1, entries[1:], ended)
            # That it may have been any, since the store has only begun to tell, is also told.
            while not {"x-0", ""} & {change.execution_id for change in await anext(changes)}:
                pass

    asyncio.run(main())
    store.close()


def test_a_listener_that_does_not_listen_grows_no_memory(world: World) -> None:
    async def main() -> None:
        async with following(world) as (tails, _), tails.changes() as changes:
            for number in range(5000):
                tails.tell(Change("events", f"x-{number}"))
            told = await anext(changes)
            assert Change("unknown") in told
            assert len(told) <= 1000

    asyncio.run(main())
