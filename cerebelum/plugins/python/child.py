"""The child process of an isolated Python step: reads the request from stdin, calls the function, writes the result.

Nothing else is imported here than what the call needs, because every isolated step pays for it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from cerebelum.core.errors import CerebelumError
from cerebelum.host.environment import plugin_places
from cerebelum.plugins.python.call import (
    ArgumentError,
    call_function,
    explain,
    find_target,
    load_function,
    taken_by,
)
from cerebelum.steps.context import Context
from cerebelum.steps.executor import Answer, Ending
from cerebelum.steps.output_values import OutputError, one_line, to_output
from cerebelum.steps.suspension import Answering, Suspended, suspended


def main() -> None:
    """Serve one request; exits 0 after a result, 1 after a failure that is described in the result's file."""
    import faulthandler

    faulthandler.enable()
    request = json.loads(sys.stdin.buffer.read())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    sys.path.extend(place for place in plugin_places(os.environ) if place not in sys.path)
    result = _perform(request)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    path = Path(request["result"])
    path.with_suffix(".part").write_text(json.dumps(result), encoding="ascii")
    path.with_suffix(".part").replace(path)
    sys.exit(1 if "message" in result else 0)


def _perform(request: dict[str, Any]) -> dict[str, Any]:
    asked = threading.Event()
    context = Context(
        **request["context"],
        inputs=request["inputs"],
        outputs=request["outputs"],
        secrets=request["secrets"],
        is_cancelled=asked.is_set,
        wait=asked.wait,
        write=lambda data: print(data.decode(), end=""),
        ending=msgspec.convert(request["ending"], Ending | None),
    )
    folder = Path(request["folder"])
    try:
        try:
            function = load_function(find_target(request["target"], folder), folder)
        except CerebelumError as error:
            return _failure("not_found", error)
        takes = taken_by(function)
        # A function that does not look at `cancelled` ends at once, as any program does.
        if takes is not None and "context" in takes.named:
            signal.signal(signal.SIGTERM, lambda *_: asked.set())
        with Answering(msgspec.convert(request["answers"], tuple[Answer, ...])):
            value = call_function(function, request["with"], lambda: context, request["inputs"])
            if hasattr(value, "__await__"):
                import asyncio

                value = asyncio.run(_await(value, asked))
        return {"output": to_output(value)}
    except Suspended as wait:
        return {"waits": msgspec.to_builtins(wait.outcome), "kind": type(wait.outcome).__name__}
    except OutputError as error:
        return _failure("output", error)
    except ArgumentError as error:
        return _failure("arguments", error)
    except BaseException as error:
        if isinstance(error, BaseExceptionGroup) and (left := suspended(error)) is not None:
            return {"waits": msgspec.to_builtins(left.outcome), "kind": type(left.outcome).__name__}
        return msgspec.to_builtins(explain(error))  # type: ignore[no-any-return]


def _failure(kind: str, error: CerebelumError) -> dict[str, Any]:
    return {"kind": kind, "message": one_line(error)}


async def _await(awaitable: Any, asked: threading.Event) -> Any:
    import asyncio

    task = asyncio.current_task()
    assert task is not None

    def end() -> None:
        if not asked.is_set():
            asked.set()
            task.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    return await awaitable
