"""Workflows in Python: what steps get and give, how failures look, and that resuming runs nothing again."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import enum
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cerebelum import Context, ExecutionClient, ExecutionResult, WorkflowError, step, workflow
from cerebelum.core.errors import NotFound, UsageError
from cerebelum.sdk import wiring
from cerebelum.sdk.builder import Builder
from cerebelum.sdk.workflow import PythonWorkflow


def flow(*chains: Any, **options: Any) -> PythonWorkflow:
    """A workflow of one timeline."""

    @workflow(**options)
    def deploy(wf: Builder) -> None:
        wf.timeline(*chains)

    return deploy


# What goes in and out


def test_results_reach_the_parameters_of_the_same_name() -> None:
    @step
    def fetch() -> dict[str, int]:
        return {"a": 1}

    @step
    def lint(fetch: dict[str, int]) -> int:
        return fetch["a"] + 1

    @step
    async def unit(fetch: dict[str, int], *, least: int = 5) -> int:
        await asyncio.sleep(0)
        return fetch["a"] + least

    @step
    def package(lint: int, unit: int, fetch: Any) -> list[Any]:
        return [lint, unit, fetch]

    result = flow(fetch >> [lint, unit] >> package).run()
    assert result.status == "completed"
    assert result.output == [2, 6, {"a": 1}]
    assert result.results == {"fetch": {"a": 1}, "lint": 2, "unit": 6, "package": [2, 6, {"a": 1}]}
    assert result.completed_at is not None
    assert result.started_at.tzinfo is dt.UTC
    assert result.started_at <= result.completed_at


def test_lists_hold_chains_and_may_come_first() -> None:
    order: list[str] = []

    def named(name: str) -> Any:
        return step(name=name)(lambda: order.append(name))

    a, b, c, d = map(named, "abcd")
    flow([a >> b, c] >> d).run()
    assert order.index("a") < order.index("b") < order.index("d")
    assert order.index("c") < order.index("d")


def test_a_context_tells_of_the_execution(capsys: pytest.CaptureFixture[str]) -> None:
    seen: dict[str, Any] = {}

    @step
    def look(context: Context, inputs: dict[str, Any]) -> None:
        seen["facts"] = (context.workflow_name, context.step_name, context.attempt, context.cancelled)
        seen["key"], seen["id"] = context.idempotency_key, context.execution_id
        seen["inputs"] = (inputs, context.inputs)
        context.log("half way")
        context.progress(0.5, "uploading")
        context.progress(7)

    result = flow(look).run({"n": 1}, execution_id="deploy-1", tags=["nightly"])
    assert result.execution_id == seen["id"] == "deploy-1"
    assert seen["facts"] == ("deploy", "look", 1, False)
    assert seen["key"] == "deploy-1:look:1"
    assert seen["inputs"] == ({"n": 1}, {"n": 1})
    verbs = wiring.verbs(None)
    assert verbs.status("deploy-1").state.tags == ("nightly",)
    assert b"".join(chunk.data for chunk in verbs.logs("deploy-1")) == b"half way\n50 % uploading\n100 %\n"
    verbs.close()


class Kind(msgspec.Struct):
    name: str


@dataclasses.dataclass
class Built:
    at: dt.datetime
    kind: Kind
    parts: set[str]


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Kept:
    values: list[Any]


class Nested(msgspec.Struct):
    kept: Kept


def test_results_are_recorded_as_json_says_them() -> None:
    moment = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)

    @step
    def build() -> Built:
        return Built(moment, Kind("x"), {"b", "a"})

    @step
    def raw(build: Any) -> list[Any]:
        return [b"\x00\xff", frozenset({2, 1}), build["parts"]]

    result = flow(build >> raw).run()
    assert result.results["build"] == {"at": "2026-01-02T00:00:00Z", "kind": {"name": "x"}, "parts": ["a", "b"]}
    assert result.output == ["AP8=", [1, 2], ["a", "b"]]


def test_keys_become_text_where_json_has_a_text_for_them() -> None:
    identity = uuid.UUID(int=3)
    given = {1: "a", 1.5: "b", dt.date(2026, 1, 2): "c", identity: "d", Colour.RED: "e"}
    result = flow(step(name="build")(lambda: given)).run()
    assert result.output == {"1": "a", "1.5": "b", "2026-01-02": "c", str(identity): "d", "red": "e"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"items": [1, object()]}, r"output\.items\[1\] is of type object"),
        (Nested(Kept([{"a": object()}])), r"output\.kept\.values\[0\]\.a is of type object"),
        ({(1, 2): 3}, r"output has the key \(1, 2\) of type tuple"),
        ({1: "a", "1": "b"}, r"output has keys that are the same as text"),
    ],
)
def test_a_result_that_cannot_be_recorded_fails_its_step(value: Any, message: str) -> None:
    odd = step(name="odd")(lambda: value)
    with pytest.raises(WorkflowError, match=message) as caught:
        flow(odd).run()
    assert caught.value.error is not None
    assert caught.value.error.kind == "output"


def test_a_step_stays_a_function() -> None:
    @step(retry=3, timeout="10s")
    def double(number: int) -> int:
        """Twice as much.

        And no more."""
        return 2 * number

    assert double(4) == 8
    assert double.__name__ == "double"
    assert (double.__doc__ or "").startswith("Twice")


# Inputs


@dataclasses.dataclass
class Inputs:
    version: str
    replicas: int = 3
    when: dt.date | None = None


def test_inputs_are_checked_and_typed() -> None:
    got: list[Inputs] = []

    @step
    def take(inputs: Inputs) -> int:
        got.append(inputs)
        return inputs.replicas

    deploy = flow(take, inputs=Inputs)
    assert deploy.run({"version": "1", "replicas": 4}).output == 4
    assert deploy.run(Inputs("2", when=dt.date(2026, 1, 2))).output == 3
    assert got == [Inputs("1", 4), Inputs("2", 3, dt.date(2026, 1, 2))]
    for wrong, message in (
        ({"version": 1}, "has to be a text"),
        ({}, "is missing"),
        ({"version": "1", "replica": 4}, "did you mean `replicas`"),
        ({"version": "1", "when": "no day"}, "Invalid RFC3339"),
        ([1], "mapping"),
        ({"version": object()}, "cannot be recorded"),
    ):
        with pytest.raises(UsageError, match=message):
            deploy.run(wrong)
    assert len(got) == 2


@dataclasses.dataclass
class Places:
    folder: Path = Path("here")
    files: tuple[Path, ...] = ()


def test_paths_may_be_inputs() -> None:
    got: list[Places] = []

    @step
    def take(inputs: Places) -> str:
        got.append(inputs)
        return str(inputs.folder)

    deploy = flow(take, inputs=Places)
    assert deploy.run().output == "here"
    assert deploy.run(Places(Path("/there"), (Path("a"),))).output == "/there"
    assert deploy.run({"folder": "/there", "files": ["a"]}).output == "/there"
    assert got == [Places(), Places(Path("/there"), (Path("a"),)), Places(Path("/there"), (Path("a"),))]
    for wrong in ({"files": [1]}, {"files": [object()]}):
        with pytest.raises(UsageError):
            deploy.run(wrong)


def test_without_a_type_any_inputs_are_taken() -> None:
    take = step(name="take")(lambda inputs: inputs)
    given = {"a": 1, "b": [True, {"c": None}], "d": "x", "e": 1.5}
    assert flow(take).run(given).output == given


# Failures and going on


def test_a_failure_is_raised_with_all_that_is_known_and_can_be_gone_on_from() -> None:
    ran: list[str] = []
    broken = [True]

    @step
    def fetch() -> int:
        ran.append("fetch")
        return 7

    @step
    def ship(fetch: int) -> int:
        ran.append("ship")
        if broken:
            raise ConnectionError("no route")
        return fetch

    deploy = flow(fetch >> ship)
    with pytest.raises(WorkflowError) as caught:
        deploy.run()
    error = caught.value
    assert error.failed_step == "ship"
    assert error.status == "failed"
    assert error.error is not None
    assert (error.error.kind, error.error.message) == ("exception", "ConnectionError: no route")
    assert error.error.classes == ("ConnectionError", "OSError", "Exception")
    assert 'raise ConnectionError("no route")' in (error.error.traceback or "")
    assert "/cerebelum/" not in (error.error.traceback or "").replace(__file__, "")
    assert error.result.results == {"fetch": 7}
    assert f"cerebelum resume {error.execution_id}" in str(error)
    broken.clear()
    result = asyncio.run(error.resume())
    assert result.output == 7
    assert ran == ["fetch", "ship", "ship"]
    with pytest.raises(UsageError, match="has completed"):
        asyncio.run(deploy.resume(error.execution_id))
    with pytest.raises(NotFound):
        asyncio.run(deploy.resume("deploy-none"))


def test_or_resume_goes_on_or_does_nothing() -> None:
    ran: list[int] = []

    @step
    def count() -> int:
        ran.append(1)
        if len(ran) == 1:
            raise ValueError
        return len(ran)

    deploy = flow(count)
    with pytest.raises(WorkflowError):
        deploy.run(execution_id="deploy-1", or_resume=True)
    for _ in range(2):
        assert deploy.run(execution_id="deploy-1", or_resume=True).output == 2
    with pytest.raises(UsageError, match="there is an execution deploy-1 already"):
        deploy.run(execution_id="deploy-1")


def test_or_resume_goes_on_with_nothing_that_is_something_else() -> None:
    take = step(name="take")(lambda inputs: inputs)
    first, other = flow(take), workflow(name="other")(lambda wf: wf.timeline(take))
    first.run({"n": 1}, execution_id="order-1")
    assert first.run({"n": 1}, execution_id="order-1", or_resume=True).output == {"n": 1}
    for changed in ({"n": 2}, {"n": 1, "m": 1}):
        with pytest.raises(UsageError, match="order-1 was started with other inputs"):
            first.run(changed, execution_id="order-1", or_resume=True)
    with pytest.raises(UsageError, match=r"order-1 is an execution of the workflow \S+, and not of other"):
        other.run({"n": 1}, execution_id="order-1", or_resume=True)
    with pytest.raises(UsageError, match="or_resume=True needs an execution_id="):
        first.run(or_resume=True)
    with pytest.raises(UsageError, match="execution_id=1 is no text"):
        first.run(execution_id=1)  # type: ignore[arg-type]


def test_an_error_says_how_to_go_on_by_how_it_ended() -> None:
    @step
    async def stay() -> None:
        await asyncio.sleep(3600)

    deploy = flow(stay)

    async def ended(ask: Callable[[str], Awaitable[Any]], name: str) -> WorkflowError:
        running = asyncio.create_task(deploy.execute(execution_id=name))
        async with ExecutionClient() as look:
            while not (look_at := await look.list_executions(status="running")).executions:
                await asyncio.sleep(0.01)
            assert look_at.executions[0].execution_id == name
            await ask(name)
        with pytest.raises(WorkflowError) as caught:
            await running
        return caught.value

    async def main() -> None:
        async with ExecutionClient() as there:
            cancelled = await ended(there.cancel, "deploy-1")
            paused = await ended(there.pause, "deploy-2")
        assert (cancelled.status, cancelled.exit_code) == ("cancelled", 6)
        assert "cerebelum resume deploy-1 --from STEP" in str(cancelled)
        assert (paused.status, paused.exit_code) == ("paused", 75)
        assert "go on with: cerebelum resume deploy-2" in str(paused)

    asyncio.run(main())


def test_retries_and_time_limits_are_those_of_every_step() -> None:
    tried: list[int] = []

    @step(retry={"attempts": 3, "delay": 0.01})
    def shaky(context: Context) -> int:
        tried.append(context.attempt)
        if len(tried) < 3:
            raise OSError("again")
        return context.attempt

    @step(timeout=0.1)
    async def slow() -> None:
        await asyncio.sleep(60)

    assert flow(shaky).run().output == 3
    with pytest.raises(WorkflowError, match=r"took longer than 0\.1 s"):
        flow(slow).run()
    assert tried == [1, 2, 3]


def test_a_condition_skips_a_step_and_continue_on_error_goes_on() -> None:
    @step(continue_on_error=True)
    def breaks() -> None:
        raise ValueError

    @step(when="inputs.n > 1")
    def many() -> str:
        return "many"

    @step
    def last(many: Any) -> Any:
        return many

    assert flow(breaks >> many >> last).run({"n": 1}).output is None
    assert flow(breaks >> many >> last).run({"n": 2}).output == "many"


# Event loops and threads


def test_coroutines_run_on_the_callers_loop_which_nothing_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from cerebelum.backends.sqlite import SqliteStore

    loops: list[asyncio.AbstractEventLoop] = []
    ticks: list[int] = []
    held = threading.Event()
    append = SqliteStore.append

    def slow(*args: Any, **kwargs: Any) -> None:
        if len(ticks) < 3:
            held.wait(30)
        append(*args, **kwargs)

    monkeypatch.setattr(SqliteStore, "append", slow)

    @step
    async def where() -> None:
        loops.append(asyncio.get_running_loop())

    async def tick() -> None:
        while len(ticks) < 3:
            ticks.append(1)
            await asyncio.sleep(0)
        held.set()

    async def main() -> asyncio.AbstractEventLoop:
        # The store does not answer before this loop has gone on.
        result, _ = await asyncio.gather(flow(where).execute(), tick())
        assert result.status == "completed"
        return asyncio.get_running_loop()

    assert asyncio.run(main()) is loops[0]


def test_a_cancelled_caller_pauses_the_execution_first() -> None:
    began = asyncio.Event()
    ended: list[str] = []

    @step
    async def long() -> str:
        if ended:
            return "done"
        began.set()
        try:
            await asyncio.sleep(600)
        finally:
            ended.append("cleaned up")
        return "never"

    deploy = flow(long)

    async def main() -> None:
        task = asyncio.create_task(deploy.execute(execution_id="deploy-1"))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == ["cleaned up"]

    asyncio.run(main())
    verbs = wiring.verbs(None)
    assert verbs.status("deploy-1").status == "paused"
    verbs.close()
    assert asyncio.run(deploy.resume("deploy-1")).output == "done"


def test_it_runs_in_threads_inside_a_running_loop_and_many_at_once() -> None:
    @step
    async def name(inputs: dict[str, int]) -> int:
        await asyncio.sleep(0.01)
        return inputs["n"]

    deploy = flow(name)
    found: list[int] = []
    threads = [threading.Thread(target=lambda n=n: found.append(deploy.run({"n": n}).output)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 1, 2, 3]

    async def main() -> list[ExecutionResult]:
        # As in a notebook, where a loop runs already.
        assert deploy.run({"n": 9}).output == 9
        return await asyncio.gather(*(deploy.execute({"n": n}) for n in range(3)))

    assert [result.output for result in asyncio.run(main())] == [0, 1, 2]


def test_functions_without_a_file_are_performed_too(tmp_path: Path) -> None:
    code = (
        "from cerebelum import step, workflow\n@step\ndef one(): return 1\n@workflow\ndef deploy(wf): wf.timeline(one)"
    )
    names: dict[str, Any] = {}
    exec(compile(code, "<cell 1>", "exec"), names)
    assert names["deploy"].run().output == 1
    with pytest.raises(UsageError, match="is in no file"):
        names["deploy"].start()
    exec(compile(code.replace("@step", "@step(isolated=True)"), "<cell 1>", "exec"), names)
    with pytest.raises(UsageError, match="isolated=True needs a workflow in a file"):
        names["deploy"].run()


def test_an_isolated_step_is_ended_in_the_middle_of_compiled_code(tmp_path: Path) -> None:
    path = tmp_path / "stuck.py"
    path.write_text(
        "import re\nfrom cerebelum import step, workflow\n"
        "@step(isolated=True, timeout=1)\ndef stuck(): re.match('(a*)*b', 'a' * 60)\n"
        "@step(isolated=True, env={'GREETING': 'hello'})\ndef fine():\n"
        "    import os\n    return [os.environ['GREETING'], os.getpid()]\n"
        "@workflow\ndef slow(wf): wf.timeline(stuck)\n@workflow\ndef quick(wf): wf.timeline(fine)\n"
    )
    names: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    began = time.monotonic()
    with pytest.raises(WorkflowError, match="took longer than 1 s"):
        names["slow"].run()
    assert time.monotonic() - began < 60
    greeting, pid = names["quick"].run().output
    assert greeting == "hello"
    assert not Path(f"/proc/{pid}").exists()


def test_an_isolated_step_stands_beside_steps_that_are_no_functions(tmp_path: Path) -> None:
    path = tmp_path / "mixed.py"
    path.write_text(
        "from cerebelum import step, workflow\n"
        "@step(isolated=True)\ndef apart(tag): return tag.upper()\n"
        "@workflow\ndef mixed(wf):\n"
        "    wf.timeline(wf.shell('echo v1', name='tag', output='text') >> wf.sleep(0) >> apart)\n"
    )
    names: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    assert names["mixed"].run().output == "V1"
