"""When workflows start by themselves, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from cerebelum.core.ids import tick_id
from cerebelum.definition.cron import ticks, zone
from cerebelum.render.display import harmless, length
from cerebelum.render.tables import table

if TYPE_CHECKING:
    from cerebelum.core.model import Schedule, Workflow
    from cerebelum.render import pool_contract as contract

    Scheduled = Sequence[tuple[str, Workflow]]
    """The name of a file, and the workflow in it."""

_SHORT = "%a %Y-%m-%d %H:%M:%S %Z"


def schedules_text(found: Scheduled, now: datetime, count: int) -> str:
    """The table of `schedules`."""
    rows = [("WORKFLOW", "SCHEDULE", "NEXT", "UTC", "IN")]
    for _, workflow, schedule in _each(found):
        said = f"{schedule.cron} {schedule.timezone}"
        for at in islice(ticks(schedule, now), count):
            local = at.astimezone(zone(schedule.timezone))
            left = length((at - now).total_seconds())
            rows.append((workflow.name, said, f"{local:{_SHORT}}", f"{at:%Y-%m-%d %H:%M:%S}", left))
            said = ""
    return "\n".join(harmless(line) for line in table(rows))


def schedules_shape(found: Scheduled, now: datetime, count: int) -> contract.Schedules:
    """What `schedules --json` prints."""
    return {
        "schedules": [
            {
                "file": file,
                "workflow": workflow.name,
                "cron": schedule.cron,
                "timezone": schedule.timezone,
                "overlap": schedule.overlap or (None if workflow.concurrency else "skip"),
                "missed": schedule.missed,
                "next": [
                    {
                        "at": at,
                        "local": at.astimezone(zone(schedule.timezone)),
                        "execution_id": tick_id(workflow.name, at),
                    }
                    for at in islice(ticks(schedule, now), count)
                ],
            }
            for file, workflow, schedule in _each(found)
        ]
    }


def _each(found: Scheduled) -> Iterator[tuple[str, Workflow, Schedule]]:
    for file, workflow in found:
        for schedule in workflow.schedule:
            yield file, workflow, schedule
