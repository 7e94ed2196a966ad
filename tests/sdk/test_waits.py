"""Waits in the middle of a step: it is left, and goes on from the log, maybe in another process."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from cerebelum import (
    Context,
    ExecutionClient,
    ExecutionResult,
    WorkflowError,
    approval,
    poll,
    retry,
    sleep,
    step,
    workflow,
)
from cerebelum.core.errors import UsageError
from cerebelum.sdk import wiring
from cerebelum.sdk.builder import Builder
from cerebelum.sdk.workflow import PythonWorkflow
from tests.lifecycle.world import World


def flow(one: Any) -> PythonWorkflow:
    @workflow
    def deploy(wf: Builder) -> None:
        wf.timeline(one)

    return deploy


def approve(result: ExecutionResult, **how: Any) -> None:
    verbs = wiring.verbs(None)
    verbs.approve(result.execution_id, by="me", **how)
    verbs.close()


def test_the_nth_call_is_answered_from_the_log() -> None:
    ran: list[str] = []

    @step
    async def ask() -> Any:
        ran.append("begin")
        first = await approval("First?", data={"n": 1})
        ran.append("first")
        await sleep(0)
        second = await approval("Second?")
        return [first.response, first.by, second.response]

    deploy = flow(ask)
    waiting = deploy.run(park=True)
    assert waiting.status == "waiting_for_approval"
    assert waiting.output is None
    approve(waiting, response={"a": 1})
    assert asyncio.run(deploy.resume(waiting.execution_id, park=True)).status == "waiting_for_approval"
    approve(waiting, response={"b": 2})
    done = asyncio.run(deploy.resume(waiting.execution_id))
    assert done.output == [{"a": 1}, "me", {"b": 2}]
    # Once for each wait, and once for the end.
    assert ran == ["begin", *["begin", "first"] * 3]
    verbs = wiring.verbs(None)
    at = verbs.status(done.execution_id).state.steps["ask"]
    assert [(call.kind, call.result) for call in at.calls] == [
        ("approval", "granted"),
        ("sleep", "slept"),
        ("approval", "granted"),
    ]
    assert at.attempt == 1
    verbs.close()


def test_a_plain_function_waits_without_await() -> None:
    ran: list[str] = []

    @step
    def ask() -> Any:
        sleep(0)
        ran.append("slept")
        return [approval("Go?").by, approval("Sure?").response]

    deploy = flow(ask)
    waiting = deploy.run(park=True)
    assert waiting.status == "waiting_for_approval"
    approve(waiting)
    assert asyncio.run(deploy.resume(waiting.execution_id, park=True)).status == "waiting_for_approval"
    approve(waiting, response={"ok": True})
    assert asyncio.run(deploy.resume(waiting.execution_id)).output == ["me", {"ok": True}]
    assert ran == ["slept"] * 3


def test_being_rejected_fails_the_step() -> None:
    @step
    async def ask() -> None:
        try:
            await approval("Go?")
        except Exception:
            pytest.fail("what is left does not catch it")

    deploy = flow(ask)
    waiting = deploy.run(park=True)
    verbs = wiring.verbs(None)
    verbs.reject(waiting.execution_id, by="me", comment="no")
    verbs.close()
    with pytest.raises(WorkflowError, match="rejected by me: no"):
        asyncio.run(deploy.resume(waiting.execution_id))


def test_a_step_that_calls_otherwise_than_before_is_told_so() -> None:
    calls: list[int] = []

    @step
    async def fickle() -> None:
        calls.append(1)
        if len(calls) == 1:
            await sleep(0)
        else:
            await approval("Now this?")

    with pytest.raises(WorkflowError, match="call 1 of this step was sleep\\(\\) before, and is approval\\(\\) now"):
        flow(fickle).run()


def test_an_isolated_step_waits_too(tmp_path: Path) -> None:
    path = tmp_path / "waits.py"
    path.write_text(
        "from cerebelum import approval, sleep, step, workflow\n"
        "@step(isolated=True)\n"
        "async def ask():\n    await sleep(0)\n    return (await approval('Go?', timeout='1h')).response\n"
        "@workflow\ndef deploy(wf): wf.timeline(ask)\n"
    )
    names: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    waiting = names["deploy"].run(park=True)
    assert waiting.status == "waiting_for_approval"
    approve(waiting, response={"a": [1]})
    assert asyncio.run(names["deploy"].resume(waiting.execution_id)).output == {"a": [1]}


def test_waits_outside_a_step_and_impossible_ones_are_refused() -> None:
    for call, message in (
        (lambda: sleep("1s"), "works in the step of a workflow only"),
        (lambda: approval("x"), "works in the step of a workflow only"),
        (sleep, "takes a length or `until`"),
        (lambda: sleep(until=dt.datetime(2026, 1, 1)), "needs a moment with a time zone"),  # noqa: DTZ001
        (lambda: asyncio.run(poll(lambda: 1, interval=10, timeout=20)), "works in the step of a workflow only"),
    ):
        with pytest.raises(UsageError, match=message):
            call()


def test_retry_waits_in_place() -> None:
    tried: list[int] = []

    def shaky() -> int:
        tried.append(1)
        if len(tried) < 3:
            raise OSError
        return len(tried)

    async def always() -> None:
        tried.append(1)
        raise KeyError

    assert asyncio.run(retry(shaky, delay=0)) == 3
    with pytest.raises(KeyError):
        asyncio.run(retry(always, attempts=2, delay=0, on=KeyError))
    with pytest.raises(KeyError):
        asyncio.run(retry(always, delay=0, on=OSError))
    assert len(tried) == 6


def test_poll_asks_until_it_holds_or_the_time_is_over() -> None:
    asked: list[int] = []

    async def ask() -> int:
        asked.append(1)
        return len(asked)

    assert asyncio.run(poll(ask, interval=0.001, timeout=1, until=lambda n: n >= 3)) == 3
    with pytest.raises(TimeoutError):
        asyncio.run(poll(lambda: False, interval=0.01, timeout=0.03))


def test_a_long_poll_is_in_the_log_and_asks_nothing_twice() -> None:
    asked: list[int] = []

    def ask() -> int:
        asked.append(1)
        return len(asked)

    @step
    async def wait() -> int:
        return await poll(ask, interval="6s", timeout="1m", until=lambda n: n >= 2)

    deploy = flow(wait)
    waiting = deploy.run(park=True)
    assert waiting.status == "sleeping"
    assert asked == [1]
    verbs = wiring.verbs(None)
    [call] = verbs.status(waiting.execution_id).state.steps["wait"].calls
    assert call.seconds == 6.0
    verbs.close()


class Unknown:
    """What JSON has no word for."""


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"a": [Unknown()]}, "data.a[0] is of type"),
        ({"text": "\ud800"}, "data.text is text with a lone surrogate"),
        ({"n": float("nan")}, "data.n is nan"),
        ("x" * (2 << 20), "the limit is 1048576"),
    ],
)
def test_an_approval_with_data_that_cannot_be_recorded_fails_the_step(data: Any, why: str) -> None:
    @step
    async def ask() -> None:
        await approval("Go?", data=data)

    @workflow
    def deploy(wf: Builder) -> None:
        wf.timeline(ask)

    with pytest.raises(WorkflowError) as raised:
        deploy.run(store="memory:", park=True)
    assert raised.value.error is not None
    assert why in raised.value.error.message


def test_data_of_an_approval_is_recorded_as_an_output_would_be() -> None:
    @step
    async def ask() -> None:
        await approval("Go?", data={"path": Path("a"), 1: {2}})

    @workflow
    def deploy(wf: Builder) -> None:
        wf.timeline(ask)

    waiting = deploy.run(store="memory:data", park=True)
    with ExecutionClient(store="memory:data") as client:
        info = client.get_execution_status.blocking(waiting.execution_id).approval_info
    assert info is not None
    assert info.data == {"path": "a", "1": [2]}


def test_an_approval_does_not_give_a_secret_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hunter2-hunter2")

    @step(secrets=["TOKEN"])
    async def ask(context: Context) -> None:
        await approval(f"with {context.secrets['TOKEN']}?")

    @workflow
    def deploy(wf: Builder) -> None:
        wf.timeline(ask)

    with pytest.raises(WorkflowError, match="the approval contains the secret TOKEN") as raised:
        deploy.run(store="memory:", park=True)
    assert "hunter2" not in str(raised.value)


def test_who_catches_what_a_wait_raises_is_told() -> None:
    @step
    def patient() -> None:
        with contextlib.suppress(BaseException):
            sleep("2d")

    @workflow
    def deploy(wf: Builder) -> None:
        wf.timeline(patient)

    with pytest.raises(WorkflowError, match="and that was caught"):
        deploy.run(store="memory:")


@pytest.mark.parametrize("isolated", [False, True])
def test_tasks_of_a_group_may_wait(world: World, isolated: bool) -> None:
    world.write(
        "grouped.py",
        f"""
import asyncio
from cerebelum import sleep, step, workflow
async def nap(length):
    await sleep(length)
@step(isolated={isolated})
async def both():
    async with asyncio.TaskGroup() as group:
        group.create_task(nap(0.05))
        group.create_task(nap(0.1))
    return "rested"
@workflow
def rest(wf):
    wf.timeline(both)
""",
    )
    assert "output: rested" in world("run", "grouped.py").out
