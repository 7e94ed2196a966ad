"""Waits in the middle of a step: its function asks, is left, and is called again when there is an answer.

The n-th call of a function is answered by the n-th answer in the log, so the process may end in between.
"""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar, overload

import msgspec

from cerebelum.core.durations import FORMS, duration
from cerebelum.core.errors import CerebelumError, UsageError
from cerebelum.core.outcome import Approval, Sleep
from cerebelum.steps.executor import Answer
from cerebelum.steps.output_values import to_output

T = TypeVar("T")
Length = str | float | int | timedelta
"""Seconds, a text such as `2d` or `1h30m`, or a timedelta."""

_SHORT = 5.0
"""Seconds up to which `poll` waits in place: to be recorded costs more than to poll once more."""


class Suspended(BaseException):
    """Ends a step's function for now; what catches `Exception` lets it pass."""

    def __init__(self, outcome: Sleep | Approval) -> None:
        super().__init__("the step waits")
        self.outcome = outcome


def suspended(group: BaseExceptionGroup[BaseException]) -> Suspended | None:
    """What the tasks of a TaskGroup wait for, the first of them, where that is all that they raised."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, Suspended) and group.split(Suspended)[1] is None else None


class Approved(msgspec.Struct, frozen=True):
    """What somebody answered. It is there already where it is awaited, and need not be."""

    by: str | None
    response: Mapping[str, Any]
    """What `approve --response` gave."""

    def __await__(self) -> Generator[None, None, Approved]:
        yield from ()
        return self


class Slept:
    """A sleep that is over."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


