"""What a program does with executions through `ExecutionClient`, awaited and blocking, on real stores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cerebelum import Builder, ExecutionClient, ExecutionState, ExecutionStatus, step, workflow
from cerebelum.core.errors import DefinitionError, NotFound, OwnedElsewhere, UsageError
from tests.lifecycle.world import PATIENCE, World, crash, wait_until
from tests.sdk.conftest import verbs_of

TWO = """
name: two
inputs: {who: {type: string, default: you}}
steps:
  - {id: hello, run: 'echo "hello $INPUT_WHO"', output: text}
  - {id: count, run: 'echo "{\\"n\\": 2}"', output: json}
output: ${{ steps.count.output.n }}
"""
WAITING = """
name: waiting
steps:
  - {id: first, run: echo one >> done}
  - {id: gate, run: 'echo here >> at; while [ ! -e open ]; do sleep 0.02; done'}
  - {id: end, run: echo three >> done}
"""
MENDABLE = """
name: mendable
steps:
  - {id: first, run: echo one >> done}
  - {id: second, run: 'test -e mended'}
"""
SLEEPING = "name: dozing\nsteps:\n  - {id: doze, sleep: 1h}\n  - {id: end, run: echo last >> done}\n"
ASKING = """
name: asking
steps:
  - {id: ask, approval: {message: really, data: {cost: 3}}}
  - {id: end, run: 'echo last >> done'}
