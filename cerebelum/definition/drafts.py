"""Reads a step as it is written: everything that can be said about it without knowing the other steps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from cerebelum.core.model import Group
from cerebelum.core.step_kind import StepKind
from cerebelum.definition.bodies import Fit, fit, option_names, spelled_path, takes
from cerebelum.definition.bodies import Path as Keys
from cerebelum.definition.fields import (
    check_keys,
    read_boolean,
    read_choice,
    read_duration,
    read_env,
    read_names,
    read_retry,
    read_secrets,
    read_text,
    sub,
)
from cerebelum.definition.findings import Findings, Place, listed, quoted
from cerebelum.definition.nodes import AnyNode, Listing, Scalar, Table, kind, plain
from cerebelum.definition.placing import ONLY_WAITS, read_runs_on
from cerebelum.definition.syntax import BadSyntax, Reference, check_syntax, references, split

ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)
ID_HINT = "use letters, digits, _ and -, starting with a letter or _, at most 64 characters"
RESERVED = frozenset({"inputs", "steps", "execution", "env", "context", "last", "true", "false", "null"})
COMMON = (
    "id",
    "needs",
    "when",
    "env",
    "secrets",
    "working_dir",
    "timeout",
    "retry",
    "continue_on_error",
    "on_interrupt",
    "verify",
    "runs_on",
    "output",
    "description",
    "undoes",
)
ON_INTERRUPT = ("rerun", "verify", "fail")
LITERAL_HINT = "give the value to the process with `env:`, such as `env: {NAME: '${{ … }}'}`, and use \"$NAME\" here"


class Use(msgspec.Struct):
    """A text with expressions in it, to be checked once all steps are known."""

    node: Scalar
    path: str
    references: list[Reference]
    variable: str | None = None
    """The variable it is the value of, if it stands in an `env:` block."""


class Draft(msgspec.Struct):
    """A step as written, not yet linked to others."""

    id: str
    place: Place
    path: str
    group: Group
    line: int
    executor: StepKind | None = None
    body: Any = None
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    needs: list[tuple[str, Scalar]] | None = None
    undoes: list[tuple[str, Scalar]] = msgspec.field(default_factory=list)
    env: dict[str, Scalar] = msgspec.field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    values: dict[str, Any] = msgspec.field(default_factory=dict)
    """Other fields of `model.Step` that were written."""
    uses: list[Use] = msgspec.field(default_factory=list)
    executor_place: Place | None = None
    body_node: AnyNode | None = None
    when: Use | None = None
    predecessors: tuple[str, ...] = ()


class Reading(msgspec.Struct):
    """What reading a file needs to know everywhere."""

    found: Findings
    executors: Mapping[str, StepKind]
    folder: Path
    lines: list[str]
    options: dict[str, frozenset[str]] = msgspec.field(default_factory=dict)
    """Further keys by executor."""
    known: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.options = {key: option_names(executor) for key, executor in self.executors.items()}
        self.known = frozenset(COMMON).union(self.executors, *self.options.values())


def read_id(reading: Reading, table: Table, path: str) -> tuple[str, Place]:
    """The id of a step; an empty one stands for an id that is missing or wrong (and was reported)."""
    found = reading.found
    node = table.entries.get("id")
    if node is None:
        found.add(table, path, "`id` is missing", "every step has an id of its own")
        return "", table
    text = read_text(found, node, f"{path}.id")
    if text is None:
        return "", node
    if not ID.fullmatch(text):
        found.add(node, f"{path}.id", f"{quoted(text)} cannot be an id", ID_HINT)
        return "", node
    if text in RESERVED:
        found.add(node, f"{path}.id", f"the id {quoted(text)} is reserved", f"reserved are {listed(sorted(RESERVED))}")
    return text, node


def read_step(reading: Reading, table: Table, path: str, group: Group) -> Draft:
    """One step of a timeline. What is wrong is reported, and left out of the draft."""
    found = reading.found
    step_id, place = read_id(reading, table, path)
    draft = Draft(step_id, place, path, group, table.line)
    _read_executor(reading, table, draft)
    for key, node in table.entries.items():
        reader = _READERS.get(key)
        if reader is not None:
            reader(reading, node, f"{path}.{key}", draft)
    values = draft.values
    if "verify" in values and "on_interrupt" in values and values["on_interrupt"] != "verify":
        found.add(table.spots["verify"], f"{path}.verify", "has no effect", "say `on_interrupt: verify`")
    return draft


def _read_executor(reading: Reading, table: Table, draft: Draft) -> None:
    found, path = reading.found, draft.path
    keys = [key for key in table.entries if key in reading.executors]
    kinds = listed(sorted(reading.executors), 30)
    unknown = [key for key in table.entries if key not in reading.known]
    check_keys(found, table, path, reading.known, f"a step is one of {kinds}; plugins add others")
    if len(keys) > 1:
        message = f"a step does one thing, this has {' and '.join(map(quoted, keys))}"
        found.add(table.spots[keys[1]], path, message, "make two steps of it")
        for key in keys:
            _read_body(reading, table.entries[key], reading.executors[key], draft)
            own = reading.options[key].difference(COMMON)
            if chosen := {name: item for name, item in table.entries.items() if name in own}:
                read_options(reading, table, chosen, reading.executors[key], path)
        return
    if not keys:
        if not unknown:
            found.add(table, path, "the step says nothing to do", f"give it one of {kinds}")
        return
    key = keys[0]
    executor = draft.executor = reading.executors[key]
    draft.executor_place = table.spots[key]
    draft.body_node = table.entries[key]
    draft.body = _read_body(reading, draft.body_node, executor, draft)
    own = reading.options[key]
    for name in table.entries:
        if name in reading.known and name not in own and name != key and name not in COMMON:
            owners = [k for k, names in reading.options.items() if name in names]
            found.add(
                table.spots[name],
                path,
                f"{quoted(name)} does not go with {quoted(key)}",
                f"it belongs to {listed(owners)}",
            )
    chosen = {name: item for name, item in table.entries.items() if name in own and name not in COMMON}
    if chosen:
        draft.options, uses = read_options(reading, table, chosen, executor, path)
        draft.uses.extend(uses)


def _read_body(reading: Reading, node: AnyNode, executor: StepKind, draft: Draft) -> Any:
    key, path = executor.key, f"{draft.path}.{executor.key}"
    if key not in executor.literal:
        body = check(reading, node, path, executor.body)
        draft.uses.extend(expressions_in(reading, node, path))
        return body
    if executor.body is str and isinstance(node, Scalar):
        number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        if number:
            hint = f"if there is a program of that name: '{node.text}'"
            reading.found.add(node, path, f"expected a text, this is {kind(node)}", hint)
            return node.text
        if isinstance(node.value, str) and not node.text.strip():
            reading.found.add(node, path, "is empty")
            return node.text
    body = check(reading, node, path, executor.body)
    refuse_expressions(reading, node, path)
    return body


def read_options(
    reading: Reading, table: Table, chosen: dict[str, AnyNode], executor: StepKind, path: str
) -> tuple[dict[str, Any], list[Use]]:
    """An executor's further keys as plain data, and the expressions in them."""
    part = Table(table.line, table.column)
    part.entries = chosen
    part.spots = {name: table.spots[name] for name in chosen}
    options = check(reading, part, path, executor.options)
    uses: list[Use] = []
    for name, node in chosen.items():
        if name in executor.literal:
            refuse_expressions(reading, node, sub(path, name))
        else:
            uses.extend(expressions_in(reading, node, sub(path, name)))
    return options, uses


