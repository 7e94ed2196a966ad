"""`concurrency:`, the group of a workflow whose executions never overlap: as it is written, and as one run has it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, get_args

from cerebelum.core.errors import CerebelumError, UsageError
from cerebelum.core.model import Concurrency, Policy
from cerebelum.definition.drafts import Reading, Use, expressions_in
from cerebelum.definition.expressions import check_syntax, evaluate, references
from cerebelum.definition.fields import check_keys, read_choice, read_text
from cerebelum.definition.findings import did_you_mean, listed, quoted
from cerebelum.definition.nodes import AnyNode, Scalar, Table, kind
from cerebelum.definition.operations import as_text

KEYS = ("group", "policy")
POLICIES: tuple[Policy, ...] = get_args(Policy)
LONGEST_GROUP = 255
_EXAMPLE = "such as {group: 'deploy-${{ inputs.environment }}', policy: queue}"


def read_concurrency(reading: Reading, node: AnyNode) -> tuple[Concurrency | None, list[Use]]:
    """The block, or the name of a group alone, and the expressions in it."""
    found, path = reading.found, "concurrency"
    if isinstance(node, Scalar) and node.value is not None:
        return _group(reading, node, path, {})
    if not isinstance(node, Table):
        found.add(node, path, f"expected a mapping or the name of a group, this is {kind(node)}", _EXAMPLE)
        return None, []
    check_keys(found, node, path, KEYS)
    values: dict[str, Any] = {}
    if "policy" in node.entries:
        values["policy"] = read_choice(found, node.entries["policy"], f"{path}.policy", POLICIES) or "queue"
    if "group" not in node.entries:
        found.add(node, path, "`group` is missing", "the executions of one group never overlap")
        return None, []
    return _group(reading, node.entries["group"], f"{path}.group", values)


def _group(
    reading: Reading, node: AnyNode, path: str, values: Mapping[str, Any]
) -> tuple[Concurrency | None, list[Use]]:
    text = read_text(reading.found, node, path)
    if text is None:
        return None, []
    if problem := _name_problem(text):
        reading.found.add(node, path, *problem)
    return Concurrency(text, **values), expressions_in(reading, node, path)


def check_group_uses(reading: Reading, inputs: Collection[str], uses: list[Use]) -> None:
    """Report references to what is not an input."""
    for use in uses:
        for reference in use.references:
            if problem := _reference_problem(reference, inputs):
                reading.found.add(use.node, use.path, *problem)


def _reference_problem(reference: tuple[Any, ...], inputs: Collection[str] | None) -> tuple[str, str | None] | None:
    if reference[0] != "inputs":
        return f"a group cannot refer to {reference[0]}", "it is known before anything starts: from the inputs alone"
    if len(reference) < 2 or inputs is None or reference[1] in inputs:
        return None
    name = str(reference[1])
    declared = f"declared are {listed(inputs)}" if inputs else "the workflow declares no inputs"
    return f"there is no input {quoted(name)}", did_you_mean(name, inputs) or declared


def _name_problem(text: str) -> tuple[str, str | None] | None:
    if not text.strip():
        return "the name of the group is empty", "an expression may have come out empty"
    if len(text) > LONGEST_GROUP:
        return f"the name of the group has {len(text)} characters", f"{LONGEST_GROUP} are the most"
    if text.splitlines() != [text]:
        return "the name of the group has a line break", "it is one line of text"
    return None


def of_python(given: Any, inputs: Collection[str] | None) -> Concurrency:
    """What `concurrency=` says; `inputs` are the declared ones, None if any are taken. Raises UsageError."""
    said = {"group": given} if isinstance(given, str) else given
    hint = 'concurrency={"group": "deploy-${{ inputs.environment }}", "policy": "queue"}'
    if not isinstance(said, Mapping) or not isinstance(said.get("group"), str) or not {*said} <= {*KEYS}:
        raise UsageError("concurrency= is the name of a group, or a dict with group and policy", hint=hint)
    policy: Any = said.get("policy", "queue")
    if policy not in POLICIES:
        near = did_you_mean(str(policy), POLICIES) or f"there is {listed(POLICIES)}"
        raise UsageError(f"concurrency= has no policy {policy!r}", hint=near)
    made = Concurrency(said["group"], policy)
    check_syntax(made.group)
    for reference in references(made.group):
        if problem := _reference_problem(reference, inputs):
            raise UsageError(f"concurrency=: {problem[0]}", hint=problem[1])
    check_name(made.group)
    return made


def check_name(group: str) -> None:
    """Raises UsageError for a name that no group can have."""
    if problem := _name_problem(group):
        raise UsageError(problem[0], hint=problem[1])


def evaluated(concurrency: Concurrency | None, inputs: Mapping[str, Any]) -> Concurrency | None:
    """The group with its name as these inputs make it. Raises UsageError if they make none."""
    if concurrency is None:
        return None
    try:
        name = as_text(evaluate(concurrency.group, {"inputs": inputs}))
    except CerebelumError as error:
        raise UsageError(f"concurrency.group: {error.message}", where=error.where, hint=error.hint) from None
    check_name(name)
    return Concurrency(name, concurrency.policy)
