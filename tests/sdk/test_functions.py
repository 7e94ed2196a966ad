"""What may be a step besides a plain function, and what is said of workflow functions that cannot be one."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cerebelum import Context, ExecutionClient, WorkflowError, step, workflow
from cerebelum.core.errors import DefinitionError, UsageError
from cerebelum.sdk.builder import Builder


@step
def one() -> int:
    return 1


class Tools:
    def __init__(self, number: int) -> None:
        self.number = number

    def add(self, one: int) -> int:
        return one + self.number

    def __call__(self, one: int) -> int:
        return one * self.number


def added(number: int, one: int) -> int:
    return number + one


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> list[Any]:
        return ["timed", function(*args, **kwargs)]

    return inner


@pytest.mark.parametrize(
    ("made", "output"),
    [
        (lambda: step(Tools(5).add), 6),
        (lambda: step(name="called")(Tools(5)), 5),
        (lambda: step(name="partial")(functools.partial(added, 7)), 8),
        (lambda: step(name="lambda")(lambda one: -one), -1),
        (lambda: step(timed(Tools(2).add)), ["timed", 3]),
    ],
)
def test_whatever_can_be_called_is_a_step(made: Callable[[], Any], output: Any) -> None:
    last = made()

    @workflow
    def deploy(wf: Builder) -> None:
        wf.timeline(one >> last)

    assert deploy.run().output == output


def test_what_has_no_name_is_asked_for_one() -> None:
    with pytest.raises(UsageError, match="has no name") as caught:
        step(functools.partial(added, 7))
    assert caught.value.where == f"{__file__}:{line_of('step(functools.partial(added, 7))')}"


def test_a_method_without_its_object_is_refused() -> None:
    class Loose:
        @step
        def upload(self, one: int) -> int:
            return one

    @workflow
    def deploy(wf: Builder) -> None:
        wf.timeline(one >> Loose.upload)

    with pytest.raises(DefinitionError, match="a method is no step without its object"):
        deploy.run()


def undecorated() -> None: ...


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wf.timeline(undecorated >> undecorated)", "put @step above the functions"),
        ("wf.timeline([one] >> [one])", "Python joins no two lists"),
        ("wf.timeline(lost)", "NameError: name 'lost' is not defined"),
        ("wf.timelime(one)", "has no attribute 'timelime'"),
    ],
)
def test_what_a_workflow_function_raises_is_said_with_its_line(text: str, message: str) -> None:
    names: dict[str, Any] = dict(globals())
    exec(compile(f"@workflow\ndef deploy(wf):\n    pass\n    {text}\n", "/nowhere/flow.py", "exec"), names)
    with pytest.raises(DefinitionError, match=r"flow\.py:4: the workflow deploy: ") as caught:
        names["deploy"].run()
    assert message in str(caught.value)
    assert caught.value.__cause__ is not None


def test_the_place_of_a_mistake_is_in_the_users_code() -> None:
    @workflow
    def deploy(wf: Builder) -> None:
        wf.timeline(undecorated >> one)  # type: ignore[operator]  # not decorated

    with pytest.raises(UsageError, match="undecorated is no step") as caught:
        deploy.run()
    assert caught.value.where == f"{__file__}:{line_of('# not decorated')}"


def test_a_workflow_function_is_a_plain_function_with_one_parameter() -> None:
    async def later(wf: Builder) -> None: ...

    def nothing() -> None: ...

    with pytest.raises(UsageError, match="a workflow function is a plain def"):
        workflow(later).run()
    with pytest.raises(DefinitionError, match="takes 0 positional arguments"):
        workflow(nothing).run()  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="is no function"):
        workflow(functools.partial(later))


def test_a_failure_that_nobody_catches_shows_the_traceback_of_the_step() -> None:
    @step
    def broken() -> None:
        raise ValueError("in the step")

    @workflow
    def deploy(wf: Builder) -> None:
        wf.timeline(broken)

    with pytest.raises(WorkflowError) as caught:
        deploy.run()
    assert 'raise ValueError("in the step")' in caught.value.__notes__[0]


def test_a_context_under_another_name_is_refused() -> None:
    @step
    def look(ctx: Context) -> None: ...

    @workflow
    def deploy(wf: Builder) -> None:
        wf.timeline(look)

    with pytest.raises(DefinitionError, match="call the parameter `context`"):
        deploy.run()


def test_a_run_takes_no_option_that_it_does_not_have(tmp_path: Path) -> None:
    @workflow
    def deploy(wf: Builder) -> None:
        wf.timeline(one)

    with pytest.raises(UsageError, match="a run has no option exec_id"):
        deploy.run(exec_id="deploy-1")  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="has no option exec_id"):
        asyncio.run(deploy.execute(exec_id="deploy-1"))  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="is one text"):
        deploy.run(tags="nightly")
    assert deploy.run(store=tmp_path / "some.db").output == 1
    assert (tmp_path / "some.db").exists()
    assert deploy.run(store=tmp_path / "tags.db", tags=(tag for tag in ["a", "b"])).output == 1
    with ExecutionClient(store=tmp_path / "tags.db") as client:
        assert client.list_executions.blocking()[0][0].tags == ["a", "b"]
    assert deploy.run(store=tmp_path / "other.db", tags=None).output == 1  # type: ignore[arg-type]


def line_of(text: str) -> int:
    """The line of this file that has a text, this helper's callers aside."""
    lines, _ = inspect.findsource(test_what_has_no_name_is_asked_for_one)
    [found] = [number for number, line in enumerate(lines, 1) if text in line and "line_of(" not in line]
    return found
