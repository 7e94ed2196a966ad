"""Steps that are Python functions: called in the runner's process, or in a child process of their own.

In the runner's process a function shares environment, working directory and imported modules with everything else; it
is asked to end by `context.cancelled` and cannot be forced. `isolated: true` gives it a process, with the step's `env`
and `working_dir`, that is killed like a shell step's.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cerebelum.core.errors import CerebelumError, ExpressionError
from cerebelum.core.events import StepError
from cerebelum.core.model import Step
from cerebelum.core.outcome import Approval, Completed, Failed, Interrupted, Outcome, Sleep
from cerebelum.steps.executor import Executor, Invocation, Stop
from cerebelum.steps.output_values import OutputError, one_line, to_output

if TYPE_CHECKING:
    import asyncio

    from cerebelum.core.step_kind import Defines

_CHILD = """\
import sys
sys.path.insert(0, sys.argv[1])
from cerebelum.plugins.python.child import main
sys.path.remove(sys.argv[1])
main()
"""


class PythonOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"with_": "with"}):
    """Keys beside `python:`."""

    with_: dict[str, Any] = {}
    """Arguments by name."""
    isolated: bool = False
    """True: in a child process."""


class Python:
    """Calls `module:function` or `file.py:function`; what it returns is the output.

    In a file with workflows written in Python, `file.py:workflow.step` is the function of a step.
    """

    key = "python"
    summary = "a Python function"
    body: Any = str
    options: Any = PythonOptions
    literal: tuple[str, ...] = ("python", "isolated")
    captures_output = True

    def run(self, call: Invocation) -> Outcome:
        return _in_child(call) if call.options.get("isolated") else _in_process(call, _load(call))

    def fingerprint(self, step: Step, folder: Path) -> str | None:
        from cerebelum.plugins.python.call import find_target
        from cerebelum.plugins.python.source import function_digest

        if step.working_dir is not None and not step.options.get("isolated"):
            raise CerebelumError(
                "a function in the runner's own process cannot have a `working_dir`", hint="add `isolated: true`"
            )
        target = find_target(step.body, folder)
        if target.step is not None:
            raise CerebelumError(f"{step.body!r} names a step of a workflow in Python", hint="name a function")
        return function_digest(target)

    def defined(self, path: Path, wanted: str | None, name: str | None) -> Defines:
        """A workflow written in Python: what the file knows as `wanted`, the one called `name`, or the only one.

        Raises UsageError if it cannot be told which, DefinitionError for a file that cannot be loaded.
        """
        from cerebelum.plugins.python.flows import find_workflow

        return find_workflow(path, wanted, name)

    def bound(
        self, functions: Callable[[], Mapping[str, Callable[..., Any]]], loop: asyncio.AbstractEventLoop | None
    ) -> Executor:
        """The same, performing the functions that `functions()` gives by step; coroutines run on `loop`."""
        return _Bound(functions, loop)


class _Bound(Python):
    def __init__(
        self, functions: Callable[[], Mapping[str, Callable[..., Any]]], loop: asyncio.AbstractEventLoop | None
    ) -> None:
        self._functions = functools.cache(functions)
        self._loop = loop

    def run(self, call: Invocation) -> Outcome:
        function = self._functions().get(call.step.id)
        if function is None or call.options.get("isolated"):
            return super().run(call)
        return _in_process(call, lambda: function, self._loop)


def _load(call: Invocation) -> Callable[[], Callable[..., Any]]:
    from cerebelum.plugins.python.call import find_target, load_function

    return lambda: load_function(find_target(call.body, call.folder), call.folder)


def _in_process(
    call: Invocation, load: Callable[[], Callable[..., Any]], loop: asyncio.AbstractEventLoop | None = None
) -> Outcome:
    from cerebelum.plugins.python.call import ArgumentError, call_function, explain
    from cerebelum.steps.capture import captured
    from cerebelum.steps.context import Context
    from cerebelum.steps.suspension import Suspended, answering

    context = Context(
        **_facts(call),
        inputs=call.inputs,
        outputs=call.outputs,
        secrets=call.secrets,
        is_cancelled=lambda: call.stop.requested,
        wait=call.stop.wait,
        write=lambda data: call.sink.write("stdout", data),
    )
    error: StepError
    try:
        with captured(call.sink), answering(call.answers):
            try:
                function = load()
            except CerebelumError as wrong:
                return Failed(StepError(kind="not_found", message=one_line(wrong)))
            value = call_function(function, call.options.get("with") or {}, context, call.inputs)
            if hasattr(value, "__await__"):
                value = _awaited(value, call.stop, loop)
        return Interrupted() if call.stop.requested else Completed(to_output(value))
    except Suspended as wait:
        return wait.outcome
    except OutputError as wrong:
        error = StepError(kind="output", message=one_line(wrong))
    except ExpressionError as wrong:
        error = StepError(kind="expression", message=one_line(wrong))
    except ArgumentError as wrong:
        return Failed(StepError(kind="arguments", message=one_line(wrong)), retryable=False)
    except BaseException as raised:
        if call.stop.requested:
            return Interrupted()
        error = explain(raised)
    return Failed(msgspec.structs.replace(error, tail=call.sink.tail() or None))


def _in_child(call: Invocation) -> Outcome:
    import json

    from cerebelum.steps.process import exit_error, run_process

    result = call.scratch / "result.json"
    request = {
        "target": call.body,
        "folder": str(call.folder),
        "with": call.options.get("with") or {},
        "inputs": dict(call.inputs),
        "outputs": dict(call.outputs),
        "secrets": dict(call.secrets),
        "context": _facts(call),
        "answers": msgspec.to_builtins(call.answers),
        "result": str(result),
    }
    package = Path(__file__).parents[3]
    ended = run_process(
        [sys.executable, *_alone(), "-X", f"utf8={sys.flags.utf8_mode}", "-c", _CHILD, str(package)],
        env=call.env,
        cwd=call.cwd,
        stop=call.stop,
        sink=call.sink,
        tracker=call.tracker,
        stdin=json.dumps(request).encode("ascii"),
    )
    if isinstance(ended, Failed):
        return ended
    if ended.stopped:
        return Interrupted()
    try:
        answer = json.loads(result.read_bytes())
    except (OSError, ValueError):
        answer = {}
    tail = call.sink.tail() or None
    if ended.ok and "output" in answer:
        return Completed(answer["output"])
    if ended.ok and "waits" in answer:
        kind: type[Sleep | Approval] = Sleep if answer["kind"] == "Sleep" else Approval
        return msgspec.convert(answer["waits"], kind)
    if "message" in answer:
        error = msgspec.structs.replace(msgspec.convert(answer, StepError), tail=tail)
        return Failed(error, retryable=error.kind != "arguments")
    crash = exit_error(ended, tail or "")
    when = "after the function had returned" if "output" in answer else "before the function had returned"
    return Failed(msgspec.structs.replace(crash, message=f"the process ended {when}: {crash.message}"))


def _alone() -> list[str]:
    # As in this process itself: in the binary, variables such as PYTHONHOME are meant for other Pythons.
    return ["-I" if sys.flags.isolated else "-P"]


def _facts(call: Invocation) -> dict[str, Any]:
    return {
        "execution_id": call.execution_id,
        "workflow_name": call.workflow,
        "step_name": call.step.id,
        "attempt": call.attempt,
        "idempotency_key": call.idempotency_key,
    }


_starting = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def _event_loop() -> asyncio.AbstractEventLoop:
    """The one event loop of all `async def` step functions, in a thread of its own, started by the first of them."""
    global _loop
    with _starting:
        if _loop is None:
            import asyncio

            _loop = asyncio.new_event_loop()
            threading.Thread(target=_serve, args=(_loop,), name="cerebelum-async", daemon=True).start()
        return _loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        try:
            loop.run_forever()
            return
        except (SystemExit, KeyboardInterrupt):
            # A task that a function started raised it; it must not take the other steps' tasks with it.
            continue


def _awaited(awaitable: Any, stop: Stop, loop: asyncio.AbstractEventLoop | None = None) -> Any:
    """Wait for `awaitable` on the event loop; cancel it once when `stop` is requested, and wait for its end."""
    from concurrent.futures import CancelledError, Future

    loop = loop or _event_loop()
    done: Future[Any] = Future()
    tasks: list[asyncio.Task[None]] = []

    async def work() -> None:
        try:
            done.set_result(await awaitable)
        except BaseException as error:
            # Also SystemExit and KeyboardInterrupt, which would end the event loop.
            done.set_exception(error)

    def ended(_: object) -> None:
        if not done.done():
            # Cancelled before its first step, so that `work` never ran.
            done.set_exception(CancelledError())
            if hasattr(awaitable, "close"):
                awaitable.close()

    def start() -> None:
        tasks.append(loop.create_task(work()))
        tasks[0].add_done_callback(ended)

    def end() -> None:
        if len(tasks) == 1:
            # Only once: a second cancel would interrupt what the function does to end cleanly.
            tasks.append(tasks[0])
            tasks[0].cancel()

    loop.call_soon_threadsafe(start)
    stop.on_request(lambda: loop.call_soon_threadsafe(end))
    return done.result()


def cerebelum_executors() -> Iterable[Executor]:
    return [Python()]
