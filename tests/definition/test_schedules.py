"""When a schedule is due: in its time zone, where clocks change, and however it is asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cerebelum.core.errors import CerebelumError
from cerebelum.core.ids import check_id, tick_id, tick_of
from cerebelum.core.model import Schedule, Workflow
from cerebelum.definition import parse
from cerebelum.definition.cron import cron_problem, latest, ticks, zone
from cerebelum.definition.schedules import of_python
from tests.definition.executors import EXECUTORS

BERLIN = "Europe/Berlin"


def flow(schedule: str) -> Workflow:
    return parse(f"name: w\nschedule: {schedule}\nsteps: [{{id: a, run: x}}]", "w.yaml", Path("/"), EXECUTORS)


def local(cron: str, day: str, count: int, timezone: str = BERLIN) -> list[str]:
    """The first ticks of a day, by the clock on the wall and its offset."""
    there = zone(timezone)
    start = datetime.fromisoformat(day).replace(tzinfo=there) - timedelta(seconds=1)
    found = islice(ticks(Schedule(cron, timezone), start.astimezone(UTC)), count)
    return [f"{tick.astimezone(there):%d. %H:%M %z}" for tick in found]


# --- as it is written ------------------------------------------------------------------------------------------------


def test_a_text_a_mapping_and_a_list_say_when() -> None:
    assert flow("'0 3 * * *'").schedule == (Schedule("0 3 * * *", "UTC", None, "once"),)
    assert flow("'@daily'").schedule == (Schedule("@daily"),)
    whole = "{cron: 0 3 * * MON-FRI, timezone: Europe/Berlin, overlap: queue, missed: skip}"
    made = Schedule("0 3 * * MON-FRI", BERLIN, "queue", "skip")
    assert flow(whole).schedule == (made,)
    assert flow(f"[{whole}, '@hourly', '@hourly']").schedule == (made, Schedule("@hourly"))
    assert parse("steps: [{id: a, run: x}]", "w.yaml", Path("/"), EXECUTORS).schedule == ()


def test_python_says_the_same() -> None:
    made = Schedule("0 3 * * *", BERLIN, "allow", "skip")
    given = {"cron": "0 3 * * *", "timezone": BERLIN, "overlap": "allow", "missed": "skip"}
    assert of_python(given, {}) == (made,)
    assert of_python(["@daily", given], {}) == (Schedule("@daily"), made)
    assert of_python("@daily", {}) == (Schedule("@daily"),)


@pytest.mark.parametrize(
    ("given", "said", "hint"),
    [
        ("61 * * * *", "bad minute", "five fields"),
        (5, "a cron expression, a dict, or a list", "cron"),
        ([], "a cron expression, a dict, or a list", "cron"),
        ([5], "a cron expression, a dict, or a list", "cron"),
        ({"cron": 5}, "a cron expression, a dict, or a list", "cron"),
        ({}, "no `cron`", "cron"),
        ({"cron": "@daily", "zone": "UTC"}, "no key 'zone'", "timezone"),
        ({"cron": "@daily", "timezone": "Mars/Olympus"}, "no such time zone", "Europe/Berlin"),
        ({"cron": "@daily", "timezone": "/etc/passwd"}, "no such time zone", "Europe/Berlin"),
        ({"cron": "@daily", "overlap": "skp"}, "overlap cannot be 'skp'", "skip"),
        ({"cron": "@daily", "missed": "all"}, "missed cannot be 'all'", "once"),
    ],
)
def test_what_python_says_wrong_is_told_with_a_hint(given: Any, said: str, hint: str) -> None:
    with pytest.raises(CerebelumError) as caught:
        of_python(given, {})
    assert said in caught.value.message
    assert hint in (caught.value.hint or "")


# --- when clocks change ----------------------------------------------------------------------------------------------

GAP, TWICE = "2026-03-29", "2026-10-25"
"""Days on which 2:00 to 3:00 does not exist in Berlin, and exists twice."""


@pytest.mark.parametrize(
    ("cron", "due"),
    [
        # A fixed time that does not exist comes as soon as the clocks have gone forward, once.
        ("30 2 * * *", ["29. 03:00 +0200", "30. 02:30 +0200"]),
        ("0,30 2 * * *", ["29. 03:00 +0200", "30. 02:00 +0200"]),
        ("0 2,3 * * *", ["29. 03:00 +0200", "30. 02:00 +0200"]),
        # With a `*` in minute or hour there is nothing to make up for.
        ("0 * * * *", ["29. 00:00 +0100", "29. 01:00 +0100", "29. 03:00 +0200", "29. 04:00 +0200"]),
        ("*/30 2 * * *", ["30. 02:00 +0200", "30. 02:30 +0200"]),
        ("30 */2 * * *", ["29. 00:30 +0100", "29. 04:30 +0200"]),
    ],
)
def test_a_time_that_does_not_exist(cron: str, due: list[str]) -> None:
    assert local(cron, GAP, len(due)) == due


@pytest.mark.parametrize(
    ("cron", "due"),
    [
        # A fixed time that exists twice comes the first time alone.
        ("30 2 * * *", ["25. 02:30 +0200", "26. 02:30 +0100"]),
        ("0 1-4 * * *", ["25. 01:00 +0200", "25. 02:00 +0200", "25. 03:00 +0100", "25. 04:00 +0100"]),
        # With a `*` in minute or hour real time counts, so that nothing stands still for an hour.
        (
            "0 */1 * * *",
            ["25. 00:00 +0200", "25. 01:00 +0200", "25. 02:00 +0200", "25. 02:00 +0100", "25. 03:00 +0100"],
        ),
        ("*/30 2 * * *", ["25. 02:00 +0200", "25. 02:30 +0200", "25. 02:00 +0100", "25. 02:30 +0100"]),
        ("30 */2 * * *", ["25. 00:30 +0200", "25. 02:30 +0200", "25. 02:30 +0100", "25. 04:30 +0100"]),
    ],
)
def test_a_time_that_exists_twice(cron: str, due: list[str]) -> None:
    assert local(cron, TWICE, len(due)) == due


@pytest.mark.parametrize("minute", range(0, 60, 7))
def test_nothing_is_due_again_within_the_hour_that_comes_again(minute: int) -> None:
    nightly = Schedule("30 2 * * *", BERLIN)
    again = datetime(2026, 10, 25, 1, minute, tzinfo=UTC)
    assert f"{again.astimezone(zone(BERLIN)):%H %z}" == "02 +0100"
    assert next(ticks(nightly, again)) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
    assert latest(nightly, again - timedelta(hours=12), again) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_utc_knows_no_such_days_and_is_the_zone_if_none_is_named() -> None:
    assert local("30 2 * * *", GAP, 2, "UTC") == ["29. 02:30 +0000", "30. 02:30 +0000"]
    assert flow("30 2 * * *").schedule[0].timezone == "UTC"


def test_seconds_come_first_and_count_real_time() -> None:
    at = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    half = Schedule("*/30 * 2 * * *", BERLIN)
    hours = takewhile(lambda tick: tick < at + timedelta(hours=3), ticks(half, at - timedelta(minutes=31)))
    assert len(list(hours)) == 2 * 2 * 60


FIELD = st.sampled_from(["*", "*/7", "0", "30", "2", "1-3", "0,2"])
CRONS = st.one_of(
    st.builds(lambda m, h, d: f"{m} {h} {d} * *", FIELD, FIELD, st.sampled_from(["*", "1-31", "*/2", "25", "29"])),
    st.sampled_from(["@hourly", "@daily", "@weekly", "15 2 * * SUN", "*/20 * * * * *", "0 0 L * *", "59 23 * * *"]),
)
ZONES = st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata"])


def between(first: str, last: str) -> st.SearchStrategy[datetime]:
    return st.datetimes(datetime.fromisoformat(first), datetime.fromisoformat(last), timezones=st.just(UTC))


MOMENTS = between("2026-01-01", "2026-12-28") | between("2026-10-24T20:00", "2026-10-25T08:00")


@settings(deadline=None)
@given(cron=CRONS, name=ZONES, moment=MOMENTS, minutes=st.integers(0, 1500))
def test_the_latest_tick_is_the_last_of_those_one_by_one(cron: str, name: str, moment: datetime, minutes: int) -> None:
    assume(cron_problem(cron) is None)
    schedule, after = Schedule(cron, name), moment
    until = after + timedelta(minutes=minutes)
    every = list(takewhile(lambda tick: tick <= until, ticks(schedule, after)))
    assert every == sorted(set(every))
    assert latest(schedule, after, until) == (every[-1] if every else None)


def test_the_latest_of_years_of_seconds_is_found_without_counting_them() -> None:
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    assert latest(Schedule("* * * * * *"), now - timedelta(days=3650), now) == now


# --- the id of a tick ------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    name=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9 ._-]{0,63}", fullmatch=True),
    moment=between("2000-01-01", "2999-01-01"),
)
def test_the_id_of_a_tick_is_an_id_and_says_which(name: str, moment: datetime) -> None:
    at = moment.replace(microsecond=0)
    assert tick_of(name, check_id(tick_id(name, at))) == at


def test_names_that_look_alike_have_ids_of_their_own() -> None:
    at = datetime(2026, 11, 29, 3, tzinfo=UTC)
    assert tick_id("nightly", at) == "nightly-20261129T030000Z"
    names = ["nightly", "Nightly", "nightly ", "nightly!", "a" * 30, "a" * 31]
    assert len({tick_id(name, at) for name in names}) == len(names)
    assert tick_of("nightly", tick_id("Nightly", at)) is None
    assert tick_of("nightly", "nightly-k3f9q2xm7p") is None
