"""A whole workflow file: reads it, checks that its parts fit together, and builds the model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import msgspec

from cerebelum.core.errors import CerebelumError, UsageError
from cerebelum.core.model import GROUPS, MAX_PARALLEL, Group, Input, Loaded, Step, Workflow, step_digest
from cerebelum.core.step_kind import Defines, StepKind
from cerebelum.definition.concurrency import check_group_uses, read_concurrency
from cerebelum.definition.conditions import never_boolean
from cerebelum.definition.declarations import Defaults, read_defaults, read_inputs
from cerebelum.definition.drafts import Draft, Reading, Use, expressions_in, refuse_doubtful, scalars
from cerebelum.definition.fields import (
    check_keys,
    read_boolean,
    read_duration,
    read_env,
    read_integer,
    read_secrets,
    read_text,
    sub,
)
from cerebelum.definition.findings import Findings, Place, quoted
from cerebelum.definition.graph import check_ids, link, ordered, read_timeline
from cerebelum.definition.nodes import AnyNode, Scalar, Spot, Table, kind, plain
from cerebelum.definition.reading import read
from cerebelum.definition.references import (
    Names,
    Reachability,
    check_output_uses,
    check_shared_uses,
    check_uses,
)
from cerebelum.definition.schedules import read_schedules
from cerebelum.definition.sources import read_python, read_source
from cerebelum.definition.syntax import parse as parse_expression
from cerebelum.definition.syntax import references, split

WORKFLOW_KEYS = (
    "name",
    "description",
    "inputs",
    "secrets",
    "env",
    "max_parallel",
    "timeout",
    "concurrency",
    "schedule",
    "portable",
    "output",
    "defaults",
    *GROUPS,
)
FREE_PREFIX = "x-"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._-]{0,63}", re.ASCII)


class Top(msgspec.Struct):
    """The workflow's own keys."""

    values: dict[str, Any] = msgspec.field(default_factory=dict)
    inputs: dict[str, Input] = msgspec.field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    env: dict[str, Scalar] = msgspec.field(default_factory=dict)
    env_uses: list[Use] = msgspec.field(default_factory=list)
    output_uses: list[Use] = msgspec.field(default_factory=list)
    group_uses: list[Use] = msgspec.field(default_factory=list)
    defaults: Defaults = msgspec.field(default_factory=Defaults)


def load(
    origin: Path | Defines, executors: Mapping[str, StepKind], *, thorough: bool = False, name: str | None = None
) -> Loaded:
    """Read and check a workflow file; `thorough` also asks bash whether it understands the scripts.

    Of a Python file with several workflows, `file.py:workflow` or `name` says which. Raises UsageError if the file
    cannot be read, DefinitionError with every problem found if its content is wrong.
    """
    if isinstance(origin, Path) and (python := re.fullmatch(r"(.+\.py)(?::([^/\\:]+))?", str(origin), re.DOTALL)):
        source = read_python(Path(python[1]))
        defined = getattr(executors.get("python"), "defined", None)
        if defined is None:
            raise UsageError("no plugin reads workflows in Python", where=str(origin))
        origin = defined(Path(source.path), python[2], name)
    if isinstance(origin, Defines):
        return origin.loaded(executors)
    text, source = read_source(origin)
    folder = Path(source.path).parent
    return Loaded(parse(text, str(origin), folder, executors, thorough=thorough), source, folder)


def parse(text: str, name: str, folder: Path, executors: Mapping[str, StepKind], *, thorough: bool = False) -> Workflow:
    """The workflow that a YAML text defines; `name` is the file's, as positions in messages show it.

    Raises DefinitionError with every problem found.
    """
    found = Findings(name)
    text = text.removeprefix("\ufeff")
    root = read(text, found)
    if root is None:
        if not len(found):
            found.add(Spot(1, 1), "", "the file is empty", "a workflow has at least `steps:` with one step")
        raise found.error()
    if not isinstance(root, Table):
        found.add(root, "", f"expected `key: value` lines, this is {kind(root)}", "a workflow has at least `steps:`")
        raise found.error()
    reading = Reading(found, executors, folder, text.splitlines())
    known = [key for key in root.entries if not key.startswith(FREE_PREFIX)]
    if known != list(root.entries):
        root.entries = {key: root.entries[key] for key in known}
    check_keys(found, root, "", WORKFLOW_KEYS)
    top = _read_top(reading, root, Path(name).stem)
    timelines = _read_timelines(reading, root)
    groups = {group: [draft for item in items for draft in item] for group, items in timelines.items()}
    by_id = check_ids(found, (draft for drafts in groups.values() for draft in drafts))
    orders: dict[Group, list[Draft]] = {}
    for group, items in timelines.items():
        link(found, items, by_id)
        if (order := ordered(found, groups[group])) is not None:
            orders[group] = order
    _check_references(reading, top, groups, Names(top.inputs, _secret_names(top, groups), by_id, orders))
    if thorough:
        _check_scripts(reading, (draft for drafts in groups.values() for draft in drafts))
    steps = {group: tuple(_build(reading, top, draft) for draft in drafts) for group, drafts in groups.items()}
    found.raise_if_any()
    fields: dict[str, Any] = {("finally_" if group == "finally" else group): steps[group] for group in steps}
    env = {name: _variable(node) for name, node in top.env.items()}
    return Workflow(inputs=top.inputs, secrets=top.secrets, env=env, **top.values, **fields)


