"""The steps that have begun and not ended, counted by group and kind, so that common questions cost nothing."""

from __future__ import annotations

from collections.abc import Iterable

from cerebelum.core.model import Group
from cerebelum.core.step_state import StepStatus

_ACTIVE: frozenset[StepStatus] = frozenset({"running", "answered", "retrying", "sleeping", "waiting_for_approval"})


class Active(dict[str, StepStatus]):
    """By step, in the order in which they became active: what it is at. Never changed once it is made."""

    __slots__ = ("_tally",)

    _tally: dict[tuple[Group, StepStatus], int]

    @classmethod
    def of(cls, steps: Iterable[tuple[str, Group, StepStatus]]) -> Active:
        """Those of the steps that are active."""
        made = cls()
        made._tally = {}
        for step_id, group, kind in steps:
            if kind in _ACTIVE:
                made[step_id] = kind
                made._tally[group, kind] = made._tally.get((group, kind), 0) + 1
        return made

    def replaced(self, step_id: str, group: Group, kind: StepStatus) -> Active:
        """The same with another status of one step."""
        before = self.get(step_id)
        if before is None and kind not in _ACTIVE:
            return self
        made = Active(self)
        made._tally = dict(self._tally)
        if before is not None:
            made._tally[group, before] -= 1
        if kind in _ACTIVE:
            made[step_id] = kind
            made._tally[group, kind] = made._tally.get((group, kind), 0) + 1
        else:
            del made[step_id]
        return made

    def kinds(self, group: Group) -> set[StepStatus]:
        """What active steps of a group are at."""
        return {kind for (of, kind), count in self._tally.items() if of == group and count}

    def count(self, kind: StepStatus) -> int:
        """How many steps are at this."""
        found = 0
        for (_, of), count in self._tally.items():
            if of == kind:
                found += count
        return found

    def at(self, kind: StepStatus) -> list[str]:
        """The steps that are at this."""
        return [step_id for step_id, of in self.items() if of == kind] if self.count(kind) else []
