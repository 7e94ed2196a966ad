"""A step's function, called in the runner's own process: what it prints is caught, what it awaits has an event loop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from cerebelum.core.errors import CerebelumError, ExpressionError
from cerebelum.core.events import StepError
from cerebelum.core.outcome import Completed, Failed, Interrupted, Outcome
from cerebelum.plugins.python.call import ArgumentError, call_function, explain, facts
from cerebelum.steps.capture import Captured
from cerebelum.steps.context import Context
from cerebelum.steps.executor import Invocation, Stop
from cerebelum.steps.output_values import OutputError, one_line, to_output
from cerebelum.steps.suspension import Answering, Suspended, suspended

if TYPE_CHECKING:
    import asyncio


def in_process(
    call: Invocation, load: Callable[[], Callable[..., Any]], loop: asyncio.AbstractEventLoop | None = None
) -> Outcome:
    """Call the function that `load()` gives; a coroutine runs on `loop`, or on an event loop for all of them."""
    error: StepError
    try:
        with Captured(call.sink), Answering(call.answers):
            try:
                function = load()
            except CerebelumError as wrong:
                return Failed(StepError(kind="not_found", message=one_line(wrong)))
            value = call_function(function, call.options.get("with") or {}, lambda: _context(call), call.inputs)
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
        if isinstance(raised, BaseExceptionGroup) and (asked := suspended(raised)) is not None:
            return asked.outcome
        if call.stop.requested:
            return Interrupted()
        error = explain(raised)
    return Failed(msgspec.structs.replace(error, tail=call.sink.tail() or None))


def _context(call: Invocation) -> Context:
    return Context(
        **facts(call),
        inputs=call.inputs,
        outputs=call.outputs,
        secrets=call.secrets,
        is_cancelled=lambda: call.stop.requested,
        wait=call.stop.wait,
        write=lambda data: call.sink.write("stdout", data),
        ending=call.ending,
    )


_starting = threading.Lock()
_loops: list[asyncio.AbstractEventLoop] = []
"""The event loop of all `async def` step functions; that of those which one of them runs and waits for; and so on."""


def _event_loop(at: int = 0) -> asyncio.AbstractEventLoop:
    """One of these, in a thread of its own, started by whoever needs it first."""
    with _starting:
        while len(_loops) <= at:
            import asyncio

            loop = asyncio.new_event_loop()
            threading.Thread(target=_serve, args=(loop,), name="cerebelum-async", daemon=True).start()
            _loops.append(loop)
        return _loops[at]


def loop_behind() -> asyncio.AbstractEventLoop | None:
    """Where coroutines have to run that one of ours, which this thread is performing, waits for without `await`."""
    if not _loops:
        return None
    import asyncio

    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return _event_loop(_loops.index(running) + 1) if running in _loops else None


def _after_fork() -> None:
    # The threads of those loops are the parent's.
    global _starting
    _starting = threading.Lock()
    _loops.clear()


os.register_at_fork(after_in_child=_after_fork)


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
