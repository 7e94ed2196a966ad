"""What a function takes is what `inspect` says it takes, however it was made."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from cerebelum.sdk.compiling import _parameters


def plain(first: int, second: int = 1, *rest: int, third: int, fourth: int = 2, **others: int) -> None: ...


def by_place(first: int, /, second: int, third: int = 3, *, fourth: int = 1) -> None: ...


async def later(first: int, *rest: int) -> None: ...


@functools.wraps(plain)
def wrapped(*given: Any) -> None: ...


def signed() -> None: ...


signed.__signature__ = inspect.signature(plain)  # type: ignore[attr-defined]


class Tools:
    def method(self, first: int) -> None: ...

    @staticmethod
    def alone(first: int, second: int = 1) -> None: ...

    def __call__(self, first: int) -> None: ...


@pytest.mark.parametrize(
    "function",
    [
        *(plain, by_place, later, wrapped, signed, Tools().method, Tools.alone, Tools()),
        *(functools.partial(plain, 1, third=3), lambda first=1, *, second: None, lambda: None),
    ],
)
def test_parameters_are_those_of_the_signature(function: Callable[..., Any]) -> None:
    every = inspect.signature(function).parameters.values()
    expected = [(p.name, p.default is p.empty) for p in every if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    assert [*_parameters(function).items()] == expected