def check(reading: Reading, node: AnyNode, path: str, wanted: Any) -> Any:
    """The node as plain data that fits the type `wanted`; what does not fit is reported."""
    if wanted is str and isinstance(node, Scalar) and node.value is not None:
        return node.text

    def written(keys: Keys) -> str | None:
        at = _at(node, keys)
        return at.text if isinstance(at, Scalar) else None

    done: Fit = fit(plain(node), wanted, written)
    for mismatch in done.mismatches:
        if mismatch.at_key:
            parent = _at(node, mismatch.path[:-1])
            assert isinstance(parent, Table)
            place: Place = parent.spots[str(mismatch.path[-1])]
            where = spelled_path(path, mismatch.path[:-1])
        else:
            place, where = _at(node, mismatch.path), spelled_path(path, mismatch.path)
        reading.found.add(place, where, mismatch.message, mismatch.hint)
    for scalar, where, keys in scalars(node, path):
        if scalar.doubt is not None and takes(done.value, wanted, keys, 0):
            refuse_doubtful(reading, scalar, where)
    return done.value


def refuse_doubtful(reading: Reading, scalar: Scalar, path: str) -> None:
    """Report what looks like a number, stands where it would be one, and cannot be."""
    message = f"{quoted(scalar.text)} is {scalar.doubt}"
    reading.found.add(scalar, path, message, "quote it if it is meant as a text")


