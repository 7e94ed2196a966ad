"""Streams in one process: many watchers, slow ones, lost ones, and what is left of them."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from cerebelum.sdk.verbs import Verbs
from cerebelum.service.web.limits import Limits
from tests.lifecycle.world import PATIENCE, World, crash
from tests.service.conftest import MENDABLE, WAITING, Within, within
from tests.service.test_tails import GATES, Counted
from tests.stores import only_sqlite

STREAM = "/api/v1/executions/x/stream"


async def data(lines: AsyncIterator[str], kind: str) -> AsyncIterator[Any]:
    """The data of a stream's messages of this kind."""
    now = ""
    async for line in lines:
        if line.startswith("event: "):
            now = line.removeprefix("event: ")
        elif line.startswith("data: ") and now == kind:
            yield json.loads(line.removeprefix("data: "))


async def whole(at: Within, path: str = STREAM, **query: Any) -> list[Any]:
    async with at.http.stream("GET", path, params=query) as answer:
        assert answer.status_code == 200
        return [event async for event in data(answer.aiter_lines(), "event")]


def begun(world: World) -> Any:
    process = world.begin(WAITING, "-q")
    world.wait_for_line("at")
    return process


def test_two_hundred_watchers_cost_one_reader(world: World) -> None:
    begun(world)
    store = Counted(world.url)
    verbs = Verbs(lambda: store, dict, environ=world.environ)

    async def main() -> None:
        async with within(world, verbs=verbs) as at, asyncio.timeout(PATIENCE):
            watching = [asyncio.create_task(whole(at)) for _ in range(200)]
            async with at.http.stream("GET", STREAM) as answer:
                await anext(data(answer.aiter_lines(), "event"))
                while at.server.application.slots.taken < 201:
                    await asyncio.sleep(0.01)
                before = store.calls["read"]
                world.write("open", "")
                heard = await asyncio.gather(*watching)
            assert all(events == heard[0] for events in heard)
            assert [event["version"] for event in heard[0]] == list(range(1, world.row().summary.version + 1))
            assert store.calls["read"] - before < 20

    asyncio.run(main())


def test_the_death_of_the_runner_is_told(world: World) -> None:
    process = begun(world)

    async def main() -> None:
        async with within(world) as at, asyncio.timeout(PATIENCE), at.http.stream("GET", STREAM) as answer:
            told = data(answer.aiter_lines(), "status")
            assert await anext(told) == {"status": "running", "reason": None}
            crash(process)
            assert await anext(told) == {"status": "paused", "reason": "interrupted"}
            assert [one async for one in told] == []

    asyncio.run(main())


