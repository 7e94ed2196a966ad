"""`@workflow`: a function that writes down an order of steps becomes a workflow that can be run."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload

import msgspec

from cerebelum.core.digests import sha256
from cerebelum.core.errors import CerebelumError, DefinitionError, Problem, UsageError
from cerebelum.core.model import Concurrency, Input, Loaded, Schedule, Source, Step, Workflow
from cerebelum.core.step_kind import StepKind
from cerebelum.sdk.arguments import named_execution, named_store, tag_list
from cerebelum.sdk.builder import Builder
from cerebelum.sdk.results import ExecutionResult
from cerebelum.sdk.workflow_registry import register
from cerebelum.steps.loading import refuse_while_loading
from cerebelum.steps.suspension import Length, seconds_of

if TYPE_CHECKING:
    from cerebelum.sdk.compiling import Compiled

Define = Callable[[Builder], object]
T = TypeVar("T")

_EXAMPLE = "def deploy(wf): wf.timeline(fetch >> ship)"


class WorkflowOptions(TypedDict, total=False):
    """What `@workflow` takes."""

    name: str
    """What the workflow is called, instead of the function's name."""
    inputs: type
    """A dataclass or msgspec Struct: what the inputs are; they are checked before anything starts."""
    max_parallel: int
    timeout: Length
    """What one run or resume may take in all."""
    secrets: Iterable[str]
    """Names of environment variables, for all steps."""
    concurrency: str | Mapping[str, str]
    """The group whose executions never overlap: its name, or a dict with `group` and `policy`."""
    schedule: str | Mapping[str, str] | Iterable[str | Mapping[str, str]]
    """When it starts by itself: a cron expression, a dict with `cron` and more, or a list of these."""
    portable: bool
    """Completed steps leave nothing on the disk that later ones need."""
    description: str


class RunOptions(TypedDict, total=False):
    """What everything that runs a workflow takes."""

    store: str | os.PathLike[str] | None
    """A URL or path; None is the default store."""
    execution_id: str | None
    tags: Iterable[str]
    or_resume: bool
    """With `execution_id`: go on with that execution if it is there, and do nothing if it has completed."""
    lock: str
    """The name of a lock: it waits until no other execution has that."""
    park: bool
    """Return instead of waiting where there is only a sleep, an approval or a lock to wait for."""
    core_url: str | None
    """A service that starts the workflow of this name, which it was given, and drives it there."""
    distributed: bool
    """The same, at the service that CEREBELUM_CORE_URL names."""