class Calls:
    """The calls of one function, in order, and their answers so far."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = answers
        self._made = 0
        self.left = False
        """Whether the function was to be left."""

    @property
    def is_answered(self) -> bool:
        """Whether the next call has an answer."""
        return self._made < len(self._answers)

    def ask(self, wanted: Sleep | Approval) -> Answer:
        """The answer to the next call. Raises Suspended until there is one."""
        if not self.is_answered:
            self.left = True
            raise Suspended(wanted)
        answer = self._answers[self._made]
        self._made += 1
        asked = "sleep" if isinstance(wanted, Sleep) else "granted"
        if answer.kind != asked:
            names = {"sleep": "sleep", "granted": "approval"}
            raise CerebelumError(
                f"call {self._made} of this step was {names[answer.kind]}() before, and is {names[asked]}() now",
                hint="a step has to make the same calls in the same order every time; let its branches depend on"
                " recorded values only, or run it again from here with --from",
            )
        return answer


_calls: contextvars.ContextVar[Calls | None] = contextvars.ContextVar("cerebelum_calls", default=None)


class Answering:
    """Within it, calls are answered by `answers`."""

    __slots__ = ("_calls", "_token")

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._calls = Calls(answers)

    def __enter__(self) -> None:
        self._token = _calls.set(self._calls)

    def __exit__(self, *raised: object) -> None:
        """Raises UsageError for a function that goes on although it was to be left."""
        _calls.reset(self._token)
        if self._calls.left and raised[0] is None:
            raise UsageError(
                "sleep(), approval() or poll() ends the function for now by what it raises, and that was caught",
                hint="catch Exception, or what is expected; not everything",
            )


def sleep(length: Length | None = None, *, until: datetime | None = None) -> Slept:
    """Wait in a step for days if need be: the process may end meanwhile. A plain `def` calls it without `await`.

    The function is left here and called again from its beginning when the time is over; this call then returns at
    once. So what stands before it is performed twice and has to bear that. `length` is seconds, a text such as `2d`,
    or a timedelta; or give `until`, a moment with a time zone. Raises UsageError outside a step.

    Example:
        >>> from cerebelum import sleep, step
        >>> @step
        ... async def soak() -> str:
        ...     await sleep("2d")
        ...     return "still there"
    """
    if (length is None) == (until is None):
        raise UsageError("sleep() takes a length or `until`", hint='such as sleep("30m")')
    if until is not None and until.tzinfo is None:
        raise UsageError("sleep(until=...) needs a moment with a time zone", hint="datetime.now(UTC) + ...")
    _current("sleep").ask(Sleep(seconds=None if length is None else seconds_of(length), until=until))
    return Slept()


def approval(
    message: str,
    *,
    data: Any = None,
    timeout: Length | None = None,
    on_timeout: Literal["fail", "reject", "approve"] = "fail",
    approval_type: str = "manual",
) -> Approved:
    """Wait in a step until somebody approves; being rejected fails the step. A plain `def` need not `await` it.

    The function is left and called again like by `sleep`. Raises UsageError outside a step, and fails the step for
    `data` or a message that cannot be recorded.

    Example:
        >>> from cerebelum import approval, step
        >>> @step
        ... async def go(inputs: dict) -> str | None:
        ...     answer = await approval(f"Roll out {inputs['version']}?", timeout="24h")
        ...     return answer.by
    """
    message, data = to_output(message, "message"), to_output(data, "data")
    wanted = Approval(message, approval_type, data, None if timeout is None else seconds_of(timeout), on_timeout)
    answer = _current("approval").ask(wanted)
    return Approved(answer.by, answer.response)


Errors = type[BaseException] | tuple[type[BaseException], ...]


@overload
async def retry(
    function: Callable[[], Awaitable[T]],
    *,
    attempts: int = 3,
    delay: Length = 1.0,
    backoff: float = 2.0,
    on: Errors = Exception,
) -> T: ...


@overload
async def retry(
    function: Callable[[], T], *, attempts: int = 3, delay: Length = 1.0, backoff: float = 2.0, on: Errors = Exception
) -> T: ...


async def retry(
    function: Callable[[], Any],
    *,
    attempts: int = 3,
    delay: Length = 1.0,
    backoff: float = 2.0,
    on: Errors = Exception,
) -> Any:
    """Call `function()` until it does not raise `on`, at most `attempts` times; the last error is raised.

    It waits in place, `delay` at first and each time `backoff` times longer; a step's own `retry=` is in the log.

    Example:
        >>> import asyncio
        >>> from cerebelum import retry
        >>> answers = iter(["no", "no", "3"])
        >>> asyncio.run(retry(lambda: int(next(answers)), attempts=3, delay=0, on=ValueError))
        3
    """
    import asyncio

    pause = seconds_of(delay)
    for left in range(attempts - 1, -1, -1):
        try:
            return await _value(function)
        except on:
            if left <= 0:
                raise
        await asyncio.sleep(pause)
        pause *= backoff
    raise UsageError("retry() needs at least one attempt")


@overload
async def poll(
    function: Callable[[], Awaitable[T]], *, interval: Length, timeout: Length, until: Callable[[T], object] = bool
) -> T: ...


@overload
async def poll(
    function: Callable[[], T], *, interval: Length, timeout: Length, until: Callable[[T], object] = bool
) -> T: ...


async def poll(
    function: Callable[[], Any], *, interval: Length, timeout: Length, until: Callable[[Any], object] = bool
) -> Any:
    """Call `function()` every `interval` until `until(result)` holds, and give that result.

    An interval of more than 5 seconds is a `sleep`: it is in the log, the process may end meanwhile, and what was asked
    before is not asked again. Raises TimeoutError once the pauses have taken `timeout` together.

    Example:
        >>> import asyncio
        >>> from cerebelum import poll
        >>> states = iter(["building", "building", "done"])
        >>> asyncio.run(poll(lambda: next(states), interval=0.01, timeout="1m", until=lambda state: state == "done"))
        'done'
    """
    import asyncio

    pause, limit = seconds_of(interval), seconds_of(timeout)
    calls = _current("poll") if pause > _SHORT else None
    waited = 0.0
    while True:
        if calls is None or not calls.is_answered:
            result = await _value(function)
            if until(result):
                return result
            if waited + pause > limit:
                raise TimeoutError(f"not so within {limit:g} s")
        if calls is None:
            await asyncio.sleep(pause)
        else:
            calls.ask(Sleep(seconds=pause))
        waited += pause


def seconds_of(length: Length) -> float:
    """Seconds of a length of time. Raises UsageError."""
    try:
        return length.total_seconds() if isinstance(length, timedelta) else duration(length)
    except ValueError as error:
        raise UsageError(f"{length!r}: {error}", hint=FORMS) from None


async def _value(function: Callable[[], Any]) -> Any:
    result = function()
    return await result if inspect.isawaitable(result) else result


def _current(name: str) -> Calls:
    calls = _calls.get()
    if calls is None:
        raise UsageError(f"{name}() works in the step of a workflow only", hint="have it performed by a workflow")
    return calls
