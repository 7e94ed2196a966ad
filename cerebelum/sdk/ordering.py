"""Which step follows which: timelines, branches and diverted failures, put together into one graph."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cerebelum.core.errors import Problem
from cerebelum.core.model import Group
from cerebelum.definition.findings import quoted
from cerebelum.sdk.branching import Decision
from cerebelum.sdk.builder import Builder, Diversion
from cerebelum.sdk.chains import Chain, Node

_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)


class Order:
    """The steps by name, each with its group, what it needs, and conditions that others put on it."""

    def __init__(self, built: Builder) -> None:
        self.nodes: dict[str, Node] = {}
        self.group: dict[str, Group] = {}
        self.needs: dict[str, list[str]] = {}
        self.conditions: dict[str, list[str]] = {}
        self.diverted: dict[str, tuple[tuple[str, str], ...]] = {}
        """Rules by step: a pattern, and `retry`, `continue`, `fail` or a step's name."""
        self.problems: list[Problem] = []
        self._reached: set[Node] = set()
        self._chosen: dict[str, list[Node]] = {}
        """Where a branch leads to that has put it there itself: the chain, by the name of each of its steps."""
        self._at = ""
        """The line of the user's that places steps."""
        for group, chains in built.groups.items():
            for chain in chains:
                self._at = chain.where
                self._link(chain, [], group)
        for branch in built.branches:
            self._branch(Decision(branch, self._free(f"{branch.after.name}-branch")))
        for diversion in built.diversions:
            self._divert(diversion)
        for node in built.written:
            if node not in self._reached:
                self.add(node.where, f"the step {quoted(node.name)} is never reached", "put it into a timeline")
        self.nodes = {name: self.nodes[name] for name in self._in_order()}

    def add(self, where: str, message: str, hint: str | None = None) -> None:
        """Note a problem, once."""
        problem = Problem(where, "", message, hint)
        if problem not in self.problems:
            self.problems.append(problem)

    def ends(self) -> list[str]:
        """The steps of the main graph that nothing follows, but those that a failure leads to."""
        needed = {need for needs in self.needs.values() for need in needs}
        led_to = {to for rules in self.diverted.values() for _, to in rules}
        return [n for n in self.nodes if self.group[n] == "steps" and n not in needed and n not in led_to]

    def before(self, name: str) -> Iterator[str]:
        """All steps before a step, the nearest first."""
        found = dict.fromkeys(self.needs[name])
        todo = [*found]
        for each in todo:
            yield each
            new = [need for need in self.needs[each] if need not in found]
            found.update(dict.fromkeys(new))
            todo += new

    def _in_order(self) -> Iterator[str]:
        """The steps, needed ones first. They go in no circles, since each was placed behind what was there."""
        found: set[str] = set()
        for name in self.nodes:
            todo = [name]
            while todo:
                last = todo[-1]
                if missing := [need for need in self.needs[last] if need not in found]:
                    todo += reversed(missing)
                    continue
                todo.pop()
                if last not in found:
                    found.add(last)
                    yield last

    def _link(self, chain: Chain, before: list[str], group: Group) -> list[str]:
        """Place the steps of a chain that follows `before`; the names of its last ones."""
        for stage in chain.stages:
            if isinstance(stage, Node):
                self._place(stage, before, group)
                before = [stage.name]
            elif stage:
                ends = [end for branch in stage for end in self._link(branch, before, group)]
                before = list(dict.fromkeys(ends))
        return before

    def _place(self, node: Node, before: list[str], group: Group) -> None:
        name = node.name
        self._reached.add(node)
        if not _ID.fullmatch(name):
            hint = "name= takes letters from a to z, digits, _ and -, at most 64 characters"
            self.add(node.where, f"{quoted(name)} cannot be the name of a step", hint)
        other = self.nodes.get(name)
        if other is node:
            hint = "a step has one place; use name= for another"
            self.add(self._at, f"the step {quoted(name)} is used twice (defined at {node.where})", hint)
        elif other is not None:
            self.add(node.where, f"there is another step {quoted(name)}, of {other.where}", "use name=")
        else:
            self.nodes[name], self.group[name], self.needs[name] = node, group, list(before)

    def _added(self, chain: Chain, before: str) -> tuple[list[str], list[str]]:
        """Place a chain behind a step; the names of its last steps, and of all."""
        known = set(self.nodes)
        ends = self._link(chain, [before], self.group[before])
        return ends, [name for name in self.nodes if name not in known]

    def _branch(self, decision: Decision) -> None:
        """Place the step that decides behind its step, and what it decides on behind that."""
        branch, after = decision.branch, decision.branch.after.name
        self._at = branch.where
        if self.nodes.get(after) is not branch.after:
            self.add(branch.where, f"the branch is after {quoted(after)}, which is in no timeline")
            return
        followers = [name for name, needs in self.needs.items() if after in needs]
        self._place(decision, [after], self.group[after])
        lasts: list[str] = []
        for _, chain in branch.targets:
            led_to = [*chain.nodes()]
            first = led_to[0]
            if first.name in self._chosen:
                # Several conditions of one branch may lead to the same.
                if self._chosen[first.name] != led_to or decision.name not in self.needs[first.name]:
                    hint = "join the conditions, or give another step another name="
                    self.add(branch.where, f"branches lead to the step {quoted(first.name)} twice", hint)
                continue
            if first.name in self.nodes:
                self._jump(decision, first)
                continue
            ends, added = self._added(chain, decision.name)
            self._chosen |= dict.fromkeys(added, led_to)
            lasts += ends
            for name in added:
                self._when(name, decision.chooses(first.name))
        for name in followers:
            self.needs[name] = [need for need in self.needs[name] if need != after] + [decision.name, *lasts]

    def _jump(self, decision: Decision, target: Node) -> None:
        """Have what stands before a target further down skipped where the target is chosen."""
        after, where = decision.branch.after.name, decision.branch.where
        behind = self._downstream(after)
        if target.name not in behind:
            message = f"the branch leads to {quoted(target.name)}, which does not come after {quoted(after)}: a cycle"
            self.add(where, message, "what has to be tried again has @step(retry=...)")
            return
        for name in behind:
            if name not in (target.name, decision.name) and target.name in self._downstream(name):
                self._when(name, f"not ({decision.chooses(target.name)})")

    def _divert(self, diversion: Diversion) -> None:
        """Place the steps that failures lead to; where one is chosen, what follows otherwise is skipped."""
        name = diversion.step.name
        self._at = where = diversion.where
        if self.nodes.get(name) is not diversion.step:
            self.add(where, f"failures of {quoted(name)} are diverted, which is in no timeline")
            return
        usual = self._downstream(name)
        rules = [*self.diverted.get(name, ())]
        for pattern, to in diversion.rules:
            if isinstance(to, str):
                rules.append((pattern, to))
                continue
            first = next(to.nodes())
            rules.append((pattern, first.name))
            if first.name in self.nodes and (pattern, first.name) not in rules[:-1]:
                if first.name not in {step for _, step in rules[:-1]}:
                    self.add(where, f"a failure leads to {quoted(first.name)}, which has its place already")
                continue
            condition = f"steps['{name}'].diverted == '{first.name}'"
            for added in self._added(to, name)[1]:
                self._when(added, condition)
            for follower in usual:
                self._when(follower, f"not ({condition})")
        self.diverted[name] = tuple(rules)

    def _when(self, name: str, condition: str) -> None:
        self.conditions.setdefault(name, []).append(condition)

    def _downstream(self, name: str) -> list[str]:
        found = [name]
        for each in found:
            found += [other for other, needs in self.needs.items() if each in needs and other not in found]
        return found[1:]

    def _free(self, name: str) -> str:
        def names() -> Iterator[str]:
            yield name
            number = 1
            while number := number + 1:
                yield f"{name}-{number}"

        return next(each for each in names() if each not in self.nodes)
