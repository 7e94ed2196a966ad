"""Driving a Python workflow in this process, from blocking and from asynchronous code, or in another one."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from cerebelum.core.decide import Stopping
from cerebelum.core.errors import OK, USAGE, CerebelumError, UsageError
from cerebelum.core.step_kind import Defines
from cerebelum.engine.settings import DEFAULTS, Settings
from cerebelum.sdk import wiring
from cerebelum.sdk.arguments import named_store
from cerebelum.sdk.core_url import VARIABLE, store_of
from cerebelum.sdk.input_types import plain
from cerebelum.sdk.results import ExecutionResult, WorkflowError, result_of
from cerebelum.steps.capture import Echo
from cerebelum.steps.descriptors import lent

if TYPE_CHECKING:
    import asyncio

    from cerebelum.engine.session import Result
    from cerebelum.sdk.course import How
    from cerebelum.sdk.verbs import Verbs


class Runnable(Defines, Protocol):
    """As much of a Python workflow as there is to running it."""

    @property
    def path(self) -> Path: ...

    @property
    def function_name(self) -> str: ...


class Run:
    """One run of a workflow on a store."""

    def __init__(
        self,
        workflow: Runnable | Path,
        connect: Callable[[], Verbs],
        *,
        settings: Settings = DEFAULTS,
    ) -> None:
        self._workflow = workflow
        self._connect = connect
        self._settings = settings
        self._driven: Any = None
        self._stopping: Stopping | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        """Where coroutines run; None: on an event loop of their own."""

    def start(self, inputs: Any, options: Mapping[str, Any]) -> ExecutionResult:
        """Run it. Raises what `PythonWorkflow.run` raises."""
        given = plain(inputs)
        how = {key: options[key] for key in ("execution_id", "or_resume", "lock") if key in options}
        tags = tuple(options.get("tags", ()))
        park = options.get("park", False)
        return self._drive(lambda verbs, more: verbs.run(self._workflow, given, tags=tags, **how, **more), park)

    def resume(
        self, execution_id: str, from_step: str | None = None, accept_changes: bool = False, park: bool = False
    ) -> ExecutionResult:
        """Go on with an execution. Raises what `PythonWorkflow.resume` raises."""
        workflow = self._workflow

        def go_on(verbs: Verbs, how: How) -> Result:
            return verbs.resume(execution_id, from_step=from_step, accept_changes=accept_changes, file=workflow, **how)

        return self._drive(go_on, park)

    def stop(self) -> None:
        """Have the execution paused in an orderly way, now or as soon as it begins."""
        self._stopping = Stopping("signal", "SIGINT")
        if self._driven is not None:
            self._driven.stop(self._stopping)

    def _drive(self, work: Callable[[Verbs, How], Result], park: bool) -> ExecutionResult:
        verbs = self._connect()
        live = self._settings.live or Echo()
        settings = msgspec.structs.replace(self._settings, park=park, live=live)
        in_main = threading.current_thread() is threading.main_thread()
        how: How = {
            "settings": settings,
            "heed_signals": in_main,
            "on_engine": self._began,
        }
        try:
            with lent():
                result = work(verbs.performing(self._workflow, self.loop), how)
        finally:
            verbs.close()
        if result.state.paused is not None and result.state.paused.signal == "SIGINT" and self._stopping is None:
            interrupt = KeyboardInterrupt()
            interrupt.add_note(f"{result.execution_id} is paused; go on with: cerebelum resume {result.execution_id}")
            raise interrupt
        if result.end != "parked" and result.state.ended != "completed":
            raise WorkflowError(result.state, self._again(result.execution_id))
        return result_of(result.state)

    def _began(self, engine: Any) -> None:
        self._driven = engine
        if self._stopping is not None:
            engine.stop(self._stopping)

    def _again(self, execution_id: str) -> Callable[[], Awaitable[ExecutionResult]]:
        async def again() -> ExecutionResult:
            run = Run(self._workflow, self._connect, settings=self._settings)
            return await awaited(run, lambda: run.resume(execution_id))

        return again


def connecting(options: Mapping[str, Any]) -> Callable[[], Verbs]:
    """What opens the verbs on the store, or at the service, that the options name. Raises UsageError."""
    store = options.get("store")
    core_url, where = options.get("core_url"), "core_url"
    if core_url is None and options.get("distributed"):
        core_url, where = os.environ.get(VARIABLE), VARIABLE
        if not core_url:
            raise UsageError(f"distributed, but {VARIABLE} is not set", hint=f"{VARIABLE}=host:9090, or core_url=")
    if core_url is None:
        return lambda: wiring.verbs(named_store(store))
    if store is not None:
        raise UsageError("store and a service exclude each other", hint="a service knows which store it is of")
    service = store_of(core_url, where)
    return lambda: wiring.verbs(service)


async def awaited(run: Run, work: Callable[[], ExecutionResult]) -> ExecutionResult:
    """What `work()`, which drives `run`, returns in a thread of its own, while coroutines of its steps run here."""
    import asyncio

    loop = run.loop = asyncio.get_running_loop()
    done: asyncio.Future[ExecutionResult] = loop.create_future()

    def settle(result: ExecutionResult | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        elif result is not None:
            done.set_result(result)

    def drive() -> None:
        try:
            outcome: tuple[ExecutionResult | None, BaseException | None] = (work(), None)
        except BaseException as error:
            outcome = (None, error)
        loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=drive, name="cerebelum-run", daemon=True).start()
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        run.stop()
        # Its steps may need this loop to end.
        while not done.done():
            try:
                await asyncio.shield(done)
            except asyncio.CancelledError:
                continue
            except BaseException:
                break
        done.exception()
        raise


def start_detached(workflow: Runnable, inputs: Any, options: Mapping[str, Any]) -> str:
    """Start a workflow in a process of its own; its id. Raises what `PythonWorkflow.start` raises."""
    from cerebelum.sdk.launching import launch

    if not workflow.path.is_file():
        raise UsageError(
            f"the workflow {workflow.name} is in no file, so no other process can load it",
            hint="put it into a file, or await execute() here",
        )
    words = ["run", f"{workflow.path}:{workflow.function_name}"]
    if (execution_id := options.get("execution_id")) is not None:
        words += ["--id", execution_id]
    words += ["--or-resume"] if options.get("or_resume") else []
    words += [word for tag in options.get("tags", ()) for word in ("--tag", tag)]
    words += ["--park"] if options.get("park") else []
    words += [f"--lock={options['lock']}"] if options.get("lock") is not None else []
    return launch(words, store=named_store(options.get("store")), inputs=plain(inputs))


def perform(workflow: Runnable, arguments: Iterable[str] | None) -> None:
    """Perform a command line about a workflow, and end the process with its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    at = _verb_at(words)
    verb = words[at] if at < len(words) else ""
    if not words or words in (["-h"], ["--help"], ["help"]):
        try:
            print(_own_help(workflow))
        except CerebelumError:
            # Which says what is wrong with it.
            sys.exit(wiring.main(["validate", f"{workflow.path}:{workflow.function_name}"]))
        sys.exit(OK if words else USAGE)
    if verb in ("run", "validate", "graph"):
        words.insert(at + 1, f"{workflow.path}:{workflow.function_name}")
    elif verb == "list":
        # A workflow that is named behind it counts instead.
        words[at + 1 : at + 1] = ["--workflow", workflow.name]
    sys.exit(wiring.main(words))