class PythonWorkflow:
    """A workflow written in Python."""

    def __init__(self, define: Define, options: WorkflowOptions) -> None:
        code = _code(define)
        self.__doc__, self.__name__, self.__module__ = define.__doc__, define.__name__, define.__module__
        self._define = define
        self._options = options
        self.name = options.get("name") or define.__name__.replace("_", "-")
        self.where = f"{code.co_filename}:{code.co_firstlineno}"
        self._path = Path(os.path.abspath(code.co_filename))
        self._lock = threading.RLock()
        self._compiled: Compiled | None = None
        self._found: tuple[Path, str] | None = None
        register(self.name, self.where)

    def __repr__(self) -> str:
        return f"<workflow {self.name} of {self.where}>"

    # -- running it ---------------------------------------------------------------------------------------------------

    def run(self, inputs: Any = None, **options: Unpack[RunOptions]) -> ExecutionResult:
        """Run it and return its result; `async def` steps run on an event loop of their own.

        `inputs` is a mapping, or an object of the type given as `inputs=`. Raises WorkflowError if it does not
        complete, UsageError before anything was recorded (DefinitionError for the workflow), StoreError.

        Example:
            >>> from cerebelum import step, workflow
            >>> @step
            ... def double(inputs):
            ...     return 2 * inputs["number"]
            >>> @workflow
            ... def doubling(wf):
            ...     wf.timeline(double)
            >>> doubling.run({"number": 21}, store="memory:").output
            42
        """
        from cerebelum.sdk.running import Run, connecting

        _check_options(options)
        refuse_while_loading(self.name)
        return Run(self, connecting(options)).start(inputs, options)

    async def execute(self, inputs: Any = None, **options: Unpack[RunOptions]) -> ExecutionResult:
        """The same, awaited: `async def` steps run on the caller's event loop, which nothing here ever blocks.

        Where the caller is cancelled, the execution is paused in an orderly way first.
        """
        from cerebelum.sdk.running import Run, awaited, connecting

        _check_options(options)
        refuse_while_loading(self.name)
        run = Run(self, connecting(options))
        return await awaited(run, lambda: run.start(inputs, options))

    async def resume(
        self,
        execution_id: str,
        *,
        store: str | os.PathLike[str] | None = None,
        core_url: str | None = None,
        from_step: str | None = None,
        accept_changes: bool = False,
        park: bool = False,
    ) -> ExecutionResult:
        """Go on with an execution that failed, was paused or interrupted; what has completed is not run again.

        `from_step` has it run again from there; with `core_url`, a service goes on with it. Raises WorkflowError,
        NotFound, OwnedElsewhere, DefinitionChanged, UsageError, StoreError.
        """
        from cerebelum.sdk.running import Run, awaited, connecting

        refuse_while_loading(self.name)
        run = Run(self, connecting({"store": store, "core_url": core_url}))
        return await awaited(run, lambda: run.resume(execution_id, from_step, accept_changes, park))

    def start(self, inputs: Any = None, **options: Unpack[RunOptions]) -> str:
        """Start it in a process of its own, which goes on when this one ends; its id, once that is recorded.

        Raises UsageError if it is not in a file that another process can load, or nothing could be started.
        """
        from cerebelum.sdk.running import start_detached

        _check_options(options)
        refuse_while_loading(self.name)
        return start_detached(self, inputs, options)

    def cli(self, arguments: Iterable[str] | None = None) -> None:
        """Be a program: `run`, `status`, `resume`, `list` and the other verbs, for this workflow. Ends the process."""
        from cerebelum.sdk.running import perform

        refuse_while_loading(self.name)
        perform(self, arguments)

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The file it is in; a name in the current folder if it is in none."""
        path, _ = self._place()
        return path if path.is_file() else Path.cwd() / "<interactive>.py"

    @property
    def function_name(self) -> str:
        """What its file knows it as."""
        return self._place()[1]

    def found(self, path: Path, name: str) -> None:
        """It is what the file `path` knows as `name`: where another process is to look for it."""
        self._found = path, name

    def _place(self) -> tuple[Path, str]:
        """The file that knows it, and the name: its function's own, unless it was given another one there, or was made
        for another file.
        """
        name, own = self._define.__name__, getattr(inspect.unwrap(self._define), "__globals__", {})
        if own.get(name) is self:
            return self._path, name
        if (other := _name_in(own, self)) is not None:
            return self._path, other
        if self._found is not None:
            return self._found
        main = vars(sys.modules["__main__"])
        if main.get("__file__") and (other := _name_in(main, self)) is not None:
            return Path(os.path.abspath(main["__file__"])), other
        return self._path, name

    @property
    def inputs_type(self) -> type | None:
        """What was given as `inputs=`."""
        return self._options.get("inputs")

    def loaded(self, executors: Mapping[str, StepKind]) -> Loaded:
        """See `Defines`. Raises DefinitionError with every problem found."""
        from cerebelum.sdk.input_types import refining

        kind, path = self.inputs_type, self.path
        compiled = self._compile(executors)
        inputs = self._declared() or {}
        shared = tuple(self._options.get("secrets", ()))
        groups: dict[str, Any] = {
            ("finally_" if group == "finally" else group): _with_secrets(steps, shared)
            for group, steps in compiled.groups.items()
        }
        timeout = self._options.get("timeout")
        doc = inspect.cleandoc(self._define.__doc__).partition("\n")[0] if self._define.__doc__ else None
        workflow = Workflow(
            name=self.name,
            description=self._options.get("description", doc),
            inputs=inputs,
            free_inputs=kind is None,
            secrets=shared,
            max_parallel=self._options.get("max_parallel", 16),
            timeout=None if timeout is None else seconds_of(timeout),
            concurrency=self._concurrency(inputs),
            schedule=self._schedule(inputs),
            portable=self._options.get("portable", False),
            output=f"${{{{ steps['{compiled.end}'].output }}}}" if compiled.end else None,
            **groups,
        )
        return Loaded(workflow, self._source(workflow), path.parent, refining(kind) if kind is not None else None)

    def _declared(self) -> dict[str, Input] | None:
        """The inputs of `inputs=`; None if it says nothing, and any will do."""
        from cerebelum.sdk.input_types import declared

        kind = self.inputs_type
        return None if kind is None else self._told(lambda: declared(kind))

    def _concurrency(self, inputs: Mapping[str, Input]) -> Concurrency | None:
        from cerebelum.definition.concurrency import of_python

        given, known = self._options.get("concurrency"), None if self.inputs_type is None else inputs
        return None if given is None else self._told(lambda: of_python(given, known))

    def _schedule(self, inputs: Mapping[str, Input]) -> tuple[Schedule, ...]:
        from cerebelum.definition.schedules import of_python

        given = self._options.get("schedule")
        return () if given is None else self._told(lambda: of_python(given, inputs))

    def _told(self, read: Callable[[], T]) -> T:
        """What `read()` returns. What is wrong is a problem of the definition, at its line."""
        try:
            return read()
        except CerebelumError as error:
            raise DefinitionError([Problem(self.where, "", error.message, error.hint)]) from None

    def functions(self) -> dict[str, Callable[..., Any]]:
        """The functions of its steps, by name, taking typed inputs where there are some."""
        from cerebelum.sdk.compiling import functions_of

        compiled = self._compiled
        found = functions_of(self._written()) if compiled is None else compiled.functions
        return {name: self._typed(function) for name, function in found.items()}

    def function_of(self, step_name: str) -> Callable[..., Any]:
        """See `Defines`. Raises KeyError."""
        return self.functions()[step_name]

    def _compile(self, executors: Mapping[str, StepKind]) -> Compiled:
        from cerebelum.sdk.compiling import check_workflow, compile_steps

        with self._lock:
            check_workflow(self._options, self.where)
            built = self._written()
            names = self._declared()
            self._compiled = compile_steps(built, self.path, self.function_name, names, executors, self.where)
            return self._compiled

    def _written(self) -> Builder:
        """What the function writes down. Raises DefinitionError, where it raises, with the line of the user's code."""
        built = Builder()
        try:
            returned = self._define(built)
        except Exception as error:
            frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(self._path)]
            where = f"{self._path}:{frames[-1].lineno}" if frames else self.where
            if isinstance(error, CerebelumError):
                error.where = error.where or where
                raise
            what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise DefinitionError([Problem(where, "", f"the workflow {self.name}: {what}", _hint(error))]) from error
        if inspect.iscoroutine(returned) or inspect.isgenerator(returned):
            returned.close()
            raise UsageError("a workflow function is a plain def", where=self.where, hint="its steps may be async def")
        return built

    def _typed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        kind = self.inputs_type
        if kind is None or "inputs" not in inspect.signature(function).parameters:
            return function
        from cerebelum.sdk.input_types import typed

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if isinstance(kwargs.get("inputs"), dict):
                kwargs["inputs"] = typed(kwargs["inputs"], kind)
            return function(*args, **kwargs)

        return call

    def _source(self, workflow: Workflow) -> Source:
        path = self.path
        if path.is_file():
            return Source("python", str(path), sha256(path.read_bytes()))
        return Source("python", str(path), sha256(msgspec.json.encode(workflow, order="deterministic")))


