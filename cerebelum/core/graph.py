"""The order of steps, worked out once per definition so that following it costs nothing per event."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cerebelum.core.model import GROUPS, Group, Step, Workflow


class Graph(msgspec.Struct, frozen=True):
    """All steps of a workflow by position: the main graph first, then each group of handlers."""

    steps: tuple[Step, ...]
    position: dict[str, int]
    group: tuple[Group, ...]
    """The group of each position."""
    bounds: dict[Group, tuple[int, int]]
    """First position of a group, and the one after its last."""
    dependents: tuple[tuple[int, ...], ...]
    """Positions that need each position."""

    @staticmethod
    def of(workflow: Workflow) -> Graph:
        steps: list[Step] = []
        groups: list[Group] = []
        bounds: dict[Group, tuple[int, int]] = {}
        for name in GROUPS:
            members = workflow.group(name)
            bounds[name] = (len(steps), len(steps) + len(members))
            steps.extend(members)
            groups.extend([name] * len(members))
        position = {step.id: index for index, step in enumerate(steps)}
        dependents: list[list[int]] = [[] for _ in steps]
        for index, step in enumerate(steps):
            for need in step.needs:
                dependents[position[need]].append(index)
        return Graph(tuple(steps), position, tuple(groups), bounds, tuple(map(tuple, dependents)))

    def step(self, step_id: str) -> Step:
        return self.steps[self.position[step_id]]

    def group_of(self, step_id: str) -> Group:
        return self.group[self.position[step_id]]

    def downstream(self, step_ids: Iterable[str]) -> set[str]:
        """The given steps and everything that follows from them, within their groups."""
        todo = [self.position[s] for s in step_ids]
        seen = set(todo)
        while todo:
            for dependent in self.dependents[todo.pop()]:
                if dependent not in seen:
                    seen.add(dependent)
                    todo.append(dependent)
        return {self.steps[p].id for p in seen}
