"""Ticks are due once, whatever the wall clock does, and while their files are in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cerebelum.core.errors import CerebelumError
from cerebelum.core.ids import tick_id
from cerebelum.engine import preflight
from cerebelum.engine.timetable import TAG, Due, Timetable
from cerebelum.host.clock import SystemClock
from cerebelum.sdk.verbs import Verbs
from cerebelum.store import Query, Tombstone
from tests.engine.harness import Lab, executors

FLOW = "name: nightly\nschedule: {}\nsteps: [{{id: a, run: 'true'}}]\n"
NIGHT = datetime(2026, 11, 29, 3, tzinfo=UTC)
DAY, HOUR, MINUTE, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


class Wall(SystemClock):
    """A wall clock that stands where it is put."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


class Desk:
    """A workflow file with a schedule, and those who look after it."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.wall = lab, Wall(NIGHT - HOUR)
        self.said: list[str] = []
        self.client: Verbs = lab.client(clock=self.wall)
        self.path = self.says("0 3 * * *")

    def says(self, schedule: str) -> Path:
        return self.lab.write(FLOW.format(schedule))

    def begin(self) -> Timetable:
        """What a process that begins now looks after."""

        def check(path: Path) -> preflight.Checked:
            return preflight.check(path, {}, (), executors(), self.lab.environ, scheduled=True)

        return Timetable(self.client.store, self.wall, check, [self.path], self.said.append)

    def made(self) -> list[datetime]:
        """The ticks that have an execution, in order."""
        rows = self.client.store.find(Query(tag=(TAG,), limit=1000)).rows
        return sorted(
            datetime.strptime(r.summary.execution_id, "nightly-%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) for r in rows
        )

    def make(self, due: Due) -> None:
        self.client.run(due.path, {}, execution_id=due.execution_id, tags=(TAG,))

    def look(self, timetable: Timetable, at: datetime) -> list[datetime]:
        """Put the clock to a time, and make what is due then."""
        self.wall.at = at
        found = timetable.due()
        for due in found:
            self.make(due)
            timetable.settle(due)
        return [due.at for due in found]


@pytest.fixture
def desk(lab: Lab) -> Desk:
    return Desk(lab)


# --- a process that looks all the time -------------------------------------------------------------------------------


def test_a_tick_is_due_when_it_comes_and_never_again(desk: Desk) -> None:
    timetable = desk.begin()
    assert desk.look(timetable, NIGHT - SECOND) == []
    assert desk.look(timetable, NIGHT) == [NIGHT]
    assert desk.look(timetable, NIGHT) == []
    assert desk.look(timetable, NIGHT + HOUR) == []
    assert desk.look(timetable, NIGHT + DAY + SECOND) == [NIGHT + DAY]
    assert desk.made() == [NIGHT, NIGHT + DAY]


def test_it_stays_due_until_it_is_settled(desk: Desk) -> None:
    timetable = desk.begin()
    desk.wall.at = NIGHT + SECOND
    [due] = timetable.due()
    assert timetable.due() == [due]
    timetable.settle(due, "somebody is in the way")
    assert timetable.due() == []
    assert desk.said[1:] == ["nightly: nothing is started for 2026-11-29 03:00:00 UTC: somebody is in the way"]


def test_what_somebody_else_made_is_not_due(desk: Desk) -> None:
    one, other = desk.begin(), desk.begin()
    assert desk.look(one, NIGHT) == [NIGHT]
    assert desk.look(other, NIGHT + SECOND) == []


@pytest.mark.parametrize("by", [HOUR, 3 * DAY])
def test_a_clock_that_jumps_forward_or_a_machine_that_slept_makes_one(desk: Desk, by: timedelta) -> None:
    desk.says("'*/5 * * * *'")
    timetable = desk.begin()
    assert desk.look(timetable, NIGHT) == [NIGHT]
    assert desk.look(timetable, NIGHT + by + SECOND) == [NIGHT + by]
    assert desk.look(timetable, NIGHT + by + 2 * SECOND) == []
    desk.says("{cron: '*/5 * * * *', missed: skip}")
    desk.look(timetable, NIGHT + by + 3 * SECOND)
    assert desk.look(timetable, NIGHT + 2 * by + 2 * MINUTE) == []
    assert "was missed, and is skipped" in desk.said[-1]


@pytest.mark.parametrize("missed", ["once", "skip"])
def test_a_clock_that_is_set_back_makes_nothing_twice_and_does_not_stand_still(desk: Desk, missed: str) -> None:
    desk.says(f"{{cron: '*/5 * * * *', missed: {missed}}}")
    timetable = desk.begin()
    for minute in range(0, 61, 5):
        desk.look(timetable, NIGHT + minute * MINUTE)
    before = desk.made()
    for minute in range(0, 61, 5):
        assert desk.look(timetable, NIGHT + minute * MINUTE + SECOND) == []
    assert desk.made() == before
    assert desk.look(timetable, NIGHT + 65 * MINUTE) == [NIGHT + 65 * MINUTE]


def test_after_a_time_far_in_the_future_the_present_counts_again(desk: Desk) -> None:
    timetable = desk.begin()
    future = NIGHT + 365 * DAY
    assert desk.look(timetable, future) == [future]
    assert desk.look(timetable, NIGHT - SECOND) == []
    assert desk.look(timetable, NIGHT) == [NIGHT]
    assert desk.look(desk.begin(), NIGHT + DAY) == [NIGHT + DAY]


def test_several_schedules_at_one_time_make_one(desk: Desk) -> None:
    desk.says("['0 3 * * *', '0 3 * * SUN', '0 */3 * * *']")
    timetable = desk.begin()
    assert desk.look(timetable, NIGHT) == [NIGHT]
    assert desk.look(timetable, NIGHT + SECOND) == []
    assert desk.look(timetable, NIGHT + 3 * HOUR) == [NIGHT + 3 * HOUR]


# --- a process that begins -------------------------------------------------------------------------------------------


def test_nothing_was_missed_where_nothing_was_ever_made(desk: Desk) -> None:
    desk.wall.at = NIGHT + HOUR
    assert desk.look(desk.begin(), NIGHT + HOUR) == []


def test_a_tick_of_the_last_minute_is_not_missed(desk: Desk) -> None:
    """As where cron or a timer starts `supervise --once`."""
    desk.says("{cron: '0 3 * * *', missed: skip}")
    desk.wall.at = NIGHT + 59 * SECOND
    assert desk.look(desk.begin(), desk.wall.at) == [NIGHT]
    assert desk.look(desk.begin(), desk.wall.at) == []


def test_what_was_missed_is_made_up_for_once(desk: Desk) -> None:
    desk.look(desk.begin(), NIGHT)
    later = NIGHT + 3 * DAY + HOUR
    desk.wall.at = later
    timetable = desk.begin()
    assert desk.look(timetable, later) == [NIGHT + 3 * DAY]
    assert desk.look(timetable, later + SECOND) == []
    assert desk.look(desk.begin(), later + SECOND) == []


def test_what_was_missed_is_skipped_and_that_is_said(desk: Desk) -> None:
    desk.says("{cron: '0 3 * * *', missed: skip}")
    desk.look(desk.begin(), NIGHT)
    desk.wall.at = NIGHT + 3 * DAY + HOUR
    timetable = desk.begin()
    assert desk.look(timetable, desk.wall.at) == []
    assert desk.said[-1:] == ["nightly: 2026-12-02 03:00:00 UTC was missed, and is skipped"]
    assert desk.look(timetable, NIGHT + 4 * DAY) == [NIGHT + 4 * DAY]


def _prune(desk: Desk) -> None:
    for row in desk.client.store.find(Query(tag=(TAG,))).rows:
        s = row.summary
        stone = Tombstone(
            s.execution_id, s.workflow, s.status, s.started_at, s.ended_at, s.version, s.digest, desk.wall.at
        )
        desk.client.store.prune(stone)


def test_what_was_pruned_counts_as_made(desk: Desk) -> None:
    desk.look(desk.begin(), NIGHT)
    _prune(desk)
    assert desk.client.store.find(Query()).rows == []
    assert desk.look(desk.begin(), NIGHT + SECOND) == []
    desk.wall.at = NIGHT + DAY + HOUR
    assert desk.look(desk.begin(), desk.wall.at) == [NIGHT + DAY]


def test_what_came_due_while_the_one_before_went_on_was_skipped_and_not_missed(desk: Desk) -> None:
    """The execution of one night took until noon of the next day; then the process was started anew."""
    path = desk.path
    desk.wall.at = NIGHT + DAY + 9 * HOUR
    desk.client.run(path, {}, execution_id=tick_id("nightly", NIGHT), tags=(TAG,))
    desk.wall.at += HOUR
    assert desk.look(desk.begin(), desk.wall.at) == []
    desk.says("{cron: '0 3 * * *', overlap: allow}")
    assert desk.look(desk.begin(), desk.wall.at) == [NIGHT + DAY]


def test_runs_by_hand_count_for_nothing(desk: Desk) -> None:
    desk.client.run(desk.path, {}, tags=(TAG,))
    desk.wall.at = NIGHT + HOUR
    assert desk.look(desk.begin(), NIGHT + HOUR) == []


def test_when_the_next_one_is_due_is_said_at_the_first_look(desk: Desk) -> None:
    timetable = desk.begin()
    for _ in range(2):
        assert desk.look(timetable, NIGHT - MINUTE) == []
    assert desk.said == [f"{desk.path}: next at 2026-11-29 03:00:00 UTC"]


# --- the files -------------------------------------------------------------------------------------------------------


def test_an_edited_file_counts_as_it_is_now(desk: Desk) -> None:
    timetable = desk.begin()
    desk.says("30 3 * * *")
    assert desk.look(timetable, NIGHT) == []
    assert desk.look(timetable, NIGHT + 30 * MINUTE) == [NIGHT + 30 * MINUTE]
    assert desk.said[1:] == [f"{desk.path}: read again; next at 2026-11-29 03:30:00 UTC"]


@pytest.mark.parametrize("how", ["broken", "gone", "no schedule", "another name", "needs an input"])
def test_while_a_file_cannot_be_used_nothing_is_due_and_that_is_said_once(desk: Desk, how: str) -> None:
    timetable = desk.begin()
    if how == "gone":
        desk.path.unlink()
    elif how == "broken":
        desk.says("'0 3 * * *'\nstps: []")
    elif how == "no schedule":
        desk.path.write_text("name: nightly\nsteps: [{id: a, run: 'true'}]\n")
    elif how == "another name":
        desk.path.write_text("name: daily\nschedule: 0 3 * * *\nsteps: [{id: a, run: 'true'}]\n")
    else:
        desk.says("'0 3 * * *'\ninputs: {day: {required: true}}")
    for second in range(3):
        assert desk.look(timetable, NIGHT + second * SECOND) == []
    [_, told] = desk.said
    assert "nothing is started until this is mended" in told
    desk.says("0 3 * * *")
    assert desk.look(timetable, NIGHT + 5 * SECOND) == [NIGHT]
    assert desk.said[2:] == [f"{desk.path}: read again; next at 2026-11-29 03:00:00 UTC"], "which is due"


def test_what_was_due_while_a_file_was_broken_was_missed(desk: Desk) -> None:
    timetable = desk.begin()
    desk.look(timetable, NIGHT - MINUTE)
    desk.says("'0 3 * * *'\nstps: []")
    assert desk.look(timetable, NIGHT + 2 * DAY) == []
    desk.says("0 3 * * *")
    assert desk.look(timetable, NIGHT + 2 * DAY + HOUR) == [NIGHT + 2 * DAY]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: nightly\nsteps: [{id: a, run: 'true'}]\n", "has no schedule"),
        (FLOW.format("'0 3 * * *'\ninputs: {day: {required: true}}"), "is given no inputs"),
        (FLOW.format("'0 3 * * *'\nsecrets: [NOT_THERE]"), "NOT_THERE"),
        (FLOW.format("'0 3 *'"), "no cron expression"),
    ],
)
def test_a_file_that_cannot_be_scheduled_is_refused_at_once(desk: Desk, text: str, said: str) -> None:
    desk.path.write_text(text)
    with pytest.raises(CerebelumError) as caught:
        desk.begin()
    assert said in caught.value.text()


def test_two_files_with_one_name_are_refused(desk: Desk) -> None:
    other = desk.lab.write(FLOW.format("'@daily'"), "other.yaml")
    with pytest.raises(CerebelumError, match="both define the workflow nightly"):
        Timetable(
            desk.client.store,
            desk.wall,
            lambda path: preflight.check(path, {}, (), executors(), {}),
            [desk.path, other],
            print,
        )