def _name_in(names: Mapping[str, Any], wanted: object) -> str | None:
    return next((name for name, value in [*names.items()] if value is wanted), None)


def _code(define: Define) -> CodeType:
    code = getattr(inspect.unwrap(define), "__code__", None)
    if not isinstance(code, CodeType):
        raise UsageError(f"{define!r} is no function", hint=_EXAMPLE)
    return code


def _check_options(options: RunOptions) -> None:
    """Raises UsageError for an option that nothing here has, and for one text where several are wanted."""
    if unknown := sorted(options.keys() - RunOptions.__annotations__.keys()):
        known = ", ".join(RunOptions.__annotations__)
        raise UsageError(f"a run has no option {unknown[0]}", hint=f"it takes {known}")
    if isinstance(tags := options.get("tags"), str):
        raise UsageError(f"tags={tags!r} is one text, and not a list of them", hint="tags=['nightly']")
    options["tags"] = tag_list(tags)
    named_store(options.get("store"))
    if named_execution(options.get("execution_id")) is None and options.get("or_resume"):
        raise UsageError("or_resume=True needs an execution_id=", hint="it says which execution to go on with")


def _hint(error: Exception) -> str | None:
    """For the mistakes that Python itself finds before a step is asked."""
    if isinstance(error, TypeError) and "for >>: 'list' and" in str(error):
        return "Python joins no two lists; put a step between them, if need be wf.sleep(0)"
    if isinstance(error, TypeError) and "for >>" in str(error):
        return "put @step above the functions"
    if isinstance(error, TypeError) and "positional argument" in str(error):
        return _EXAMPLE
    return None


def _with_secrets(steps: tuple[Step, ...], shared: tuple[str, ...]) -> tuple[Step, ...]:
    if not shared:
        return steps
    replace = msgspec.structs.replace
    return tuple(replace(step, secrets=tuple(dict.fromkeys((*shared, *step.secrets)))) for step in steps)


@overload
def workflow(define: Define, /) -> PythonWorkflow: ...


@overload
def workflow(**options: Unpack[WorkflowOptions]) -> Callable[[Define], PythonWorkflow]: ...


def workflow(define: Any = None, /, **options: Any) -> Any:
    """Make a function a workflow; it gets a `Builder`, and writes down the order of the steps there.

    Raises UsageError for options that make no sense. What is wrong with the order is said when it is first used.

    Example:
        >>> from cerebelum import step, workflow
        >>> @step
        ... def fetch():
        ...     return "sources"
        >>> @step
        ... def lint(fetch):
        ...     return "clean"
        >>> @step
        ... def unit(fetch):
        ...     return "passed"
        >>> @step
        ... def package(lint, unit):
        ...     return f"{lint}, {unit}"
        >>> @workflow(max_parallel=2)
        ... def deploy(wf):
        ...     wf.timeline(fetch >> [lint, unit] >> package)
        >>> deploy.run(store="memory:").output
        'clean, passed'
    """
    if unknown := sorted(options.keys() - WorkflowOptions.__annotations__.keys()):
        known = ", ".join(WorkflowOptions.__annotations__)
        raise UsageError(f"@workflow has no option {unknown[0]}", hint=f"it takes {known}")
    if define is None:
        return lambda define: workflow(define, **options)
    if not callable(define) or isinstance(define, PythonWorkflow):
        raise UsageError("@workflow belongs above a function", hint=_EXAMPLE)
    return PythonWorkflow(define, options)  # type: ignore[arg-type]
