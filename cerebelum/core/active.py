"""The steps that have begun and not ended, counted by group and kind, so that common questions cost nothing."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from cerebelum.core.model import Group
from cerebelum.core.step_state import BUSY, StepStatus

_ACTIVE: frozenset[StepStatus] = BUSY | {"answered", "retrying", "sleeping", "waiting_for_approval"}
_AWAY = BUSY - {"running"}
_NONE: dict[StepStatus, int] = {}


def _counted(counts: dict[StepStatus, int], less: StepStatus | None, more: StepStatus | None) -> dict[StepStatus, int]:
    """The counts with one step less at `less`, and one more at `more`."""
    counts = dict(counts)
    if less is not None:
        counts[less] -= 1
        if not counts[less]:
            del counts[less]
    if more is not None:
        counts[more] = counts.get(more, 0) + 1
    return counts


class Active(dict[str, StepStatus]):
    """By step, in the order in which they became active: what it is at. Never changed once it is made."""

    __slots__ = ("_tally",)

    _tally: dict[Group, dict[StepStatus, int]]
    """How many steps of a group are at what; nothing that none is at."""

    @classmethod
    def of(cls, steps: Iterable[tuple[str, Group, StepStatus]]) -> Active:
        """Those of the steps that are active."""
        made = cls()
        made._tally = {}
        for step_id, group, kind in steps:
            if kind in _ACTIVE:
                made[step_id] = kind
                made._tally[group] = _counted(made._tally.get(group, {}), None, kind)
        return made

    def replaced(self, step_id: str, group: Group, kind: StepStatus) -> Active:
        """The same with another status of one step."""
        before, after = self.get(step_id), kind if kind in _ACTIVE else None
        if before is None and after is None:
            return self
        made = Active(self)
        made._tally = {**self._tally, group: _counted(self._tally.get(group, {}), before, after)}
        if after is not None:
            made[step_id] = after
        else:
            del made[step_id]
        return made

    def kinds(self, group: Group) -> AbstractSet[StepStatus]:
        """What active steps of a group are at."""
        return self._tally.get(group, _NONE).keys()

    def count(self, kind: StepStatus) -> int:
        """How many steps are at this."""
        return sum([counts.get(kind, 0) for counts in self._tally.values()])

    def busy(self) -> int:
        """How many attempts go on, here and on workers."""
        busy = 0
        for counts in self._tally.values():
            for kind, n in counts.items():
                if kind in BUSY:
                    busy += n
        return busy

    def away(self) -> bool:
        """Whether there are attempts that are workers' business."""
        return not all(map(_AWAY.isdisjoint, self._tally.values()))

    def at(self, kind: StepStatus) -> list[str]:
        """The steps that are at this."""
        return [step_id for step_id, of in self.items() if of == kind] if self.count(kind) else []
