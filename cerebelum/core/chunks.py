"""A row of values of which one at a time becomes another: the rest is shared, so that its length hardly costs.

A `draft()` of it is changed in place, for whoever changes much and shows nobody what is between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import isqrt
from typing import Generic, TypeVar

T = TypeVar("T")

_LEAST = 32


class Chunks(Generic[T]):
    """The values by place. Never changed once it is made, unless it is a draft."""

    __slots__ = ("rows", "size")

    def __init__(self, rows: Sequence[Sequence[T]], size: int) -> None:
        self.rows = rows
        self.size = size
        """Values in one of `rows`; about as many as there are rows."""

    @classmethod
    def of(cls, values: Iterable[T]) -> Chunks[T]:
        """The values in their order."""
        every = tuple(values)
        size = max(_LEAST, isqrt(len(every)))
        return cls(tuple(every[i : i + size] for i in range(0, len(every), size)), size)

    def replaced(self, place: int, value: T) -> Chunks[T]:
        """The same with another value at one place."""
        at, offset = divmod(place, self.size)
        chunks = [*self.rows]
        chunk = [*chunks[at]]
        chunk[offset] = value
        chunks[at] = tuple(chunk)
        return Chunks(tuple(chunks), self.size)

    def draft(self) -> Chunks[T]:
        """The same, of which `replaced` changes it and gives it back. Nobody else may have it."""
        values = [*self]
        return _Draft([values], max(1, len(values)))

    def final(self) -> Chunks[T]:
        """What a draft has come to, never to be changed again."""
        return Chunks.of(self)

    def __getitem__(self, place: int) -> T:
        return self.rows[place // self.size][place % self.size]

    def __iter__(self) -> Iterator[T]:
        return (value for chunk in self.rows for value in chunk)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chunks) and self.rows == other.rows

    def __hash__(self) -> int:
        return hash(self.rows)


class _Draft(Chunks[T]):
    """All in one row, which is a list."""

    __slots__ = ()

    def replaced(self, place: int, value: T) -> Chunks[T]:
        self.rows[0][place] = value  # type: ignore[index]
        return self
