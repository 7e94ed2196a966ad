"""What a workflow function may write down, where branches and failures lead, and what is refused, with its place."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cerebelum import Context, WorkflowError, step, workflow
from cerebelum.core.errors import DefinitionError, UsageError
from cerebelum.sdk import wiring
from cerebelum.sdk.builder import Builder
from cerebelum.sdk.steps import Step
from cerebelum.sdk.workflow import PythonWorkflow


def steps(names: str, ran: list[str]) -> list[Step[..., Any]]:
    """Steps that note that they ran."""

    def made(name: str) -> Step[..., Any]:
        def note() -> str:
            ran.append(name)
            return name

        return step(name=name)(note)

    return [made(name) for name in names.split()]


def written(define: Callable[[Builder], object]) -> PythonWorkflow:
    return workflow(name="deploy")(define)


# Branches


@pytest.mark.parametrize(
    ("result", "expected"),
    [(1, ["check", "low", "end"]), (5, ["check", "middle", "more", "end"]), (9, ["check", "high", "end"])],
)
def test_the_first_condition_that_holds_is_gone_on_with(result: int, expected: list[str]) -> None:
    ran: list[str] = []
    low, middle, more, high, end = steps("low middle more high end", ran)

    @step
    def check(inputs: dict[str, int]) -> dict[str, int]:
        ran.append("check")
        return {"n": inputs["n"]}

    @written
    def deploy(wf: Builder) -> None:
        wf.timeline(check >> end)
        wf.branch(after=check, when={lambda r: r["n"] < 3: low, "result.n < 7": middle >> more, True: high})

    done = deploy.run({"n": result})
    assert ran == expected
    assert done.results["check-branch"] == expected[1]
    assert done.output == "end"


def test_several_conditions_may_lead_to_one_target() -> None:
    ran: list[str] = []
    first, chosen, last = steps("first chosen last", ran)

    @written
    def deploy(wf: Builder) -> None:
        wf.timeline(first >> last)
        wf.branch(after=first, when={"result == 'none'": chosen, "result == 'first'": chosen})

    assert deploy.run().status == "completed"
    assert ran == ["first", "chosen", "last"]


def test_a_target_that_also_ends_another_way_is_refused() -> None:
    first, one, other, last = steps("first one other last", [])

    @written
    def deploy(wf: Builder) -> None:
        wf.timeline(first >> last)
        wf.branch(after=first, when={"result == 'none'": one >> other, True: other})

    with pytest.raises(DefinitionError, match="branches lead to the step `other` twice"):
        deploy.run()


def test_a_target_further_down_is_jumped_to() -> None:
    ran: list[str] = []
    a, b, c, d = steps("a b c d", ran)

    @written
    def deploy(wf: Builder) -> None:
        wf.timeline(a >> b >> c >> d)
        wf.branch(after=a, when={"inputs.quick": d})

    deploy.run({"quick": True})
    assert ran == ["a", "d"]
    deploy.run({"quick": False})
    assert ran[2:] == ["a", "b", "c", "d"]


def test_a_decision_is_in_the_log_and_not_made_twice() -> None:
    ran: list[str] = []
    asked: list[Any] = []
    broken = [True]
    (a,) = steps("a", ran)

    @step
    def ship() -> None:
        if broken:
            raise ValueError

    def decide(result: str) -> bool:
        asked.append(result)
        return True

    @written
    def deploy(wf: Builder) -> None:
        wf.timeline(a)
        wf.branch(after=a, when={decide: ship})

    with pytest.raises(WorkflowError) as caught:
        deploy.run()
    broken.clear()
    asyncio.run(caught.value.resume())
    assert asked == ["a"]
    assert ran == ["a"]


def test_a_condition_that_fails_fails_the_step_that_decides() -> None:
    a, b = steps("a b", [])

    @written
    def deploy(wf: Builder) -> None:
        wf.timeline(a)
        wf.branch(after=a, when={lambda result: result["x"]: b})

    with pytest.raises(WorkflowError, match="a-branch failed: TypeError"):
        deploy.run()


# Diverted failures


class Transient(ConnectionError):
    pass


def failing(error: Exception, ran: list[str], **options: Any) -> Step[..., Any]:
    @step(**options)
    def fetch() -> None:
        ran.append("fetch")
        raise error

    return fetch


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Transient("x"), ["fetch", "mirror", "report", "end"]),
        (ValueError("the disk is full"), ["fetch", "next", "end"]),
        (KeyError("k"), ["fetch"]),
    ],
)
def test_failures_lead_where_their_kind_says(error: Exception, expected: list[str]) -> None:
    ran: list[str] = []
    fetch = failing(error, ran)
    following, mirror, report, end = steps("next mirror report end", ran)

    @written
    def deploy(wf: Builder) -> None:
        wf.timeline(fetch >> following)
        wf.diverge(fetch, {OSError: mirror >> report, "*disk is*": "continue", "exception": "fail"})
        wf.finally_(end)

    if expected == ["fetch"]:
        with pytest.raises(WorkflowError) as caught:
            deploy.run()
        assert caught.value.failed_step == "fetch"
        expected = ["fetch", "end"]
    else:
        assert deploy.run().status == "completed"
    assert ran == expected


def test_rules_that_are_given_one_after_the_other_all_hold() -> None:
    ran: list[str] = []
    fetch = failing(ValueError("x"), ran)
    following, mirror, report = steps("next mirror report", ran)

    @written
    def deploy(wf: Builder) -> None:
        wf.timeline(fetch >> following)
        wf.diverge(fetch, {ValueError: mirror})
        wf.diverge(fetch, {OSError: report, "*": "continue"})

    assert deploy.run().status == "completed"
    assert ran == ["fetch", "mirror"]


def test_retry_by_a_rule_has_three_attempts_and_others_have_none() -> None:
    ran: list[str] = []

    @written
    def often(wf: Builder) -> None:
        fetch = failing(Transient(), ran, retry={"attempts": 1, "delay": 0})
        wf.timeline(fetch)
        wf.diverge(fetch, {"Transient": "retry"})

    with pytest.raises(WorkflowError):
        often.run()
    assert ran == ["fetch"] * 3

    @written
    def once(wf: Builder) -> None:
        fetch = failing(KeyError(), ran, retry={"attempts": 5, "delay": 0})
        wf.timeline(fetch)
        wf.diverge(fetch, {"Transient": "retry", KeyError: "fail"})

    with pytest.raises(WorkflowError):
        once.run()
    assert ran == ["fetch"] * 4


def test_a_diverted_failure_stays_where_it_led_when_the_rest_is_resumed() -> None:
    ran: list[str] = []
    broken = [True]
    fetch = failing(Transient(), ran)

    @step
    def mirror() -> str:
        ran.append("mirror")
        if broken:
            raise ValueError
        return "from the mirror"

    @written
    def deploy(wf: Builder) -> None:
        wf.timeline(fetch)
        wf.diverge(fetch, {Transient: mirror})

    with pytest.raises(WorkflowError) as caught:
        deploy.run()
    assert caught.value.failed_step == "mirror"
    verbs = wiring.verbs(None)
    at = verbs.status(caught.value.execution_id).state.steps["fetch"]
    assert (at.status, at.diverted) == ("failed", "mirror")
    verbs.close()
    broken.clear()
    result = asyncio.run(caught.value.resume())
    assert ran == ["fetch", "mirror", "mirror"]
    assert result.results == {"mirror": "from the mirror"}


# Handlers, and steps that are no functions

TOLD = """
from cerebelum import step, workflow