def _read_timelines(reading: Reading, root: Table) -> dict[Group, list[list[Draft]]]:
    timelines: dict[Group, list[list[Draft]]] = {}
    for group in GROUPS:
        if group in root.entries:
            timelines[group] = read_timeline(reading, root.entries[group], group)
        elif group == "steps":
            reading.found.add(root, "", "`steps` is missing", "a workflow has at least one step")
    return timelines


def _read_top(reading: Reading, root: Table, stem: str) -> Top:
    found, entries = reading.found, root.entries
    top = Top()
    values = top.values
    values["name"] = _read_name(found, entries.get("name"), stem)
    if "description" in entries:
        values["description"] = read_text(found, entries["description"], "description")
    if "max_parallel" in entries:
        values["max_parallel"] = read_integer(found, entries["max_parallel"], "max_parallel", 1, MAX_PARALLEL) or 1
    if "timeout" in entries:
        values["timeout"] = read_duration(found, entries["timeout"], "timeout")
    if "concurrency" in entries:
        values["concurrency"], top.group_uses = read_concurrency(reading, entries["concurrency"])
    if "portable" in entries:
        values["portable"] = read_boolean(found, entries["portable"], "portable") or False
    if "output" in entries:
        values["output"] = plain(entries["output"])
        top.output_uses = expressions_in(reading, entries["output"], "output")
        for scalar, path, _ in scalars(entries["output"], "output"):
            if scalar.doubt is not None:
                refuse_doubtful(reading, scalar, path)
    if "inputs" in entries:
        top.inputs = read_inputs(found, entries["inputs"])
    if "schedule" in entries:
        values["schedule"] = read_schedules(found, entries["schedule"], top.inputs)
    if "secrets" in entries:
        top.secrets = read_secrets(found, entries["secrets"], "secrets")
    if "env" in entries:
        top.env = read_env(found, entries["env"], "env")
        for name, node in top.env.items():
            top.env_uses.extend(expressions_in(reading, node, sub("env", name), name))
    if "defaults" in entries:
        top.defaults = read_defaults(reading, entries["defaults"])
    return top


def _read_name(found: Findings, node: AnyNode | None, stem: str) -> str:
    if node is None:
        name = re.sub(r"[^A-Za-z0-9 ._-]+", "-", stem).strip(" .-")[:64].rstrip()
        return name or "workflow"
    text = read_text(found, node, "name")
    if text is not None and not _NAME.fullmatch(text):
        hint = "use letters, digits, spaces and . _ -, at most 64 characters"
        found.add(node, "name", f"{quoted(text)} cannot be the name of a workflow", hint)
    return text or "workflow"


def _secret_names(top: Top, groups: Mapping[Group, list[Draft]]) -> frozenset[str]:
    return frozenset(top.secrets).union(*(draft.secrets for drafts in groups.values() for draft in drafts))


def _check_references(reading: Reading, top: Top, groups: Mapping[Group, list[Draft]], names: Names) -> None:
    found = reading.found
    shared = list(top.env)
    check_shared_uses(reading, names, top.env_uses, shared, "the workflow's env")
    inherited = [*shared, *(name for name in top.defaults.env if name not in top.env)]
    check_shared_uses(reading, names, top.defaults.uses, inherited, "defaults")
    check_output_uses(reading, names, top.output_uses, shared)
    check_group_uses(reading, names.inputs, top.group_uses)
    reach = Reachability(names.orders)
    _refuse_secret_names(found, top.env, "env", names.secrets)
    _refuse_secret_names(found, top.defaults.env, "defaults.env", names.secrets)
    for drafts in groups.values():
        for draft in drafts:
            check_uses(reading, names, draft, inherited, reach)
            _check_condition(reading, top, draft)
            _refuse_secret_names(found, draft.env, f"{draft.path}.env", {*top.secrets, *draft.secrets})
            for step_id, node in draft.undoes:
                target = names.by_id.get(step_id)
                if target is None or target.group != "steps":
                    hint = found.suggest(step_id, [i for i, d in names.by_id.items() if d.group == "steps"])
                    found.add(node, f"{draft.path}.undoes", f"there is no step {quoted(step_id)} to undo", hint)


def _refuse_secret_names(found: Findings, env: Mapping[str, Scalar], path: str, secrets: AbstractSet[str]) -> None:
    for name in env:
        if name in secrets:
            found.add(env[name], sub(path, name), f"{quoted(name)} is a secret too", "choose another name")