def _at(node: AnyNode, keys: Keys) -> AnyNode:
    """The node below `node` at these keys, or as far down as they lead."""
    for key in keys:
        if isinstance(node, Table) and key in node.entries:
            node = node.entries[str(key)]
        elif isinstance(node, Listing) and isinstance(key, int) and key < len(node.items):
            node = node.items[key]
        else:
            break
    return node


def scalars(node: AnyNode, path: str, keys: Keys = ()) -> Iterator[tuple[Scalar, str, Keys]]:
    """Every scalar below a node, with its path as people read it and as keys and indexes."""
    if isinstance(node, Scalar):
        yield node, path, keys
    elif isinstance(node, Listing):
        for index, item in enumerate(node.items):
            yield from scalars(item, f"{path}[{index}]", (*keys, index))
    else:
        for key, item in node.entries.items():
            yield from scalars(item, sub(path, key), (*keys, key))


def refuse_expressions(reading: Reading, node: AnyNode, path: str) -> None:
    """Report `${{` in what is taken literally."""
    for scalar, where, _ in scalars(node, path):
        if "${{" in scalar.text:
            place = locate(reading, scalar, 0, 0)
            reading.found.add(place, where, "expressions are not evaluated here, the text is literal", LITERAL_HINT)


def expressions_in(reading: Reading, node: AnyNode, path: str, variable: str | None = None) -> list[Use]:
    """The texts below a node that hold expressions; what is wrong with how they are written is reported."""
    uses: list[Use] = []
    for scalar, where, _ in scalars(node, path):
        if "${{" not in scalar.text or not isinstance(scalar.value, str):
            continue
        try:
            check_syntax(scalar.text)
        except BadSyntax as e:
            place = locate(reading, scalar, e.opening, e.offset)
            reading.found.add(place, where, e.message, e.hint)
        else:
            uses.append(Use(scalar, where, references(scalar.text), variable))
    return uses


class At:
    """A place that was computed."""

    __slots__ = ("column", "line")

    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column


def locate(reading: Reading, scalar: Scalar, opening: int, offset: int) -> Place:
    """Where the n-th `${{` of a text stands in the file, plus an offset on its line; else the place of the text."""
    column = scalar.column - 1
    for number in range(scalar.line - 1, min(len(reading.lines), scalar.line + 2000)):
        line = reading.lines[number]
        while (at := line.find("${{", column)) >= 0:
            column = at + 3
            if at and line[at - 1] == "$":
                continue
            if opening == 0:
                return At(number + 1, min(at + offset, len(line)) + 1)
            opening -= 1
        column = 0
    return scalar


def _read_when(reading: Reading, node: AnyNode, path: str, draft: Draft) -> None:
    found = reading.found
    if not isinstance(node, Scalar) or node.value is None:
        hint = "such as `when: inputs.replicas > 1`"
        found.add(node, path, f"expected a condition, this is {kind(node)}", hint)
        return
    if isinstance(node.value, bool):
        draft.values["when"] = node.value
        return
    text = node.text.strip()
    bare = "${{" not in text
    whole = Scalar("${{ " + text + " }}" if bare else text, "", True, node.line, node.column)
    whole.value = whole.text
    uses = expressions_in(reading, whole, path)
    if uses and [part.expression for part in split(whole.text)] != [True]:
        found.add(node, path, "a condition is exactly one expression", "put all of it into one `${{ … }}`")
    elif uses:
        draft.values["when"] = whole.text
        draft.uses.extend(uses)
        draft.when = uses[0]


