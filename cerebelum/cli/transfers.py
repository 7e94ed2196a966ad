"""What is counted and told of executions on their way from one place to another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from cerebelum.cli import terminal
from cerebelum.cli.progress import Advance
from cerebelum.core import errors
from cerebelum.render.display import harmless

if TYPE_CHECKING:
    from cerebelum.render import store_contract as contract
    from cerebelum.store.copying import Outcome


class Tally:
    """What became of executions."""

    def __init__(self) -> None:
        self.events = 0
        self.wrong: list[Outcome] = []
        """What was left out or refused."""
        self._counts: Counter[str] = Counter()

    def count(self, outcomes: Iterator[Outcome], advance: Advance) -> None:
        """Go through all of them."""
        with closing(outcomes) as found:  # type: ignore[type-var]
            for outcome in found:
                self._counts[outcome.what] += 1
                self.events += outcome.events
                if outcome.what in ("left out", "refused"):
                    self.wrong.append(outcome)
                advance(outcome.what != "tombstone" and outcome.execution_id is not None, outcome.events)

    def __getitem__(self, what: str) -> int:
        return self._counts[what]

    @property
    def code(self) -> int:
        """The exit code: 1 if something is not where it was to go."""
        return errors.EXECUTION_FAILED if self.wrong else errors.OK

    def complain(self) -> None:
        """Say on standard error what was left out or refused, and why."""
        for outcome in self.wrong:
            whom = f"{outcome.execution_id}: " if outcome.execution_id is not None else ""
            place = f"{outcome.where}: " if outcome.where else ""
            terminal.complain(harmless(f"{place}{whom}{outcome.what}: {outcome.why}"))

    def refused(self) -> list[contract.Refused]:
        """What was refused, as JSON."""
        return [
            {"execution_id": o.execution_id, "where": o.where, "message": o.why or ""}
            for o in self.wrong
            if o.what == "refused"
        ]

    def shape(self) -> contract.Transfer:
        """All of it as JSON."""
        return {
            "ok": not self.wrong,
            "added": self["added"],
            "carried_forward": self["carried forward"],
            "there_already": self["there already"],
            "events": self.events,
            "tombstones": self["tombstone"],
            "left_out": [o.execution_id for o in self.wrong if o.what == "left out" and o.execution_id is not None],
            "refused": self.refused(),
        }

    def told(self, done: str) -> str:
        """All of it in one line."""
        parts = [f"{executions(self['added'])} {done}"]
        names = ("carried forward", "there already", "left out", "refused")
        parts += [f"{self[name]} {name}" for name in names if self[name]]
        if self["tombstone"]:
            parts.append(f"{self['tombstone']} tombstone{'' if self['tombstone'] == 1 else 's'}")
        return ", ".join([*parts, f"{self.events:,} event{'' if self.events == 1 else 's'}"])

    def tell(self, done: str, as_json: bool) -> int:
        """Print what became of all; returns the exit code."""
        if as_json:
            terminal.show_json(self.shape())
        else:
            self.complain()
            terminal.show(self.told(done))
        return self.code


def executions(count: int) -> str:
    """So many executions."""
    return f"{count:,} execution{'' if count == 1 else 's'}"
