"""A row of values of which one at a time becomes another: the rest is shared, so that its length hardly costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import isqrt
from typing import Generic, TypeVar

T = TypeVar("T")

_LEAST = 32


class Chunks(Generic[T]):
    """The values by place. Never changed once it is made."""

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

    def __getitem__(self, place: int) -> T:
        return self.rows[place // self.size][place % self.size]

    def __iter__(self) -> Iterator[T]:
        return (value for chunk in self.rows for value in chunk)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chunks) and self.rows == other.rows

    def __hash__(self) -> int:
        return hash(self.rows)