"""


def write(world: World, text: str, name: str = "flow.yaml") -> str:
    return str(world.flow(text, name))


def held(world: World, client: ExecutionClient) -> str:
    """The id of an execution driven by this client that waits at its gate."""
    name = client.start_execution.blocking(write(world, WAITING))
    world.wait_for_line("at")
    return name


def driven_elsewhere(world: World, name: str = "x") -> Any:
    """A process that drives an execution, at its gate."""
    write(world, WAITING)
    process = world.start("run", "flow.yaml", "--id", name)
    world.wait_for_line("at")
    return process


def kinds(events: list[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


# -- starting, waiting, reading ---------------------------------------------------------------------------------------


def test_an_execution_is_started_awaited_and_read(world: World, client: ExecutionClient) -> None:
    async def main() -> None:
        name = await client.start_execution(write(world, TWO), {"who": "all"}, tags=["demo", "x"], execution_id="two-1")
        assert name == "two-1"
        one = await client.wait("two", timeout=PATIENCE)
        assert one == await client.get_execution_status("last")
        assert (one.status, one.workflow_name, one.inputs) == (ExecutionState.COMPLETED, "two", {"who": "all"})
        assert (one.step_outputs, one.output) == ({"hello": "hello all", "count": {"n": 2}}, 2)
        assert [(s.step_name, s.status, s.attempts) for s in one.completed_steps] == [
            ("hello", "completed", 1),
            ("count", "completed", 1),
        ]
        assert (one.tags, one.owner, one.parent, one.error) == (["demo", "x"], None, None, None)
        assert (one.current_step_index, one.total_steps, one.progress_percentage) == (2, 2, 100.0)
        printed = [chunk.data async for chunk in client.logs(name, step="hello")]
        assert b"".join(printed) == b"hello all\n"
        events = [event async for event in client.events(name)]
        assert kinds(events)[0] == "ExecutionStarted"
        assert kinds(events)[-1] == "ExecutionCompleted"
        assert [e.version async for e in client.events(name, after=3)] == [e.version for e in events[3:]]

    asyncio.run(main())


def test_the_same_without_a_loop(world: World, client: ExecutionClient) -> None:
    name = client.start_execution.blocking(write(world, TWO))
    followed = list(client.events.blocking(name, follow=True))
    one = client.wait.blocking(name, PATIENCE)
    assert one.status is ExecutionState.COMPLETED
    assert followed == list(client.events.blocking(name))
    assert b"".join(c.data for c in client.logs.blocking(name, "hello", follow=True)) == b"hello you\n"
    [listed] = client.list_executions.blocking().executions
    assert listed.execution_id == name


@pytest.mark.parametrize(
    ("text", "more", "error"),
    [
        ("name: x\nsteps: [{id: a, runn: x}]", {}, DefinitionError),
        (TWO, {"inputs": {"whom": "x"}}, UsageError),
        (TWO, {"execution_id": "no/id"}, UsageError),
        (TWO, {"or_resume": True}, UsageError),
    ],
)
def test_what_is_wrong_is_raised_before_anything_is_recorded(
    world: World, client: ExecutionClient, text: str, more: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        client.start_execution.blocking(write(world, text), **more)
    with pytest.raises(error):
        asyncio.run(client.start_execution(world.folder / "flow.yaml", **more))
    assert client.list_executions.blocking() == ([], 0, False)


def test_one_that_is_there_is_gone_on_with_where_that_is_asked_for(world: World, client: ExecutionClient) -> None:
    flow = write(world, MENDABLE)
    assert client.start_execution.blocking(flow, execution_id="m") == "m"
    assert client.wait.blocking("m", PATIENCE).status is ExecutionState.FAILED
    with pytest.raises(UsageError, match="already"):
        client.start_execution.blocking(flow, execution_id="m")
    world.write("mended", "")
    assert client.start_execution.blocking(flow, execution_id="m", or_resume=True) == "m"
    assert client.wait.blocking("m", PATIENCE).status is ExecutionState.COMPLETED
    assert client.start_execution.blocking(flow, execution_id="m", or_resume=True) == "m"
    assert world.lines("done") == ["one"]


def test_an_unknown_id_is_not_found(client: ExecutionClient) -> None:
    async def first() -> None:
        async for _ in client.events("nope", follow=True):
            pytest.fail("there is nothing")

    calls: list[Callable[[], Any]] = [
        lambda: client.get_execution_status.blocking("nope"),
        lambda: asyncio.run(client.wait("nope")),
        lambda: asyncio.run(first()),
        lambda: list(client.logs.blocking("last")),
        lambda: client.resume_execution.blocking("nope"),
        lambda: client.cancel.blocking("nope"),
        lambda: client.approve.blocking("nope"),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call()


def test_waiting_ends_after_its_time(world: World, client: ExecutionClient) -> None:
    name = held(world, client)
    with pytest.raises(TimeoutError, match=name):
        client.wait.blocking(name, timeout=0)
    with pytest.raises(TimeoutError):
        asyncio.run(client.wait(name, timeout=0.01))


# -- going on ---------------------------------------------------------------------------------------------------------


def test_a_resume_skips_what_is_completed_or_runs_everything_again(world: World, client: ExecutionClient) -> None:
    name = client.start_execution.blocking(write(world, MENDABLE))
    failed = client.wait.blocking(name, PATIENCE)
    assert (failed.status, failed.current_step_name) == (ExecutionState.FAILED, "second")
    assert failed.error is not None
    assert client.resume_execution.blocking("last") == name
    client.wait.blocking(name, PATIENCE)
    assert world.lines("done") == ["one"]
    world.write("mended", "")
    assert asyncio.run(client.resume_execution(name[:-1], skip_completed_steps=False)) == name
    done = client.wait.blocking(name, PATIENCE)
    assert (done.status, world.lines("done")) == (ExecutionState.COMPLETED, ["one", "one"])
    with pytest.raises(UsageError, match="has completed"):
        client.resume_execution.blocking(name, skip_completed_steps=False)
    with pytest.raises(UsageError, match="from_step"):
        client.resume_execution.blocking(name, False, from_step="first")


def test_what_this_client_drives_is_not_resumed_beside_it(world: World, client: ExecutionClient) -> None:
    name = held(world, client)
    with pytest.raises(OwnedElsewhere):
        client.resume_execution.blocking(name)


# -- executions of other processes ------------------------------------------------------------------------------------


def test_one_that_another_process_drives_is_running_until_that_is_killed(world: World, client: ExecutionClient) -> None:
    process = driven_elsewhere(world)
    one = client.get_execution_status.blocking("x")
    assert (one.status, one.current_step_index, one.current_step_name) == (ExecutionState.RUNNING, 1, "gate")
    assert one.owner is not None
    assert one.owner.pid is not None
    assert [s.execution_id for s in client.list_active_workflows.blocking()] == ["x"]

    async def main() -> ExecutionStatus:
        waiting = asyncio.create_task(client.wait("x", timeout=PATIENCE))
        await asyncio.to_thread(crash, process)
        return await waiting

    killed = asyncio.run(main())
    assert (killed.status, killed.owner, killed.reason) == (ExecutionState.PAUSED, None, "interrupted")
    assert client.list_active_workflows.blocking() == []
    assert client.list_executions.blocking(status="running").executions == []
    [listed], total, more = client.list_executions.blocking(status=ExecutionState.PAUSED)
    assert (listed.status, total, more) == (ExecutionState.PAUSED, 1, False)
    world.write("open", "")
    client.resume_execution.blocking("x")
    assert client.wait.blocking("x", PATIENCE).status is ExecutionState.COMPLETED
    assert world.lines("done") == ["one", "three"]


def test_following_ends_with_a_killed_process_and_misses_nothing(world: World, client: ExecutionClient) -> None:
    process = driven_elsewhere(world)

    async def main() -> list[Any]:
        found = []
        async for event in client.events("x", follow=True):
            found.append(event)
            if getattr(event, "step", None) == "gate":
                await asyncio.to_thread(crash, process)
        return found

    found = asyncio.run(main())
    assert found == list(client.events.blocking("x"))
    assert kinds(found)[-1] == "StepStarted"


def test_what_comes_while_it_is_followed_is_told(world: World, client: ExecutionClient) -> None:
    name = held(world, client)

    async def main() -> list[str]:
        told = []
        async for event in client.events(name, follow=True):
            told.append(event)
            if getattr(event, "step", None) == "gate" and type(event).__name__ == "StepStarted":
                world.write("open", "")
        return kinds(told)

    told = asyncio.run(main())
    assert told == kinds(list(client.events.blocking(name)))
    assert told[-1] == "ExecutionCompleted"


# -- sleeping, asking, cancelling -------------------------------------------------------------------------------------


def test_one_that_is_parked_rests(world: World, client: ExecutionClient) -> None:
    assert world.run(SLEEPING, "--park").code == 75
    one = asyncio.run(client.wait("x"))
    assert one.status is ExecutionState.SLEEPING
    assert one.sleep_info is not None
    assert one.sleep_info.duration_ms == 3_600_000
    assert 0 < one.sleep_info.remaining_ms <= 3_600_000
    assert [s.execution_id for s in client.list_active_workflows.blocking()] == ["x"]


def test_an_approval_is_given_to_what_is_driven_in_the_background(world: World, client: ExecutionClient) -> None:
    async def main() -> None:
        name = await client.start_execution(write(world, ASKING))
        async for event in client.events(name, follow=True):
            if type(event).__name__ == "ApprovalRequested":
                asked = await client.get_execution_status(name)
                assert asked.status is ExecutionState.WAITING_FOR_APPROVAL
                assert asked.approval_info is not None
                assert (asked.approval_info.message, asked.approval_info.data) == ("really", {"cost": 3})
                await client.approve(name, by="ann", response={"ok": True})
        done = await client.wait(name)
        assert done.status is ExecutionState.COMPLETED
        assert done.steps[0].output["ok"] is True
        with pytest.raises(UsageError):
            await client.reject(name)

    asyncio.run(main())


def test_what_is_rejected_fails(world: World, client: ExecutionClient) -> None:
    assert world.run(ASKING, "--park").code == 75
    rejected = client.reject.blocking("x", comment="no")
    assert rejected.status is ExecutionState.PAUSED
    client.resume_execution.blocking("x")
    failed = client.wait.blocking("x", PATIENCE)
    assert failed.status is ExecutionState.FAILED
    assert failed.error is not None
    assert failed.error.kind == "rejected"


def test_a_cancellation_is_finished_here_if_nobody_drives_it(world: World, client: ExecutionClient) -> None:
    world.run(MENDABLE)
    with pytest.raises(UsageError):
        client.cancel.blocking("x")
    world.run(SLEEPING, "--park", name="y")
    cancelled = asyncio.run(client.cancel("y", by="ann", why="no need"))
    assert (cancelled.status, cancelled.reason) == (ExecutionState.CANCELLED, "no need")
    assert cancelled.completed_at is not None


def test_whoever_drives_it_is_told_of_a_cancellation(world: World, client: ExecutionClient) -> None:
    mine = held(world, client)
    client.cancel.blocking(mine)
    assert client.wait.blocking(mine, PATIENCE).status is ExecutionState.CANCELLED


# -- lists ------------------------------------------------------------------------------------------------------------


def test_lists_are_filtered_counted_and_paged(world: World, client: ExecutionClient) -> None:
    before = datetime.now(UTC)
    flows = {"two": write(world, TWO, "two.yaml"), "mendable": write(world, MENDABLE, "mendable.yaml")}
    for number, flow in enumerate(["two", "mendable", "two", "two"]):
        name = f"e{number}"
        client.start_execution.blocking(flows[flow], execution_id=name, tags=["all", f"t{number % 2}"])
        client.wait.blocking(name, PATIENCE)

    def ids(**query: Any) -> list[str]:
        return [s.execution_id for s in client.list_executions.blocking(**query).executions]

    assert ids() == ["e3", "e2", "e1", "e0"]
    assert ids(workflow_name="mendable") == ids(status="FAILED") == ["e1"]
    assert ids(status=["completed", ExecutionState.FAILED], tags=["all", "t1"]) == ["e3", "e1"]
    assert ids(tags="t0") == ["e2", "e0"]
    assert ids(since=before) == ids()
    assert ids(since=datetime.now(UTC) + timedelta(hours=1)) == []
    page = client.list_executions.blocking(limit=3)
    assert (page.total_count, page.total_is_exact, page.has_more) == (4, True, True)
    executions, total, more = asyncio.run(client.list_executions(limit=3, offset=3))
    assert ([s.execution_id for s in executions], total, more) == (["e0"], 4, False)
    assert (executions[0].steps, executions[0].total_steps, executions[0].progress_percentage) == ([], 2, 100.0)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"limit": -1}, "limit=-1"),
        ({"offset": -5}, "offset=-5"),
        ({"status": "runing"}, "did you mean RUNNING"),
        ({"since": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001
    ],
)
def test_a_list_that_makes_no_sense_is_refused(client: ExecutionClient, query: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        client.list_executions.blocking(**query)


# -- the end ----------------------------------------------------------------------------------------------------------


def test_closing_pauses_what_is_driven_and_it_can_be_resumed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world.folder)

    async def main() -> str:
        verbs = verbs_of(world)
        async with ExecutionClient.over(verbs) as client:
            name = await client.start_execution(write(world, WAITING))
            await asyncio.to_thread(world.wait_for_line, "at")
        verbs.close()
        return name

    name = asyncio.run(main())
    assert world.status(name) == "paused"
    assert world.said(name)[-2:] == ["StepInterrupted gate", "ExecutionPaused"]
    assert world.left() == []
    world.write("open", "")
    assert world("resume", name).code == 0


PROGRAM = """
from cerebelum import ExecutionClient
ExecutionClient().start_execution.blocking("flow.yaml", execution_id="x")
while not __import__("os").path.exists("at"):
    __import__("time").sleep(0.01)
