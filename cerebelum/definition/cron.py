"""When a schedule is due: cron expressions in a time zone.

The library does what Debian's cron does, also where clocks change. A time that does not exist comes as soon as the
clocks have gone forward; one that exists twice comes the first time alone. Where minute or hour begin with `*`, and
where there are seconds, real time counts: an hour that does not exist has no ticks, one that comes twice has two.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING

from cerebelum.core.model import Schedule
from cerebelum.definition.findings import did_you_mean, listed

if TYPE_CHECKING:
    from cronsim import CronSim

NAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FORM = "five fields, minute hour day month weekday, such as '0 3 * * *'; six where the first is the second"
_EXAMPLE = datetime(2001, 1, 1, tzinfo=UTC)
_FIRST_WINDOW = timedelta(minutes=1)


def cron_problem(cron: str) -> tuple[str, str] | None:
    """What is wrong with a cron expression, and a hint; None if it can be used."""
    if cron.startswith("@") and cron not in NAMES:
        return "there is no such name", did_you_mean(cron, NAMES) or f"there is {listed(NAMES)}"
    from cronsim import CronSimError

    try:
        next(_ticks(cron, _EXAMPLE))
    except CronSimError as error:
        # "Bad minute", "Wrong number of fields"
        return f"no cron expression: {str(error)[0].lower()}{str(error)[1:]}", FORM
    except StopIteration:
        return "there is no such day in 50 years", FORM
    return None


def zone_problem(name: str) -> tuple[str, str] | None:
    """What is wrong with the name of a time zone, and a hint; None if there is one."""
    try:
        zone(name)
    except (LookupError, ValueError, OSError):
        there = _zones()
        known = "names are those of the tz database, such as Europe/Berlin"
        missing = "this system has no time zones: install its package tzdata"
        return "there is no such time zone", (did_you_mean(name, there) or known) if there else missing
    return None


@lru_cache(maxsize=64)
def zone(name: str) -> tzinfo:
    """The time zone of this name. Raises LookupError, ValueError or OSError."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


@lru_cache(maxsize=1)
def _zones() -> list[str]:
    from zoneinfo import available_timezones

    return sorted(available_timezones())


def ticks(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """The times (UTC) at which a schedule is due, after `after`."""
    for local in _ticks(schedule.cron, after.astimezone(zone(schedule.timezone))):
        tick = local.astimezone(UTC)
        # Within an hour that comes twice, the first one counts as still to come.
        if tick > after:
            yield tick


def latest(schedule: Schedule, after: datetime, until: datetime) -> datetime | None:
    """The last time at which a schedule was due, after `after` and not after `until`; None if there was none.

    Looks back further and further, so that a schedule of seconds is not counted through for years.
    """
    window = _FIRST_WINDOW
    while True:
        begin = max(after, until - min(window, until - after))
        found = None
        for tick in ticks(schedule, begin):
            if tick > until:
                break
            found = tick
        if found is not None or begin == after:
            return found
        window *= 8


def _ticks(cron: str, after: datetime) -> CronSim:
    from cronsim import CronSim

    return CronSim(NAMES.get(cron, cron), after)
