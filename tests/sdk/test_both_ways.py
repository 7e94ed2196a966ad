"""What awaiting promises: the loop goes on, whoever leaves leaves nothing behind, and threads and loops may share."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from cerebelum import ExecutionClient, ExecutionState
from cerebelum.core.errors import UsageError
from cerebelum.sdk.verbs import Verbs
from cerebelum.store import Change, EventStore, Query
from tests.lifecycle.world import PATIENCE, World, wait_until
from tests.sdk.conftest import executors, verbs_of
from tests.sdk.test_client import TWO, driven_elsewhere, held, write
from tests.stores import open_store


class Watched:
    """A store that counts who listens, and that blocks in `find` while its gate is closed."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self.gate = threading.Event()
        self.gate.set()
        self.inside = threading.Semaphore(0)
        self.listening = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def find(self, query: Query) -> Any:
        if not self.gate.is_set():
            self.inside.release()
            assert self.gate.wait(PATIENCE), "nobody opened the gate"
        return self._store.find(query)

    def subscribe(self, hear: Callable[[Change], None], execution_id: str = "") -> Callable[[], None]:
        end = self._store.subscribe(hear, execution_id)
        self.listening += 1

        def over() -> None:
            self.listening -= 1
            if end is not None:
                end()

        return over


@pytest.fixture
def watched(world: World) -> Iterator[Watched]:
    store = open_store(world.url)
    yield Watched(store)
    store.close()


@pytest.fixture
def slow(world: World, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExecutionClient]:
    """A client of the watched store."""
    monkeypatch.chdir(world.folder)
    store: Any = watched
    with ExecutionClient.over(Verbs(lambda: store, executors, environ=world.environ)) as client:
        yield client


def run(main: Coroutine[Any, Any, None], caplog: pytest.LogCaptureFixture) -> None:
    """Run it in a loop that tells of everything that was forgotten, and fail if there was anything."""
    asyncio.run(main, debug=True)
    gc.collect()
    said = [r.getMessage() for r in caplog.records if r.name == "asyncio" and "selector" not in r.getMessage()]
    assert not [text for text in said if not text.startswith("Executing ")]


async def settled(condition: Callable[[], bool]) -> None:
    """Return once it is true."""
    for _ in range(int(PATIENCE * 100)):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never happened")


# -- the loop goes on -------------------------------------------------------------------------------------------------


