"""A row of values of which one at a time becomes another: the rest is shared, so that its length hardly costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

SIZE = 32
"""Values in one of `rows`."""


class Chunks(Generic[T]):
    """The values by place. Never changed once it is made."""

    __slots__ = ("rows",)

    def __init__(self, rows: tuple[tuple[T, ...], ...]) -> None:
        self.rows = rows

    @classmethod
    def of(cls, values: Iterable[T]) -> Chunks[T]:
        """The values in their order."""
        every = tuple(values)
        return cls(tuple(every[i : i + SIZE] for i in range(0, len(every), SIZE)))

    def replaced(self, place: int, value: T) -> Chunks[T]:
        """The same with another value at one place."""
        at, offset = divmod(place, SIZE)
        chunks = [*self.rows]
        chunk = [*chunks[at]]
        chunk[offset] = value
        chunks[at] = tuple(chunk)
        return Chunks(tuple(chunks))

    def __getitem__(self, place: int) -> T:
        return self.rows[place // SIZE][place % SIZE]

    def __iter__(self) -> Iterator[T]:
        return (value for chunk in self.rows for value in chunk)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chunks) and self.rows == other.rows

    def __hash__(self) -> int:
        return hash(self.rows)
