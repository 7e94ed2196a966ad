"""Checks that whatever expressions refer to exists, and is certain to be there when they are evaluated."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from cerebelum.core.model import Group, Input
from cerebelum.definition.drafts import Draft, Reading, Use
from cerebelum.definition.findings import Findings, listed, quoted
from cerebelum.definition.graph import ancestors
from cerebelum.definition.syntax import SECRETS_HINT, Reference, spelled

EXECUTION = ("id", "workflow", "cwd", "workflow_dir", "started_at", "tags", "scheduled_for")
EXECUTION_IN_HANDLERS = ("status", "failed_steps", "error")
OF_A_STEP = ("output", "status")


class Names(msgspec.Struct):
    """What a workflow declares."""

    inputs: Mapping[str, Input]
    secrets: frozenset[str]
    by_id: Mapping[str, Draft]
    orders: Mapping[Group, Sequence[Draft]]
    """Steps of each group that goes in no circles, each after its predecessors."""


class Reachability:
    """Whether one step comes before another, worked out on the first question."""

    def __init__(self, orders: Mapping[Group, Sequence[Draft]]) -> None:
        self._orders = orders
        self._masks: dict[Group, dict[str, int]] = {}
        self._bits: dict[Group, dict[str, int]] = {}

    def before(self, first: Draft, second: Draft) -> bool:
        """Whether `first` is certain to be over when `second` starts (both in one group); True if that is unknown."""
        if first.id in second.predecessors:
            return True
        group = second.group
        order = self._orders.get(group)
        if order is None or not second.id:
            return True
        if group not in self._masks:
            self._masks[group] = ancestors(order)
            self._bits[group] = {draft.id: n for n, draft in enumerate(order)}
        return bool(self._masks[group].get(second.id, 0) >> self._bits[group][first.id] & 1)


def check_uses(reading: Reading, names: Names, draft: Draft, inherited: Collection[str], reach: Reachability) -> None:
    """Report every reference of a step that does not hold."""
    if not draft.uses:
        return
    own = {name: n for n, name in enumerate(draft.env)}
    visible = frozenset(inherited) | draft.env.keys()
    for use in draft.uses:
        for reference in use.references:
            problem = _problem(reading.found, names, reference, use, draft, reach)
            if problem is None and reference[0] == "env":
                problem = env_problem(reading.found, reference, use, visible, own, names.secrets)
            _report(reading, use, problem)


def check_shared_uses(reading: Reading, names: Names, uses: Sequence[Use], env: Sequence[str], what: str) -> None:
    """Report every reference that does not hold in what all steps share: the workflow's `env:` and `defaults:`."""
    order = {name: n for n, name in enumerate(env)}
    for use in uses:
        for reference in use.references:
            if reference[0] == "steps":
                hint = "put it into the `env:` of the steps that come after that one"
                _report(reading, use, (f"{what} cannot refer to steps", hint))
                continue
            problem = _problem(reading.found, names, reference, use, None, None)
            if problem is None and reference[0] == "env":
                problem = env_problem(reading.found, reference, use, order, order, names.secrets)
            _report(reading, use, problem)


def check_output_uses(reading: Reading, names: Names, uses: Sequence[Use], env: Sequence[str]) -> None:
    """Report every reference of the workflow's `output:` that does not hold."""
    order = {name: n for n, name in enumerate(env)}
    for use in uses:
        for reference in use.references:
            problem = _problem(reading.found, names, reference, use, None, None)
            if problem is None and reference[0] == "env":
                problem = env_problem(reading.found, reference, use, order, {}, names.secrets)
            _report(reading, use, problem)


Problem = tuple[str, str | None]


def _report(reading: Reading, use: Use, problem: Problem | None) -> None:
    if problem is not None:
        reading.found.add(use.node, use.path, *problem)


def _problem(
    found: Findings, names: Names, ref: Reference, use: Use, draft: Draft | None, reach: Reachability | None
) -> Problem | None:
    if len(ref) < 2 or ref[0] == "env":
        return None
    name = ref[1]
    if ref[0] == "inputs":
        return _input_problem(found, names, str(name))
    if ref[0] == "execution":
        return _execution_problem(found, str(name), draft)
    return _step_problem(found, names, ref, draft, reach)


def _input_problem(found: Findings, names: Names, name: str) -> Problem | None:
    if name in names.inputs:
        return None
    if name in names.secrets:
        return f"{quoted(name)} is a secret, not an input", SECRETS_HINT
    declared = f"declared are {listed(names.inputs)}" if names.inputs else "the workflow declares no inputs"
    hint = found.suggest(name, names.inputs) or declared
    if "-" in name and name.split("-", maxsplit=1)[0] in names.inputs:
        hint = "to subtract, put spaces around the `-`"
    return f"there is no input {quoted(name)}", hint


def _execution_problem(found: Findings, name: str, draft: Draft | None) -> Problem | None:
    if name in EXECUTION:
        return None
    if name in EXECUTION_IN_HANDLERS:
        if draft is not None and draft.group != "steps":
            return None
        return (
            f"{quoted('execution.' + name)} is known in handlers only",
            "handlers are on_failure, on_success, on_cancel and finally",
        )
    return f"there is no {quoted('execution.' + name)}", found.suggest(
        name, EXECUTION
    ) or f"there is {listed(EXECUTION)}"


def _step_problem(
    found: Findings, names: Names, ref: Reference, draft: Draft | None, reach: Reachability | None
) -> Problem | None:
    name = str(ref[1])
    target = names.by_id.get(name)
    if target is None:
        hint = found.suggest(name, names.by_id)
        return (
            f"there is no step {quoted(name)}",
            hint or "to subtract, put spaces around the `-`" if "-" in name else hint,
        )
    if len(ref) > 2 and ref[2] not in OF_A_STEP:
        hint = f"did you mean {quoted(spelled((*ref[:2], 'output', *ref[2:])))}?"
        return f"a step has `output` and `status`, no {quoted(ref[2])}", hint
    if draft is None:
        return None if target.group == "steps" else (f"{quoted(name)} is a handler ({target.group})", None)
    if target is draft:
        return f"{quoted(name)} refers to itself", "its output exists when it is over"
    if target.group != draft.group:
        if target.group == "steps":
            return None
        return f"{quoted(name)} is in {target.group}, it may not have run", None
    if reach is not None and not reach.before(target, draft):
        if draft.id in target.predecessors or (draft.id and reach.before(draft, target)):
            return f"{quoted(name)} comes after {quoted(draft.id)}", "a step can only use what came before it"
        message = f"{quoted(name)} is not certain to be over when {quoted(draft.id or draft.path)} starts"
        return message, f"add `needs: [{', '.join([*draft.predecessors[:5], name])}]`"
    return None


def env_problem(
    found: Findings,
    ref: Reference,
    use: Use,
    visible: Collection[str],
    own: Mapping[str, int],
    secrets: Collection[str],
) -> Problem | None:
    """What is wrong with a reference to a variable. `own` numbers those of the block that `use` may stand in."""
    if len(ref) < 2:
        return None
    name = str(ref[1])
    if name not in visible and name in secrets:
        return f"{quoted(name)} is a secret, it cannot be used in expressions", SECRETS_HINT
    if name not in visible:
        hint = found.suggest(name, visible) or "expressions see the variables declared under `env:`, not the process's"
        return f"there is no variable {quoted(name)}", hint
    if use.variable is None or name not in own:
        return None
    if name == use.variable:
        return f"the variable {quoted(name)} refers to itself", "give one of them another name"
    if own[name] > own[use.variable]:
        return f"the variable {quoted(name)} is declared further down", "move it above this one"
    return None