def test_a_thousand_streams_that_are_dropped_leave_nothing(world: World) -> None:
    begun(world)

    async def main() -> None:
        async with within(world) as at, asyncio.timeout(4 * PATIENCE):
            async with at.http.stream("GET", STREAM) as answer, at.http.stream("GET", "/api/v1/stream"):
                await anext(data(answer.aiter_lines(), "event"))
            # All threads that there may be are there.
            read = at.server.application.tails.read
            await asyncio.gather(*(read(lambda verbs: verbs.store.read("x")) for _ in range(100)))
            await gone(at, 0)
            before = None
            for _ in range(5):
                held = []
                for number in range(250):
                    reader, writer = await asyncio.open_connection(at.address.host, at.address.port)
                    path = STREAM if number % 2 else "/api/v1/stream"
                    writer.write(f"GET {path}?after=0 HTTP/1.1\r\nHost: {at.address.text()}\r\n\r\n".encode())
                    held.append((reader, writer))
                for number, (reader, _) in enumerate(held):
                    await reader.readuntil(b"event: event" if number % 2 else b"\r\n\r\n")
                # Half of them say goodbye, the others just are no more.
                for number, (_, writer) in enumerate(held):
                    writer.close() if number % 4 < 2 else writer.transport.abort()
                del held, reader, writer
                await gone(at, 0)
                # What is made once for all is there after the first ones.
                before = before or census()
            assert census() == before

    def census() -> tuple[int, int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count(), len(asyncio.all_tasks())

    asyncio.run(main())


async def gone(at: Within, left: int) -> None:
    """Wait until there are no more streams, connections and tails than these."""
    while (
        at.server.application.slots.taken > left
        or at.server.application.tails.watched > left
        or at.server.connections > left + 1
    ):
        await asyncio.sleep(0.01)


@only_sqlite
def test_who_does_not_read_is_let_go_and_comes_back(world: World) -> None:
    limits = msgspec.structs.replace(Limits(), send_seconds=0.2, close_seconds=0.2)
    world.run("steps: [{id: a, run: 'head -c 9000000 /dev/zero | tr \\\\0 x'}]", "-q")
    text = b"".join(chunk.data for chunk in world.client.logs("x")).decode()
    assert len(text) == 9_000_000

    async def main() -> None:
        async with within(world, limits=limits) as at, asyncio.timeout(2 * PATIENCE):
            reader, writer = await asyncio.open_connection(at.address.host, at.address.port, limit=1024)
            writer.write(f"GET {STREAM}?output=1 HTTP/1.1\r\nHost: {at.address.text()}\r\n\r\n".encode())
            await reader.readuntil(b"ExecutionStarted")
            await gone(at, 0)
            writer.close()
            found = ""
            async with at.http.stream("GET", STREAM, params={"output": "1"}) as answer:
                async for page in data(answer.aiter_lines(), "output"):
                    found += "".join(line["text"] for line in page["lines"])
            assert found == text

    asyncio.run(main())


def test_a_client_that_comes_back_again_and_again_gets_every_event_once(world: World) -> None:
    begun(world)

    async def main() -> None:
        async with within(world) as at, asyncio.timeout(PATIENCE):
            seen: list[int] = []
            while "ExecutionCompleted" not in (types := [event.type for event in world.client.store.read("x")]):
                headers = {"Last-Event-ID": str(seen[-1])} if seen else {}
                async with at.http.stream("GET", STREAM, headers=headers) as answer:
                    async for event in data(answer.aiter_lines(), "event"):
                        seen.append(event["version"])
                        break
                if len(seen) == len(types):
                    world.write("open", "")
            seen += [event["version"] for event in await whole(at, after=seen[-1])]
            assert seen == list(range(1, len(types) + 1))

    asyncio.run(main())


def test_streams_give_signs_of_life_and_end_with_the_server(world: World) -> None:
    limits = msgspec.structs.replace(Limits(), beat_seconds=0.05)
    begun(world)

    async def main() -> None:
        async with (
            asyncio.timeout(PATIENCE),
            within(world, limits=limits) as at,
            at.http.stream("GET", STREAM) as one,
            at.http.stream("GET", "/api/v1/stream") as other,
        ):
            readers = [one.aiter_lines(), other.aiter_lines()]
            for lines in readers:
                while await anext(lines) != ": beat":
                    pass
            await at.server.stop(1.0)
            for lines in readers:
                assert "event: end" not in [line async for line in lines]

    asyncio.run(main())


def test_there_are_no_more_streams_than_may_be(world: World) -> None:
    limits = msgspec.structs.replace(Limits(), streams=4)
    begun(world)

    async def main() -> None:
        async with within(world, limits=limits) as at, asyncio.timeout(PATIENCE):
            async with at.http.stream("GET", STREAM), at.http.stream("GET", "/api/v1/stream"):
                for path in (STREAM, "/api/v1/stream"):
                    answer = await at.http.get(path)
                    assert answer.status_code == 503
                    assert answer.headers["retry-after"]
                assert (await at.http.get("/api/v1/executions")).status_code == 200
            await gone(at, 0)
            async with at.http.stream("GET", STREAM) as answer:
                assert answer.status_code == 200

    asyncio.run(main())


def test_what_changes_anywhere_is_told(world: World) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(PATIENCE),
            within(world) as at,
            at.http.stream("GET", "/api/v1/stream") as answer,
        ):
            told = data(answer.aiter_lines(), "change")
            world.flow(MENDABLE)
            process = world.start("run", "flow.yaml", "--id", "x", "-q")
            while (await anext(told))["execution_id"] != "x":
                pass
            await asyncio.to_thread(process.wait)

    asyncio.run(main())


def test_output_comes_while_it_is_written(world: World) -> None:
    world.begin(GATES, "-q")

    async def main() -> None:
        async with within(world) as at, asyncio.timeout(PATIENCE):
            async with at.http.stream("GET", STREAM, params={"output": "1"}) as answer:
                number, found = 0, ""
                async for page in data(answer.aiter_lines(), "output"):
                    found += "".join(line["text"] for line in page["lines"])
                    while f"said {number}\n" in found:
                        world.write(f"go{number}", "")
                        number += 1
            assert found == "said 0\nsaid 1\nsaid 2\n"

    world.wait_for_event("StepStarted s0")
    asyncio.run(main())
