"""`@step`: a function becomes a step, and stays a function that can be called."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, ParamSpec, TypedDict, TypeVar, Unpack, overload

from cerebelum.core.errors import UsageError
from cerebelum.sdk.chains import Node, caller
from cerebelum.steps.suspension import Length

P = ParamSpec("P")
R = TypeVar("R")


class RetryOptions(TypedDict, total=False):
    """How a failed attempt is tried again; as under `retry:` of a workflow file."""

    attempts: int
    delay: Length
    backoff: float
    max_delay: Length
    jitter: float


class Settings(TypedDict, total=False):
    """What can be said of any step."""

    retry: int | RetryOptions
    """Attempts in all, or more about them."""
    timeout: Length
    """What one attempt may take."""
    when: str | bool
    """An expression such as `inputs.replicas > 1`; where it does not hold, the step is skipped."""
    on_interrupt: Literal["rerun", "verify", "fail"]
    """What to do where the process died in the middle of it."""
    verify: str
    """For `verify`: a command that exits with 0 if the step did take effect."""
    runs_on: str | Mapping[str, Any]
    """The queue whose workers perform it, or a dict with `queue` and `labels`."""
    continue_on_error: bool
    secrets: Sequence[str]
    """Names of variables, to be found in `context.secrets`."""
    env: Mapping[str, str]
    """Variables of the step's process."""
    working_dir: str
    """The folder of the step's process."""
    description: str


class StepOptions(Settings, total=False):
    """What `@step` takes."""

    name: str
    """What the step is called, instead of the function's name."""
    isolated: bool
    """In a child process, which a time limit can kill even in the middle of C code, with `env` and `working_dir`."""


class Step(Node, Generic[P, R]):
    """A function that workflows perform. Calling it calls the function, as a test would."""

    __name__: str

    def __init__(self, function: Callable[P, R], options: StepOptions) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.options = options
        code = _innermost(function)
        self.where = f"{code.co_filename}:{code.co_firstlineno}" if code else ""
        given = options.get("name", "")
        name = given or getattr(function, "__name__", None)
        if name is None:
            raise UsageError(f"{function!r} has no name", where=caller(), hint='give it one: step(name="upload")(...)')
        for each in (given, name):
            if not isinstance(each, str):
                raise UsageError(f"name={each!r} is no text", where=self.where)
        self.name = name
        self.__name__ = getattr(function, "__name__", name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<step {self.name} of {self.where}>"


def _innermost(function: Any) -> Any:
    while hasattr(function, "__wrapped__") or isinstance(function, functools.partial):
        function = function.func if isinstance(function, functools.partial) else function.__wrapped__
    return getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...


@overload
def step(**options: Unpack[StepOptions]) -> Callable[[Callable[P, R]], Step[P, R]]: ...


def step(function: Any = None, /, **options: Any) -> Any:
    """Make a function, `def` or `async def`, a step of workflows.

    Its parameters say by their names what it gets: `context` (a `Context`), `inputs` (the workflow's inputs), and any
    other name is the result of the step so called, which has to come before it. What it returns is its result and is
    recorded: anything that JSON can say, and dataclasses, dates, sets, bytes and the like. An exception fails the step.

    Raises UsageError for options that make no sense.

    Example:
        >>> from cerebelum import step
        >>> @step
        ... def fetch():
        ...     return [3, 1, 2]
        >>> @step(retry=3, timeout="10s")
        ... async def largest(fetch):
        ...     return max(fetch)
        >>> fetch()
        [3, 1, 2]
    """
    if unknown := options.keys() - StepOptions.__annotations__.keys():
        known = ", ".join(StepOptions.__annotations__)
        raise UsageError(f"@step has no option {min(unknown)}", hint=f"it takes {known}")
    if function is None:
        return lambda function: _made(function, {**options})
    return _made(function, options)


def _made(function: Any, options: dict[str, Any]) -> Step[Any, Any]:
    if not callable(function):
        raise UsageError("@step belongs above a function", hint="options are given by name: @step(retry=3)")
    if isinstance(function, Step):
        raise UsageError(f"{function.name} is a step already", where=function.where)
    return Step(function, options)  # type: ignore[arg-type]
