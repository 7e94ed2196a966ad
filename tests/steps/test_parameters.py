"""What a function takes is what `inspect` says it takes, however it was made, also where that is not asked."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from cerebelum.plugins.python.call import taken_by
from cerebelum.steps.parameters import parameters_of


def plain(first: int, second: int = 1, *rest: int, third: int, fourth: int = 2, **others: int) -> None: ...


def by_place(first: int, /, second: int, third: int = 3, *, fourth: int = 1) -> None: ...


def all_by_place(first: int = 1, second: int = 2, /) -> None: ...


async def later(first: int, *rest: int) -> None: ...


def with_locals(first: int) -> int:
    other = [each + first for each in range(first)]
    return len(other)


@functools.wraps(plain)
def wrapped(*given: Any) -> None: ...


def signed() -> None: ...


signed.__signature__ = inspect.signature(plain)  # type: ignore[attr-defined]


class Tools:
    def method(self, first: int) -> None: ...

    @staticmethod
    def alone(first: int, second: int = 1) -> None: ...

    def __call__(self, first: int) -> None: ...


class Unhashable(Tools):
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    "function",
    [
        *(plain, by_place, all_by_place, later, with_locals, wrapped, signed, Tools().method, Tools.alone, Tools()),
        *(
            Unhashable(),
            Unhashable,
            functools.partial(plain, 1, third=3),
            lambda first=1, *, second: None,
            lambda: None,
        ),
        *(lambda *rest: None, lambda **others: None, sorted, int.from_bytes),
    ],
)
def test_parameters_are_those_of_the_signature(function: Callable[..., Any]) -> None:
    every = inspect.signature(function).parameters.values()
    takes = parameters_of(function)
    expected = [(p.name, p.default is p.empty) for p in every if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    assert [*takes.named.items()] == expected
    assert takes.positional == tuple(p.name for p in every if p.kind is p.POSITIONAL_ONLY)
    assert takes.anything == any(p.kind is p.VAR_KEYWORD for p in every)
    assert taken_by(function) == takes


def test_some_do_not_tell() -> None:
    assert taken_by(min) is None