"""


def test_a_program_that_just_ends_pauses_what_it_drives(world: World) -> None:
    import subprocess
    import sys

    write(world, WAITING)
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=world.folder,
        env=world.environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert world.said()[-1] == "ExecutionPaused"
    wait_until(lambda: not world.left(), "the end of its step")


def test_a_closed_client_says_so(world: World, client: ExecutionClient) -> None:
    name = held(world, client)

    async def main() -> None:
        events = client.events(name, follow=True)
        assert (await anext(events)).version == 1
        await client.close()
        await client.close()
        with pytest.raises(UsageError, match="closed"):
            await client.get_execution_status(name)
        with pytest.raises(UsageError, match="closed"):
            await client.start_execution("flow.yaml")

    asyncio.run(main())


def test_what_names_no_service_and_a_store_beside_one_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"core_url: 'http://host:9090' names no service"):
        ExecutionClient(core_url="http://host:9090")
    with pytest.raises(UsageError, match="exclude each other"):
        ExecutionClient("x.db", core_url="host:9090")
    monkeypatch.setenv("CEREBELUM_CORE_URL", "two words")
    with pytest.raises(UsageError, match="CEREBELUM_CORE_URL: 'two words' names no service"):
        ExecutionClient()


def test_a_store_that_is_named_outdoes_a_service_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CEREBELUM_CORE_URL", "host:9090")
    with ExecutionClient(tmp_path / "x.db") as client:
        assert client.list_executions.blocking() == ([], 0, False)
    monkeypatch.setenv("CEREBELUM_CORE_URL", "")
    monkeypatch.setenv("CEREBELUM_STORE", str(tmp_path / "y.db"))
    with ExecutionClient() as client:
        assert client.list_active_workflows.blocking() == []


def test_a_workflow_of_this_program_is_started_and_gone_on_with(client: ExecutionClient) -> None:
    broken = [True]

    @step
    async def ask(inputs: dict[str, int]) -> int:
        if broken:
            raise ValueError
        return inputs["n"]

    @workflow
    def asking(wf: Builder) -> None:
        wf.timeline(ask)

    async def main() -> None:
        name = await client.start_execution(asking, {"n": 7}, execution_id="x")
        assert (await client.wait(name, timeout=60)).status is ExecutionState.FAILED
        broken.clear()
        await client.resume_execution("x", workflow=asking)
        status = await client.wait("x", timeout=60)
        assert (status.status, status.output) == (ExecutionState.COMPLETED, 7)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda client: client.list_executions.blocking(limit="ten"), "limit='ten' is no whole number"),
        (lambda client: client.list_executions.blocking(offset=-1), "offset=-1 is less than 0"),
        (lambda client: client.list_executions.blocking(since="yesterday"), "since='yesterday' is no datetime"),
        (lambda client: client.list_executions.blocking(status=5), "there is no status '5'"),
        (lambda client: client.list_executions.blocking(tags=5), "tags=5 is no list of texts"),
        (lambda client: client.list_executions.blocking(tags=[5]), "the tag 5 is no text"),
        (lambda client: client.get_execution_status.blocking(5), "5 is no id of an execution"),
        (lambda client: client.resume_execution.blocking(None), "None is no id of an execution"),
        (lambda client: client.start_execution.blocking(print), "<built-in function print> is no workflow"),
        (lambda client: client.start_execution.blocking("x.py", execution_id=7), "execution_id=7 is no text"),
        (lambda client: ExecutionClient(store=5), "store=5 names no store"),  # type: ignore[arg-type]
        (lambda client: ExecutionClient(store="sqlite:/x"), "a file of SQLite is named by its path"),
    ],
)
def test_an_argument_of_another_kind_is_refused_in_words(
    client: ExecutionClient, ask: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        ask(client)
    assert message in caught.value.text()


def test_a_status_that_is_given_for_an_id_says_where_its_id_is(world: World, client: ExecutionClient) -> None:
    name = client.start_execution.blocking(write(world, TWO))
    status: Any = client.wait.blocking(name, PATIENCE)
    with pytest.raises(UsageError) as caught:
        client.get_execution_status.blocking(status)
    assert "it has one, as its execution_id" in caught.value.text()