def _check_condition(reading: Reading, top: Top, draft: Draft) -> None:
    if draft.when is None:
        return
    [expression] = split(draft.when.node.text)
    what = never_boolean(parse_expression(expression.text), top.inputs)
    if what is not None:
        message = f"{quoted(expression.text.strip())} is {what}, never true or false"
        reading.found.add(draft.when.node, draft.when.path, message, "compare it with something, such as `== 'yes'`")


def _check_scripts(reading: Reading, drafts: Iterable[Draft]) -> None:
    """Ask executors that can tell whether they understand the bodies they will be given."""
    by_executor: dict[str, list[tuple[Draft, Scalar]]] = {}
    for draft in drafts:
        node = draft.body_node
        if draft.executor is not None and isinstance(draft.body, str) and isinstance(node, Scalar):
            by_executor.setdefault(draft.executor.key, []).append((draft, node))
    for key, found in by_executor.items():
        flaws = getattr(reading.executors[key], "flaws", None)
        if flaws is None:
            continue
        for (draft, node), flaw in zip(found, flaws([(d.body, d.options) for d, _ in found]), strict=True):
            if flaw is not None:
                line, message = flaw
                reading.found.add(_line_of(reading, node, line), f"{draft.path}.{key}", message)


def _line_of(reading: Reading, node: Scalar, number: int) -> Place:
    """Where line `number` of a text stands in the file, if it is a `|` block; else where the text begins."""
    first = reading.lines[node.line - 1][node.column - 1 :] if node.line <= len(reading.lines) else ""
    at = node.line + number
    if not first.startswith("|") or at > len(reading.lines):
        return node
    line = reading.lines[at - 1]
    return Spot(at, len(line) - len(line.lstrip()) + 1)


def _build(reading: Reading, top: Top, draft: Draft) -> Step:
    """The step of a draft, with everything inherited filled in; a stand-in if the draft is not usable."""
    executor, defaults = draft.executor, top.defaults
    if executor is None:
        return Step(id=draft.id, executor="", body=None)
    values = {**defaults.values, **draft.values}
    _check_verify(reading, draft, values)
    if values.get("on_interrupt") == "rerun":
        del values["on_interrupt"]
    step = Step(
        id=draft.id,
        executor=executor.key,
        body=draft.body,
        options={**defaults.options.get(executor.key, {}), **draft.options},
        needs=draft.predecessors,
        explicit_needs=draft.needs is not None,
        env=_env(reading, top, draft),
        secrets=tuple(dict.fromkeys((*top.secrets, *draft.secrets))),
        undoes=tuple(step_id for step_id, _ in draft.undoes),
        line=draft.line,
        **values,
    )
    try:
        fingerprint = executor.fingerprint(step, reading.folder)
    except CerebelumError as e:
        assert draft.executor_place is not None
        reading.found.add(draft.executor_place, f"{draft.path}.{executor.key}", e.message, e.hint)
        return step
    if fingerprint is not None:
        step = msgspec.structs.replace(step, fingerprint=fingerprint)
    return msgspec.structs.replace(step, digest=step_digest(step))


def _check_verify(reading: Reading, draft: Draft, values: Mapping[str, Any]) -> None:
    on_interrupt = values.get("on_interrupt")
    if on_interrupt == "verify" and "verify" not in values:
        message = "`on_interrupt: verify` needs a command in `verify:`"
        reading.found.add(draft.place, draft.path, message, "it exits with 0 if the step's effect is there")
    elif on_interrupt is None and "verify" in values:
        reading.found.add(draft.place, draft.path, "`verify:` has no effect", "add `on_interrupt: verify`")


def _variable(node: Scalar) -> str:
    return "" if node.value is None else node.text


def _env(reading: Reading, top: Top, draft: Draft) -> dict[str, Any]:
    """Inherited and own variables, each after those that it refers to."""
    inherited = {**top.env, **top.defaults.env}
    merged = {name: _variable(node) for name, node in {**inherited, **draft.env}.items()}
    if not any(name in inherited for name in draft.env) and not any(name in top.env for name in top.defaults.env):
        return merged
    if not any("${{" in value for value in merged.values()):
        return merged
    from graphlib import CycleError, TopologicalSorter

    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name, value in merged.items():
        try:
            refs = [str(ref[1]) for ref in references(value) if ref[0] == "env" and len(ref) > 1]
        except CerebelumError:
            return merged
        sorter.add(name, *(ref for ref in refs if ref in merged))
    try:
        return {name: merged[name] for name in sorter.static_order()}
    except CycleError as e:
        if len(set(e.args[1])) == 1:
            return merged
        names = " → ".join(e.args[1])
        message = f"these variables refer to each other: {names}"
        reading.found.add(draft.place, f"{draft.path}.env", message, "give the step's own another name")
        return merged