_VALUED = ("--store", "--core-url", "--plugin")
"""Options in front of the verb that take a value."""
_WIDE = 60
"""Characters up to which the inputs are listed beside `run`."""


def _verb_at(words: list[str]) -> int:
    """Where the verb of a command line is; its length if there is none."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in _VALUED else 1
    return at


def _own_help(workflow: Runnable) -> str:
    """What a program says that is one workflow, of itself."""
    me = Path(sys.argv[0]).name
    loaded = workflow.loaded(wiring.verbs(None).executors()).workflow
    about = f"The workflow {loaded.name}" + (f": {loaded.description}" if loaded.description else "")
    named = (f"-i {n}=..." if given.required else f"[-i {n}=...]" for n, given in loaded.inputs.items())
    inputs = " ".join(named)
    if loaded.free_inputs or len(inputs) > _WIDE:
        inputs = "[-i NAME=VALUE]..."
    rows = [
        (f"run {inputs}".rstrip(), "start it and see it through"),
        ("status [ID]", "what happened, and what to do next"),
        ("resume ID", "go on where it stopped"),
        ("list", "its executions, newest first"),
    ]
    width = max(len(call) for call, _ in rows)
    listed = "\n".join(f"  {me} {call:{width}}  {what}" for call, what in rows)
    more = f"Every other verb of cerebelum is there, too; `{me} VERB --help` tells more about one."
    return f"{about}\n\n{listed}\n\n{more}"
