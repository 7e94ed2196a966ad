"""Sets of positions as runs of neighbours: most sets that a workflow has are one run, however many are in it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import TypeAlias

Runs: TypeAlias = tuple[tuple[int, int], ...]
"""In order, without touching each other: the first position of each, and the one behind its last."""


def of(positions: Iterable[int]) -> Runs:
    """The positions, given in order."""
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and runs[-1][1] == position:
            runs[-1] = runs[-1][0], position + 1
        else:
            runs.append((position, position + 1))
    return tuple(runs)


def within(runs: Runs, low: int, high: int) -> Iterator[int]:
    """Those from `low` to before `high`, in order."""
    for first, behind in runs:
        if first >= high:
            return
        yield from range(max(first, low), min(behind, high))


def any_within(runs: Runs, low: int, high: int) -> bool:
    """Whether there are any from `low` to before `high`."""
    at = bisect_left(runs, (low + 1,)) - 1
    if at >= 0 and runs[at][1] > low:
        return low < high
    return at + 1 < len(runs) and runs[at + 1][0] < high


def without(runs: Runs, position: int) -> Runs:
    """The same without one, if that is among them."""
    if runs == ((position, position + 1),):
        return ()
    at = bisect_left(runs, (position + 1,)) - 1
    if at < 0 or runs[at][1] <= position:
        return runs
    first, behind = runs[at]
    if position == first:
        left: Runs = () if behind == first + 1 else ((first + 1, behind),)
    elif position == behind - 1:
        left = ((first, position),)
    else:
        left = ((first, position), (position + 1, behind))
    return (*runs[:at], *left, *runs[at + 1 :])


def joined(runs: Runs, position: int) -> Runs:
    """The same with one more."""
    if not runs:
        return ((position, position + 1),)
    at = bisect_left(runs, (position + 1,))
    before, after = runs[:at], runs[at:]
    if before and position < before[-1][1]:
        return runs
    low, high = position, position + 1
    if before and before[-1][1] == low:
        before, low = before[:-1], before[-1][0]
    if after and after[0][0] == high:
        after, high = after[1:], after[0][1]
    return (*before, (low, high), *after)
