"""Steps that are Python functions: called in the runner's process, or in a child process of their own.

In the runner's process a function shares environment, working directory and imported modules with everything else; it
is asked to end by `context.cancelled` and cannot be forced. `isolated: true` gives it a process, with the step's `env`
and `working_dir`, that is killed like a shell step's.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cerebelum.core.errors import CerebelumError
from cerebelum.core.events import StepError
from cerebelum.core.model import Step
from cerebelum.core.outcome import Approval, Completed, Failed, Interrupted, Outcome, Sleep
from cerebelum.steps.executor import Executor, Invocation

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
        from cerebelum.plugins.python.inside import in_process

        return _in_child(call) if call.options.get("isolated") else in_process(call, _load(call))

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
        from cerebelum.plugins.python.inside import in_process, loop_behind

        self._functions = functools.cache(functions)
        self._loop = loop or loop_behind()
        self._in_process = in_process

    def run(self, call: Invocation) -> Outcome:
        function = self._functions().get(call.step.id)
        if function is None or call.options.get("isolated"):
            return super().run(call)
        return self._in_process(call, lambda: function, self._loop)


def _load(call: Invocation) -> Callable[[], Callable[..., Any]]:
    from cerebelum.plugins.python.call import find_target, load_function

    return lambda: load_function(find_target(call.body, call.folder), call.folder)


def _in_child(call: Invocation) -> Outcome:
    import json

    from cerebelum.plugins.python.call import facts
    from cerebelum.steps.process import exit_error, run_process

    result = call.scratch / "result.json"
    request = {
        "target": call.body,
        "folder": str(call.folder),
        "with": call.options.get("with") or {},
        "inputs": dict(call.inputs),
        "outputs": dict(call.outputs),
        "secrets": dict(call.secrets),
        "context": facts(call),
        "answers": msgspec.to_builtins(call.answers),
        "ending": msgspec.to_builtins(call.ending),
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


def cerebelum_executors() -> Iterable[Executor]:
    return [Python()]