def test_the_loop_goes_on_while_the_store_blocks(
    slow: ExecutionClient, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        watched.gate.clear()
        asked = asyncio.create_task(slow.list_executions())
        await settled(lambda: watched.inside.acquire(blocking=False))
        # Only this loop opens the gate: were it blocked, nobody would.
        watched.gate.set()
        assert await asked == ([], 0, False)

    run(main(), caplog)


def test_a_look_that_is_cancelled_while_the_store_blocks_ends_at_once(
    slow: ExecutionClient, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        watched.gate.clear()
        asked = asyncio.create_task(slow.list_executions())
        await settled(lambda: watched.inside.acquire(blocking=False))
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        watched.gate.set()
        assert await slow.list_executions() == ([], 0, False)

    run(main(), caplog)


def driver(watched: Watched) -> int:
    """How many listen once the execution is driven: it is begun an instant before its driver listens."""
    wait_until(lambda: watched.listening == 1, "its driver listens")
    return 1


def test_many_that_wait_keep_nobody_from_asking(
    world: World, slow: ExecutionClient, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    name = held(world, slow)
    driving = driver(watched)

    async def main() -> None:
        waiting = [asyncio.create_task(slow.wait(name)) for _ in range(30)]
        await settled(lambda: watched.listening == driving + 30)
        assert (await slow.get_execution_status(name)).status is ExecutionState.RUNNING
        for task in waiting[1:]:
            task.cancel()
        ended = await asyncio.gather(*waiting[1:], return_exceptions=True)
        assert {type(one) for one in ended} == {asyncio.CancelledError}
        await settled(lambda: watched.listening == driving + 1)
        world.write("open", "")
        assert (await waiting[0]).status is ExecutionState.COMPLETED

    run(main(), caplog)
    assert watched.listening == 0


# -- leaving ----------------------------------------------------------------------------------------------------------


def test_leaving_what_is_followed_ends_the_listening(
    world: World, slow: ExecutionClient, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    name = held(world, slow)
    driving = driver(watched)

    async def main() -> None:
        async for event in slow.events(name, follow=True):
            if event.version == 2:
                break
        await settled(lambda: watched.listening == driving)
        events = slow.events(name, follow=True)
        assert (await anext(events)).version == 1
        await events.aclose()
        assert [event async for event in events] == []
        await settled(lambda: watched.listening == driving)

    run(main(), caplog)
    for event in slow.events.blocking(name, follow=True):
        assert event.version == 1
        break
    gc.collect()
    assert watched.listening == driving


def test_a_follower_that_is_cancelled_ends_the_listening(
    world: World, slow: ExecutionClient, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    name = held(world, slow)
    driving = driver(watched)

    async def follow() -> None:
        async for _ in slow.events(name, follow=True):
            pass

    async def main() -> None:
        task = asyncio.create_task(follow())
        await settled(lambda: watched.listening == driving + 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        await settled(lambda: not gc.collect() and watched.listening == driving)

    run(main(), caplog)


def test_a_step_that_is_cancelled_loses_nothing(
    world: World, slow: ExecutionClient, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    name = slow.start_execution.blocking(write(world, TWO))
    slow.wait.blocking(name, PATIENCE)
    expected = list(slow.events.blocking(name))

    async def main() -> None:
        watched.gate.clear()
        events = slow.events(name)
        step = asyncio.create_task(anext(events))
        await settled(lambda: watched.inside.acquire(blocking=False))
        with pytest.raises(RuntimeError, match="waits for the next item"):
            await anext(events)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        watched.gate.set()
        assert [event async for event in events] == expected

    run(main(), caplog)


def test_a_loop_that_ends_in_the_middle_leaves_nothing(
    world: World, slow: ExecutionClient, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    name = held(world, slow)
    driving = driver(watched)
    kept: list[Any] = []

    async def main() -> None:
        kept.append(asyncio.create_task(slow.wait(name)))
        await settled(lambda: watched.listening == driving + 1)

    run(main(), caplog)
    assert kept.pop().cancelled()
    wait_until(lambda: watched.listening == driving, "nobody listens any more")


# -- sharing ----------------------------------------------------------------------------------------------------------


def test_one_client_serves_two_loops_and_many_threads(world: World, client: ExecutionClient) -> None:
    flow = write(world, TWO)

    async def through(number: int) -> ExecutionState:
        name = await client.start_execution(flow, execution_id=f"loop-{number}")
        followed = [event async for event in client.events(name, follow=True)]
        done = await client.wait(name)
        assert followed[-1].at == done.completed_at
        return done.status

    def blocking(number: int) -> ExecutionState:
        name = client.start_execution.blocking(flow, execution_id=f"thread-{number}")
        return client.wait.blocking(name, PATIENCE).status

    with ThreadPoolExecutor(6) as pool:
        loops = [pool.submit(asyncio.run, through(number)) for number in range(2)]
        threads = [pool.submit(blocking, number) for number in range(4)]
        assert {one.result(2 * PATIENCE) for one in [*loops, *threads]} == {ExecutionState.COMPLETED}
    assert asyncio.run(client.list_executions(status="completed")).total_count == 6


def test_a_store_is_opened_once_however_many_ask_first(world: World) -> None:
    opened = []

    def opening() -> EventStore:
        opened.append(open_store(world.url))
        return opened[-1]

    verbs = Verbs(opening, executors, environ=world.environ)

    async def main() -> None:
        await asyncio.gather(*(client.list_executions() for _ in range(20)))

    with ExecutionClient.over(verbs) as client:
        asyncio.run(main())
    verbs.close()
    assert len(opened) == 1


def test_closing_lets_go_of_the_threads(world: World) -> None:
    verbs = verbs_of(world)

    def ours() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name.startswith("cerebelum-client")]

    async def main() -> None:
        async with ExecutionClient.over(verbs) as client:
            await asyncio.gather(*(client.list_executions() for _ in range(20)))

    before = set(ours())
    asyncio.run(main())
    for thread in set(ours()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    verbs.close()


def test_a_client_that_was_closed_while_it_was_followed_ends_that(
    world: World, slow: ExecutionClient, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    driven_elsewhere(world)

    async def follow() -> None:
        async for _ in slow.events("x", follow=True):
            pass

    async def main() -> None:
        following = [asyncio.create_task(follow()), asyncio.create_task(slow.wait("x"))]
        await settled(lambda: watched.listening == 2)
        await slow.close()
        for task in following:
            with pytest.raises(UsageError, match="closed"):
                await task

    run(main(), caplog)
    assert watched.listening == 0


# -- types and imports ------------------------------------------------------------------------------------------------

USER = """
    import asyncio
    from cerebelum import ExecutionClient, ExecutionPage, ExecutionState, ExecutionStatus
    from cerebelum import WorkflowInfo, WorkflowRegistry

    async def main() -> None:
        async with ExecutionClient("x.db") as client:
            name: str = await client.start_execution("flow.yaml", {"a": 1}, tags=["x"])
            status: ExecutionStatus = await client.wait(name, timeout=3)
            page: ExecutionPage = await client.list_executions(status=[ExecutionState.FAILED, "paused"], limit=3)
            executions, total, more = page
            first: ExecutionStatus = executions[0]
            number: int = total
            flag: bool = more
            async for event in client.events(name, follow=True):
                match event:
                    case event if event.version > 3:
                        print(event.at)
            async for chunk in client.logs(name):
                data: bytes = chunk.data
            async with WorkflowRegistry.over(client) as registry:
                known: list[WorkflowInfo] = await registry.workflows()
                again: ExecutionStatus = await registry.get_execution_status(name)
        with ExecutionClient() as client:
            blocking: ExecutionStatus = client.cancel.blocking("last", why="so")
            for event in client.events.blocking("last", after=3):
                print(event.version)
            client.wait.blocking("last", timeout="3")  # wrong
            print(client.get_execution_status.blocking(3).status)  # wrong
            wrong: int = await client.get_execution_status("x")  # wrong
            client.list_executions.blocking(limits=3)  # wrong

    asyncio.run(main())
"""


def test_a_type_checker_knows_what_both_ways_take_and_give(tmp_path: Path) -> None:
    text = dedent(USER).strip()
    wrong = [number for number, line in enumerate(text.splitlines(), 1) if line.endswith("# wrong")]
    (tmp_path / "user.py").write_text(text)
    (tmp_path / "mypy.ini").write_text("[mypy]\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "mypy.ini", "--no-error-summary", "user.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    found = [line for line in done.stdout.splitlines() if "error" in line]
    assert [int(line.split(":")[1]) for line in found] == wrong, done.stdout + done.stderr


def test_what_is_imported_is_what_is_used() -> None:
    code = """
    import sys
    import cerebelum
    assert not {"asyncio", "yaml", "click", "msgspec"} & set(sys.modules)
    from cerebelum import ExecutionClient, WorkflowRegistry
    heavy = {"asyncio", "yaml", "click", "concurrent.futures", "sqlite3", "cerebelum.engine.loop", "cerebelum.app"}
    assert not heavy & set(sys.modules), heavy & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", dedent(code)], check=True, timeout=60)
