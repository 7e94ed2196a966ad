"""A row of values of which one at a time becomes another: the rest is shared, so that its length hardly costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_SIZE = 32


class Chunks(Generic[T]):
    """The values by place. Never changed once it is made."""

    __slots__ = ("_chunks",)

    def __init__(self, chunks: tuple[tuple[T, ...], ...]) -> None:
        self._chunks = chunks

    @classmethod
    def of(cls, values: Iterable[T]) -> Chunks[T]:
        """The values in their order."""
        every = tuple(values)
        return cls(tuple(every[i : i + _SIZE] for i in range(0, len(every), _SIZE)))

    def replaced(self, place: int, value: T) -> Chunks[T]:
        """The same with another value at one place."""
        at, offset = divmod(place, _SIZE)
        chunks = [*self._chunks]
        chunk = [*chunks[at]]
        chunk[offset] = value
        chunks[at] = tuple(chunk)
        return Chunks(tuple(chunks))

    def __getitem__(self, place: int) -> T:
        return self._chunks[place // _SIZE][place % _SIZE]

    def __iter__(self) -> Iterator[T]:
        return (value for chunk in self._chunks for value in chunk)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chunks) and self._chunks == other._chunks

    def __hash__(self) -> int:
        return hash(self._chunks)