def _read_needs(reading: Reading, node: AnyNode, path: str, draft: Draft) -> None:
    draft.needs = read_names(reading.found, node, path)


def _read_undoes(reading: Reading, node: AnyNode, path: str, draft: Draft) -> None:
    if draft.group == "steps":
        hint = "handlers are the steps of on_failure, on_success, on_cancel and finally"
        reading.found.add(node, path, "only a handler can undo steps", hint)
        return
    draft.undoes = read_names(reading.found, node, path) or []


def _read_env(reading: Reading, node: AnyNode, path: str, draft: Draft) -> None:
    draft.env = read_env(reading.found, node, path)
    for name, value in draft.env.items():
        draft.uses.extend(expressions_in(reading, value, sub(path, name), name))


def _read_secrets(reading: Reading, node: AnyNode, path: str, draft: Draft) -> None:
    draft.secrets = read_secrets(reading.found, node, path)


def _read_working_dir(reading: Reading, node: AnyNode, path: str, draft: Draft) -> None:
    if isinstance(node, Scalar) and node.value is None and node.text == "~":
        hint = "for the home folder write '~' in quotes, or ~/"
        reading.found.add(node, path, "is empty: a `~` alone is nothing in YAML", hint)
        return
    text = read_text(reading.found, node, path)
    if text is not None and not text.strip():
        reading.found.add(node, path, "is empty")
    elif text is not None:
        draft.values["working_dir"] = text
        draft.uses.extend(expressions_in(reading, node, path))


def _read_timeout(reading: Reading, node: AnyNode, path: str, draft: Draft) -> None:
    _keep(draft, "timeout", read_duration(reading.found, node, path))


def _read_retry(reading: Reading, node: AnyNode, path: str, draft: Draft) -> None:
    _keep(draft, "retry", read_retry(reading.found, node, path))


def _read_continue(reading: Reading, node: AnyNode, path: str, draft: Draft) -> None:
    _keep(draft, "continue_on_error", read_boolean(reading.found, node, path))


def _read_on_interrupt(reading: Reading, node: AnyNode, path: str, draft: Draft) -> None:
    _keep(draft, "on_interrupt", read_choice(reading.found, node, path, ON_INTERRUPT))


def _read_verify(reading: Reading, node: AnyNode, path: str, draft: Draft) -> None:
    text = read_text(reading.found, node, path)
    refuse_expressions(reading, node, path)
    if text is not None and not text.strip():
        reading.found.add(node, path, "is empty")
    else:
        _keep(draft, "verify", text)


def _read_runs_on(reading: Reading, node: AnyNode, path: str, draft: Draft) -> None:
    _keep(draft, "runs_on", read_runs_on(reading.found, node, path))
    if draft.executor is not None and draft.executor.key in ONLY_WAITS:
        reading.found.add(node, path, "has no effect", "a step that only waits needs no worker")


def _read_output(reading: Reading, node: AnyNode, path: str, draft: Draft) -> None:
    _keep(draft, "output", read_choice(reading.found, node, path, ("text", "json")))


def _read_description(reading: Reading, node: AnyNode, path: str, draft: Draft) -> None:
    _keep(draft, "description", read_text(reading.found, node, path))


def _keep(draft: Draft, name: str, value: Any) -> None:
    if value is not None:
        draft.values[name] = value


_READERS = {
    "needs": _read_needs,
    "when": _read_when,
    "env": _read_env,
    "secrets": _read_secrets,
    "working_dir": _read_working_dir,
    "timeout": _read_timeout,
    "retry": _read_retry,
    "continue_on_error": _read_continue,
    "on_interrupt": _read_on_interrupt,
    "verify": _read_verify,
    "runs_on": _read_runs_on,
    "output": _read_output,
    "description": _read_description,
    "undoes": _read_undoes,
}
