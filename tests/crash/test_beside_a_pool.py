"""What holds where a pool uses the store as well: its tables are in the schema, and a worker looks after its jobs.

Every store's whole suite is run beside a pool in tests/backends. Of the crashes these are a part, spread over all
places: what a pool adds could only touch ownership, claims and how the schema is found, and each of them is in here.
`make chaos` runs all of them beside one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash import test_contention as contention
from tests.crash import test_faults as faults
from tests.crash import test_locks as locks
from tests.crash import test_stopped as stopped
from tests.crash.arena import Arena
from tests.pool.beside import pool_beside

pytestmark = pytest.mark.parametrize("store_url", ["postgres"], indirect=True)


@pytest.fixture(autouse=True)
def beside(postgres_url: str) -> Iterator[None]:
    with pool_beside(postgres_url):
        yield


@pytest.mark.parametrize(("number", "killed"), faults.ALL[::3])
def test_nothing_is_lost_and_nothing_completed_runs_again(arena: Arena, number: int, killed: faults.Round) -> None:
    faults.test_nothing_is_lost_and_nothing_completed_runs_again(arena, number, killed)


@pytest.mark.parametrize("place", locks.KILLED[1::5])
def test_those_of_a_group_never_overlap(arena: Arena, place: str) -> None:
    locks.test_wherever_one_is_killed_the_next_one_goes_on_and_the_two_never_overlap(arena, place)


def test_of_simultaneous_resumes_exactly_one_wins(arena: Arena) -> None:
    contention.test_of_simultaneous_resumes_exactly_one_wins_and_the_others_name_it(arena, contention.CROWD)


def test_appends_leave_no_gap(store_url: str) -> None:
    contention.test_processes_that_append_at_once_leave_no_gap_and_no_duplicate(store_url)


def test_one_that_stood_still_and_was_taken_over_writes_no_more(arena: Arena) -> None:
    stopped.test_a_runner_stopped_past_its_time_and_taken_over_writes_no_more(arena)
