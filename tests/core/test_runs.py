"""Runs of positions say the same as sets of them, and stay as short as they can be."""

from __future__ import annotations

from random import Random

import pytest

from cerebelum.core import runs
from cerebelum.core.runs import any_within, joined, within, without

SIZE = 24


@pytest.mark.parametrize("seed", range(20))
def test_they_say_what_a_set_says(seed: int) -> None:
    chance = Random(seed)
    model = {p for p in range(SIZE) if chance.random() < chance.choice((0.1, 0.5, 0.9))}
    made = runs.of(sorted(model))
    for _ in range(200):
        position = chance.randrange(SIZE)
        if chance.random() < 0.5:
            made, model = joined(made, position), model | {position}
        else:
            made, model = without(made, position), model - {position}
        low, high = sorted(chance.choices(range(SIZE + 1), k=2))
        assert list(within(made, low, high)) == [p for p in range(low, high) if p in model]
        assert any_within(made, low, high) == any(p in model for p in range(low, high))
        assert made == runs.of(sorted(model))


def test_neighbours_are_one_run() -> None:
    made = runs.of(range(50_000))
    assert made == ((0, 50_000),)
    assert without(made, 0) == ((1, 50_000),)
    assert without(made, 7) == ((0, 7), (8, 50_000))
    assert joined(((0, 7), (8, 50_000)), 7) == made
    assert list(within(made, 49_999, 60_000)) == [49_999]