ran = []

@step
def bad():
    if not ran:
        raise OSError("no disk")

@step
def later(bad):
    raise ValueError("later")

@step
def here(context):
    error = context.error
    return [context.status, context.failed_step, list(context.failed_steps), error.kind, error.message,
            "raise OSError" in error.traceback]

@step(isolated=True)
def apart(context):
    error = context.error
    return [context.status, context.failed_step, list(context.failed_steps), error.kind, error.message,
            "raise OSError" in error.traceback]

@workflow
def told(wf):
    wf.timeline(bad >> later)
    script = 'echo "$CEREBELUM_STATUS $CEREBELUM_FAILED_STEPS $CEREBELUM_ERROR"'
    said = {"SAID": "${{ execution.failed_steps[0] }}: ${{ execution.error }}"}
    wf.on_failure(
        here >> apart >> wf.shell(script, name="script", output="text")
        >> wf.shell('echo "$SAID"', name="expressions", env=said, output="text")
    )
"""


def test_handlers_run_when_they_should() -> None:
    ran: list[str] = []
    good, undo, cheer, end = steps("good undo cheer end", ran)

    @step
    def bad() -> None:
        raise ValueError

    @written
    def fails(wf: Builder) -> None:
        wf.timeline(bad)
        wf.on_failure(undo)
        wf.on_success(cheer)
        wf.finally_(end)

    @written
    def works(wf: Builder) -> None:
        wf.timeline(good)
        wf.on_failure(undo)
        wf.on_success(cheer)
        wf.finally_(end)

    with pytest.raises(WorkflowError):
        fails.run()
    assert ran == ["undo", "end"]
    works.run()
    assert ran[2:] == ["good", "cheer", "end"]


def test_a_handler_knows_what_failed_and_why_also_after_a_resume(tmp_path: Path) -> None:
    path = tmp_path / "told.py"
    path.write_text(TOLD)
    names: dict[str, Any] = {}
    exec(compile(TOLD, str(path), "exec"), names)
    with pytest.raises(WorkflowError) as caught:
        names["told"].run()
    told = caught.value.result.results
    assert told["here"] == told["apart"] == ["failed", "bad", ["bad"], "exception", "OSError: no disk", True]
    assert told["script"] == "failed bad OSError: no disk"
    assert told["expressions"] == "bad: OSError: no disk"
    # Whoever goes on has only the log.
    names["ran"].append("mended")
    with pytest.raises(WorkflowError) as again:
        asyncio.run(caught.value.resume())
    assert again.value.result.results["here"][1] == "later"


def test_a_handler_is_told_of_no_failure_where_there_is_none() -> None:
    @step
    def fine(context: Context) -> Any:
        return [context.status, context.failed_step, list(context.failed_steps), context.error]

    @step
    def tidy(context: Context) -> Any:
        return [context.status, context.failed_step, list(context.failed_steps), context.error]

    @written
    def works(wf: Builder) -> None:
        wf.timeline(fine)
        wf.finally_(tidy >> wf.shell('echo "$CEREBELUM_STATUS/$CEREBELUM_ERROR"', name="script", output="text"))

    results = works.run().results
    assert results == {
        "fine": [None, None, [], None],
        "tidy": ["completed", None, [], None],
        "script": "completed/",
    }


def test_a_handler_is_told_that_it_took_too_long_as_a_whole() -> None:
    @step
    async def slow() -> None:
        await asyncio.sleep(3600)

    @step
    def tidy(context: Context) -> Any:
        assert context.error is not None
        return [context.status, context.error.kind]

    @workflow(timeout=0.2)
    def late(wf: Builder) -> None:
        wf.timeline(slow)
        wf.finally_(tidy)

    with pytest.raises(WorkflowError) as caught:
        late.run()
    assert caught.value.result.results["tidy"] == ["failed", "timeout"]


def test_scripts_sleeps_and_approvals_stand_in_timelines() -> None:
    @step
    def version() -> str:
        return "1.2"

    @step
    def last(build: str, go: Any) -> Any:
        return [build, go]

    @written
    def deploy(wf: Builder) -> None:
        build = wf.shell("echo $V", name="build", env={"V": "${{ steps.version.output }}"}, output="text")
        go = wf.approval("Roll out ${{ inputs.name }}?", name="go", timeout="1h", on_timeout="approve")
        wf.timeline(version >> [build, wf.sleep(0)] >> go >> last)

    waiting = deploy.run({"name": "it"}, park=True)
    assert waiting.status == "waiting_for_approval"
    verbs = wiring.verbs(None)
    assert verbs.status(waiting.execution_id).state.steps["go"].calls[0].request.message == "Roll out it?"  # type: ignore[union-attr]
    verbs.approve(waiting.execution_id, by="me", response={"ok": True})
    verbs.close()
    assert asyncio.run(deploy.resume(waiting.execution_id)).output == ["1.2", {"ok": True}]


# What is refused


def line_of(function: Any, text: str) -> int:
    """The line of the test file that has this text, in this test."""
    lines, first = inspect.getsourcelines(function)
    return first + next(number for number, line in enumerate(lines) if text in line)


def problems(define: Callable[[Builder], object]) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        written(define).run()
    return [problem.text() for problem in caught.value.problems]


def test_everything_that_is_wrong_is_said_with_its_place() -> None:
    @step
    def fetch() -> None: ...

    @step
    def lint(fecth: Any) -> None: ...  # wrong name

    @step
    def early(ship: Any) -> None: ...  # comes before

    @step
    def ship() -> None: ...

    @step(env={"A": "b"})
    def placed() -> None: ...  # no process

    @step(retry=0)
    def never() -> None: ...  # no attempt

    @step(when="inputs.")
    def odd() -> None: ...  # syntax

    def define(wf: Builder) -> None:
        wf.timeline(fetch >> lint >> early >> ship >> placed >> never >> odd)
        wf.shell("x", name="lost")  # not placed

    here = test_everything_that_is_wrong_is_said_with_its_place
    assert problems(define) == [
        f"{__file__}:{line_of(here, '# not placed')}: the step `lost` is never reached; put it into a timeline"
    ]

    def placed_all(wf: Builder) -> None:
        wf.timeline(fetch >> lint >> early >> ship >> placed >> never >> odd)
        wf.timeline(wf.shell("echo ${{ inputs.x }}", name="literal"))
        wf.timeline(wf.use("rnu", "x", name="unknown"))
        wf.timeline(wf.approval("${{ steps.ship.output }}", name="first"))

    found = problems(placed_all)
    for text, part in (
        ("# wrong name", "step `lint`: `fecth` is no step before this one; did you mean `fetch`?"),
        ("# comes before", "step `early`: `ship` is a step, but does not come before this one"),
        ("# no process", "step `placed`: a function in the runner's own process cannot have env=; add isolated=True"),
        ("# no attempt", "step `never`: retry= has at least one attempt"),
        ("# syntax", "step `odd`: "),
        ('name="literal"', "step `literal`: run takes no expressions"),
        ('name="unknown"', "step `unknown`: nobody performs `rnu`; did you mean `run`?"),
        ('name="first"', "step `first`: `ship` is a step, but does not come before this one"),
    ):
        [line] = [line for line in found if part in line]
        # A decorated function begins at its decorator.
        place = int(line.removeprefix(f"{__file__}:").partition(":")[0])
        assert 0 <= line_of(here, text) - place <= 1
    assert len(found) == 8


def test_a_handler_is_told_where_results_are() -> None:
    (a,) = steps("a", [])

    @step
    def undo(a: Any) -> None: ...

    def define(wf: Builder) -> None:
        wf.timeline(a)
        wf.on_failure(undo)

    [problem] = problems(define)
    assert problem.endswith("a handler finds the results that there are in context.outputs")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runs_on": {"labels": ["a100"]}}, "runs_on= is the name of a queue, or a dict with queue and labels"),
        ({"runs_on": "g p u"}, "runs_on=: 'g p u' cannot be the name of a queue"),
        ({"runs_on": {"queue": "gpu", "labels": "a100"}}, "labels are a list of texts"),
        ({"on_interrupt": "maybe"}, "on_interrupt=: `maybe` is not one of the choices; there is `rerun`"),
        ({"continue_on_error": "no"}, "continue_on_error=: expected true or false, this is a text"),
        ({"secrets": "TOKEN"}, "secrets=: expected a list, this is a text"),
        ({"isolated": "no"}, "isolated=: expected true or false, this is a text"),
        ({"isolated": True, "working_dir": 3}, "working_dir=: expected a text, this is an integer"),
        ({"isolated": True, "env": ["A=b"]}, "env=: expected a mapping, this is a list"),
        ({"description": 3}, "description=: expected a text"),
    ],
)
def test_options_of_a_step_that_cannot_be_are_refused(options: Any, message: str) -> None:
    [problem] = problems(lambda wf: wf.timeline(step(name="a", **options)(lambda: 1)))
    assert re.match(r"\S+test_orders\.py:\d+: step `a`: ", problem)
    assert message in problem


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_parallel": 0}, "max_parallel=: 0 is not at least 1"),
        ({"max_parallel": 2000}, "max_parallel=: 2000 is not at most 1024"),
        ({"timeout": float("nan")}, "this is not a number"),
        ({"max_parallel": "3"}, "max_parallel=: expected an integer, this is a text"),
        ({"secrets": "TOKEN"}, "secrets=: expected a list, this is a text"),
        ({"name": ""}, "name=: "),
        ({"portable": "yes"}, "portable=: expected true or false, this is a text"),
        ({"timeout": "soon"}, "timeout=: 'soon': this is not a duration; write it like"),
    ],
)
def test_options_of_a_workflow_that_cannot_be_are_refused(options: Any, message: str) -> None:
    (a,) = steps("a", [])
    with pytest.raises(DefinitionError, match=r"test_orders\.py:\d+: @workflow: ") as caught:
        workflow(**options)(lambda wf: wf.timeline(a)).run()
    assert message in str(caught.value)


def test_one_mistake_is_one_problem() -> None:
    [problem] = problems(lambda wf: wf.timeline(wf.sleep(1) >> wf.sleep(2)))
    assert "there is another step `sleep`" in problem
    [problem] = problems(lambda wf: wf.timeline(wf.approval("Go?", on_timeout="never")))  # type: ignore[arg-type]
    assert "`never` is not one of the choices" in problem
    assert "expressions" not in problem


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda wf, a, b: None, "the workflow has no steps"),
        (lambda wf, a, b: wf.timeline(a >> a), "the step `a` is used twice"),
        (lambda wf, a, b: wf.timeline(a >> step(name="a")(lambda: 1)), "there is another step `a`"),
        (lambda wf, a, b: wf.timeline(step(lambda: 1)), "cannot be the name of a step"),
        (lambda wf, a, b: (wf.timeline(a), wf.branch(after=b, when={True: a})), "the branch is after `b`"),
        (lambda wf, a, b: (wf.timeline(a >> b), wf.branch(after=b, when={True: a})), "a cycle"),
        (
            lambda wf, a, b: (
                wf.timeline(a),
                wf.branch(after=a, when={True: b}),
                wf.branch(after=a, when={True: b}),
            ),
            "branches lead to the step `b` twice",
        ),
        (lambda wf, a, b: (wf.timeline(a), wf.diverge(b, {"x": "fail"})), "failures of `b` are diverted"),
        (lambda wf, a, b: (wf.timeline(a >> b), wf.diverge(a, {"x": b})), "which has its place already"),
        (lambda wf, a, b: (wf.timeline(a), wf.branch(after=a, when={"nope.x": b})), "`nope` is not a known name"),
    ],
)
def test_orders_that_cannot_be_are_refused(wrong: Any, message: str) -> None:
    a, b = steps("a b", [])
    [problem] = problems(lambda wf: wrong(wf, a, b))
    assert message in problem
    assert "test_orders.py:" in problem


def test_a_step_that_is_used_twice_is_told_with_the_line_that_does_it() -> None:
    def there(wf: Builder) -> None:
        wf.timeline(a >> b)
        wf.on_failure(a)

    a, b = steps("a b", [])
    [problem] = problems(there)
    line = there.__code__.co_firstlineno + 2
    assert f"test_orders.py:{line}: the step `a` is used twice (defined at {a.where})" in problem


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda wf, a: wf.timeline(print), "print is no step"),
        (lambda wf, a: wf.timeline(a >> [a, 3]), "3 is no step"),
        (lambda wf, a: wf.branch(after=print, when={True: a}), "print is no step"),
        (lambda wf, a: wf.branch(after=a, when={}), "a branch needs conditions"),
        (lambda wf, a: wf.branch(after=a, when={True: []}), "a branch leads to steps"),
        (lambda wf, a: wf.branch(after=a, when={3: a}), "3 is no condition"),
        (lambda wf, a: wf.diverge(a, {}), "failures are diverted by rules"),
        (lambda wf, a: wf.diverge(a, {"x": "again"}), "'again' is not possible here"),
        (lambda wf, a: wf.diverge(a, {"x": []}), "a failure leads to steps"),
        (lambda wf, a: wf.sleep("soon"), "'soon'"),
    ],
)
def test_what_is_no_order_at_all_is_refused_at_once(wrong: Any, message: str) -> None:
    (a,) = steps("a", [])
    with pytest.raises(UsageError, match=message) as caught:
        written(lambda wf: wrong(wf, a)).run()
    assert "test_orders.py:" in (caught.value.where or "")


def test_decorators_say_what_they_take() -> None:
    with pytest.raises(UsageError, match="@step has no option retries"):
        step(retries=3)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="@workflow has no option parallel"):
        workflow(parallel=3)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="belongs above a function"):
        step(3)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="name=3 is no text"):
        step(name=3)(lambda: 1)  # type: ignore[call-overload]
    nothing: Any
    for nothing in (None, 0, [], False):
        with pytest.raises(UsageError, match=re.escape(f"name={nothing!r} is no text")):
            step(name=nothing)(lambda: 1)
    with pytest.raises(UsageError, match="is a step already"):
        step(step(lambda: 1))
    with pytest.raises(DefinitionError, match=r"test_orders\.py:\d+.*neither a dataclass nor"):
        workflow(inputs=int)(lambda wf: wf.timeline(step(name="a")(lambda: 1))).run()
