"""Steps that are Python functions: called in the runner's process, or in a child process of their own.

In the runner's process a function shares environment, working directory and imported modules with everything else; it
is asked to end by `context.cancelled` and cannot be forced. `isolated: true` gives it a process, with the step's `env`
and `working_dir`, that is killed like a shell step's.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cerebelum.core.errors import CerebelumError
from cerebelum.core.events import StepError
from cerebelum.core.model import Step
from cerebelum.core.outcome import Completed, Failed, Interrupted, Outcome
from cerebelum.steps.executor import Executor, Invocation, Stop
from cerebelum.steps.output_values import OutputError, one_line, to_output

if TYPE_CHECKING:
    import asyncio

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
    """Calls `module:function` or `file.py:function`; what it returns is the output."""

    key = "python"
    summary = "a Python function"
    body: Any = str
    options: Any = PythonOptions
    literal: tuple[str, ...] = ("python", "isolated")
    captures_output = True

    def run(self, call: Invocation) -> Outcome:
        return _in_child(call) if call.options.get("isolated") else _in_process(call)

    def fingerprint(self, step: Step, folder: Path) -> str | None:
        from cerebelum.plugins.python.call import find_target
        from cerebelum.plugins.python.source import function_digest

        if step.working_dir is not None and not step.options.get("isolated"):
            raise CerebelumError(
                "a function in the runner's own process cannot have a `working_dir`", hint="add `isolated: true`"
            )
        return function_digest(find_target(step.body, folder))


def _in_process(call: Invocation) -> Outcome:
    from cerebelum.plugins.python.call import (
        ArgumentError,
        Context,
        call_function,
        explain,
        find_target,
        load_function,
    )
    from cerebelum.steps.capture import captured

    context = Context(
        **_facts(call),
        inputs=call.inputs,
        outputs=call.outputs,
        secrets=call.secrets,
        is_cancelled=lambda: call.stop.requested,
        wait=call.stop.wait,
    )
    error: StepError
    try:
        with captured(call.sink):
            try:
                function = load_function(find_target(call.body, call.folder), call.folder)
            except CerebelumError as wrong:
                return Failed(StepError(kind="not_found", message=one_line(wrong)))
            value = call_function(function, call.options.get("with") or {}, context, call.inputs)
            if hasattr(value, "__await__"):
                value = _awaited(value, call.stop)
        return Interrupted() if call.stop.requested else Completed(to_output(value))
    except OutputError as wrong:
        error = StepError(kind="output", message=one_line(wrong))
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
    if "kind" in answer:
        error = StepError(answer["kind"], answer["message"], traceback=answer.get("traceback"), tail=tail)
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
        "workflow": call.workflow,
        "step": call.step.id,
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


def _awaited(awaitable: Any, stop: Stop) -> Any:
    """Wait for `awaitable` on the event loop; cancel it once when `stop` is requested, and wait for its end."""
    from concurrent.futures import CancelledError, Future

    loop = _event_loop()
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
