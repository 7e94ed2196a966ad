"""A workflow that is written in Python becomes the model that a workflow file becomes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from cerebelum.core.errors import CerebelumError, DefinitionError, Problem, UsageError
from cerebelum.core.model import (
    GROUPS,
    MAX_PARALLEL,
    Diversion,
    Group,
    OnInterrupt,
    OutputKind,
    Retry,
    Step,
    step_digest,
)
from cerebelum.core.step_kind import StepKind
from cerebelum.definition.bodies import check_body, check_options, fit
from cerebelum.definition.expressions import check_syntax, references
from cerebelum.definition.findings import did_you_mean, listed, quoted
from cerebelum.definition.placing import of_python
from cerebelum.sdk.branching import Decision, as_expression
from cerebelum.sdk.builder import Builder, Written
from cerebelum.sdk.chains import Node
from cerebelum.sdk.fingerprints import Fingerprints
from cerebelum.sdk.ordering import Order
from cerebelum.sdk.steps import Step as Decorated
from cerebelum.steps.context import Context
from cerebelum.steps.parameters import parameters_of
from cerebelum.steps.suspension import seconds_of

_GIVEN = ("context", "inputs")
_NAME = {"name"}


class _Plain(msgspec.Struct, frozen=True):
    """What can be said of any step, as far as msgspec can check it; its name is checked by itself."""

    on_interrupt: OnInterrupt = "rerun"
    verify: str = ""
    continue_on_error: bool = False
    isolated: bool = False
    secrets: list[str] = []
    undoes: list[str] = []
    env: dict[str, str | int | float] = {}
    working_dir: str = ""
    description: str | None = None
    output: OutputKind = "none"


class _PlainWorkflow(msgspec.Struct, frozen=True):
    """The same of `@workflow`."""

    name: Annotated[str, msgspec.Meta(min_length=1)] = "workflow"
    max_parallel: Annotated[int, msgspec.Meta(ge=1, le=MAX_PARALLEL)] = 16
    secrets: list[str] = []
    portable: bool = False
    description: str | None = None


def check_workflow(options: Mapping[str, Any], where: str) -> None:
    """Raises DefinitionError for what `@workflow` was given and cannot be."""
    found = [*_misfits(options, _PlainWorkflow)]
    try:
        seconds_of(options.get("timeout") or 0)
    except UsageError as error:
        found.append((f"timeout=: {error.message}", error.hint))
    if found:
        raise DefinitionError([Problem(where, "", f"@workflow: {message}", hint) for message, hint in found])


def _misfits(said: Mapping[str, Any], kind: type[msgspec.Struct]) -> Iterator[tuple[str, str | None]]:
    """What of `said` does not fit the fields of the same name, with hints."""
    known = {name: said[name] for name in kind.__struct_fields__ if name in said}
    if not known:
        return
    for wrong in fit(known, kind, lambda path: None, known=True).mismatches:
        yield f"{wrong.path[0]}=: {wrong.message}", wrong.hint


class Compiled(msgspec.Struct, frozen=True):
    """What there is to perform, and with what."""

    groups: Mapping[Group, tuple[Step, ...]]
    functions: Mapping[str, Callable[..., Any]]
    """By step, for those that are Python functions."""
    end: str | None
    """The one step that everything ends in."""


def compile_steps(
    built: Builder,
    path: Path,
    function: str,
    inputs: Collection[str] | None,
    executors: Mapping[str, StepKind],
    where: str = "",
) -> Compiled:
    """What was written down by the workflow function of this name in this file, at `where`.

    `inputs` are the declared ones, None if any are taken. Raises DefinitionError with every problem found.
    """
    order = Order(built)
    if "steps" not in order.group.values():
        order.add(where, "the workflow has no steps", "write wf.timeline(first >> second)")
    if order.problems:
        raise DefinitionError(order.problems)
    compiler = _Compiler(order, path, function, inputs, executors)
    nodes: dict[Group, list[Node]] = {group: [] for group in GROUPS}
    for name, node in order.nodes.items():
        nodes[order.group[name]].append(node)
    groups = {group: tuple(map(compiler.step, members)) for group, members in nodes.items()}
    if order.problems:
        raise DefinitionError(order.problems)
    ends = order.ends()
    return Compiled(groups, _functions(order), ends[0] if len(ends) == 1 else None)


def functions_of(built: Builder) -> dict[str, Callable[..., Any]]:
    """The functions of what was written down, by step, whoever performs the other steps. Raises DefinitionError."""
    order = Order(built)
    if order.problems:
        raise DefinitionError(order.problems)
    return _functions(order)


def _functions(order: Order) -> dict[str, Callable[..., Any]]:
    return {node.name: node.function for node in order.nodes.values() if isinstance(node, Decorated | Decision)}


class _Compiler:
    def __init__(
        self,
        order: Order,
        path: Path,
        function: str,
        inputs: Collection[str] | None,
        executors: Mapping[str, StepKind],
    ) -> None:
        self._order = order
        self._path = path
        self._named = f"{path.name}:{function}"
        self._inputs = inputs
        self._executors = executors
        self._fingerprints = Fingerprints()
        self._by_parameter = {name.replace("-", "_"): name for name in order.nodes}

    def step(self, node: Node) -> Step:
        """The model's step; problems are noted in the order."""
        try:
            said = getattr(node, "options", {})
            for message, hint in _misfits(said, _Plain) if said.keys() - _NAME else ():
                raise CerebelumError(message, hint=hint)
            made = self._written(node) if isinstance(node, Written) else self._called(node)
        except CerebelumError as error:
            self._problem(node, error.message, error.hint)
            return Step(id=node.name, executor="", body=None)
        # A function is what its code is, whatever its file and its workflow are called.
        return msgspec.structs.replace(made, digest=step_digest(made, with_body=isinstance(node, Written)))

    def _called(self, node: Node) -> Step:
        options: dict[str, Any] = {}
        if isinstance(node, Decision):
            arguments = {"result": _output(node.branch.after.name)}
            fingerprint, said = node.digest(self._fingerprints), {}
            self._check_uses(node, node.expressions())
        else:
            assert isinstance(node, Decorated)
            said = dict(node.options)
            arguments = self._arguments(node)
            fingerprint = self._fingerprints.of(node.function)
            if said.pop("isolated", False):
                if not self._path.is_file():
                    raise CerebelumError(
                        "isolated=True needs a workflow in a file, which a process of its own can load"
                    )
                options["isolated"] = True
            elif place := [key for key in ("env", "working_dir") if key in said]:
                raise CerebelumError(
                    f"a function in the runner's own process cannot have {place[0]}=", hint="add isolated=True"
                )
        if arguments:
            options["with"] = arguments
        body = f"{self._named}.{node.name}"
        return Step(executor="python", body=body, options=options, fingerprint=fingerprint, **self._common(node, said))

    def _written(self, node: Written) -> Step:
        executor = self._executors.get(node.executor)
        if executor is None:
            hint = did_you_mean(node.executor, self._executors) or f"there is {listed(self._executors)}"
            raise CerebelumError(f"nobody performs {quoted(node.executor)}", hint=hint)
        if node.executor in executor.literal:
            if references(node.body):
                hint = "hand values on as variables: env={'NAME': '${{ ... }}'}"
                raise CerebelumError(f"{node.executor} takes no expressions", hint=hint)
        else:
            self._check_uses(node, node.body)
        try:
            body = node.body if references(node.body) else check_body(executor, node.body)
            own = node.own if references(node.own) else check_options(executor, node.own)
        except UsageError as error:
            # Its hint speaks of expressions, and here were none.
            raise CerebelumError(error.message) from None
        common = self._common(node, dict(node.options))
        step = Step(executor=node.executor, body=body, options=own, **common)
        return msgspec.structs.replace(step, fingerprint=executor.fingerprint(step, self._path.parent))

    def _common(self, node: Node, said: dict[str, Any]) -> dict[str, Any]:
        """What every step can have. Raises CerebelumError."""
        values: dict[str, Any] = {"id": node.name, "needs": tuple(self._order.needs[node.name])}
        said.pop("name", None)
        condition = said.pop("when", None)
        if said:
            values |= self._said(node, said)
        if (when := self._condition(node, condition)) is not None:
            values["when"] = when
        if rules := self._order.diverted.get(node.name):
            values["diverge"] = tuple(Diversion(pattern, to) for pattern, to in rules)
        if isinstance(node, Decorated) and "description" not in values and node.__doc__:
            values["description"] = inspect.cleandoc(node.__doc__).partition("\n")[0]
        line = node.where.rpartition(":")[2]
        values["line"] = int(line) if line.isdigit() else 0
        return values

    def _said(self, node: Node, said: dict[str, Any]) -> dict[str, Any]:
        """What was said of the step. Raises CerebelumError."""
        values: dict[str, Any] = {}
        if (retry := said.pop("retry", None)) is not None:
            values["retry"] = _retry(retry)
        if (timeout := said.pop("timeout", None)) is not None:
            values["timeout"] = seconds_of(timeout)
        if env := said.pop("env", None):
            values["env"] = {name: str(value) for name, value in env.items()}
            self._check_uses(node, values["env"])
        if (said.get("on_interrupt") == "verify") != ("verify" in said):
            raise CerebelumError('on_interrupt="verify" and verify= belong together')
        if (placed := said.pop("runs_on", None)) is not None:
            values["runs_on"] = of_python(placed, getattr(node, "executor", "python"))
        for key in ("secrets", "undoes"):
            if key in said:
                values[key] = tuple(said.pop(key))
        for key in ("on_interrupt", "verify", "continue_on_error", "working_dir", "description", "output"):
            if key in said:
                values[key] = said.pop(key)
        if said:
            raise CerebelumError(f"a step has no {next(iter(said))}=")
        return values

    def _condition(self, node: Node, own: Any) -> str | bool | None:
        if own is not None and not isinstance(own, str | bool):
            raise CerebelumError("when= is an expression or a bool", hint="decide with a function: wf.branch(...)")
        conditions = list(self._order.conditions.get(node.name, ()))
        if isinstance(own, str):
            text = as_expression(own)
            self._check_uses(node, text)
            if not conditions:
                return text
            conditions.insert(0, text.strip().removeprefix("${{").removesuffix("}}").strip())
        elif own is False or not conditions:
            return own
        return as_expression(" and ".join(f"({condition})" for condition in conditions))

    def _check_uses(self, node: Node, value: Any) -> None:
        """Raises CerebelumError if an expression is wrong, or refers to what is not there."""
        for text in _texts(value):
            check_syntax(text)
        for root, *rest in references(value):
            if root == "steps" and rest and str(rest[0]) not in self._order.before(node.name):
                raise self._not_before(node, str(rest[0]))
            if root == "inputs" and rest and self._inputs is not None and rest[0] not in self._inputs:
                hint = did_you_mean(str(rest[0]), self._inputs) or f"there is {listed(self._inputs)}"
                raise CerebelumError(f"there is no input {quoted(rest[0])}", hint=hint)

    def _arguments(self, node: Decorated[Any, Any]) -> dict[str, str]:
        """Which parameters are the results of which steps. Raises CerebelumError."""
        found = {}
        for name, required in parameters_of(node.function).named.items():
            if name in _GIVEN:
                continue
            step = self._by_parameter.get(name)
            if step is not None and step in self._order.before(node.name):
                found[name] = _output(step)
            elif required:
                if inspect.signature(node.function).parameters[name].annotation in (Context, "Context"):
                    raise CerebelumError(f"{quoted(name)} gets no Context", hint="call the parameter `context`")
                raise self._not_before(node, name)
        return found

    def _not_before(self, node: Node, name: str) -> CerebelumError:
        there = sorted(self._order.before(node.name))
        if name == "self":
            return CerebelumError("a method is no step without its object", hint="such as step(tools.upload)")
        if name in self._order.nodes:
            of_main = self._order.group[node.name] != "steps" and self._order.group[name] == "steps"
            hint = "a handler finds the results that there are in context.outputs" if of_main else None
            return CerebelumError(f"{quoted(name)} is a step, but does not come before this one", hint=hint)
        hint = did_you_mean(name, [*there, *_GIVEN]) or (f"before it come {listed(there)}" if there else None)
        return CerebelumError(f"{quoted(name)} is no step before this one", hint=hint or "nothing comes before it")

    def _problem(self, node: Node, message: str, hint: str | None) -> None:
        self._order.add(node.where, f"step {quoted(node.name)}: {message}", hint)


def _output(step: str) -> str:
    return f"${{{{ steps['{step}'].output }}}}"


def _retry(given: Any) -> Retry:
    if isinstance(given, bool) or not isinstance(given, int | dict | Retry):
        raise CerebelumError("retry= is a number of attempts, or a dict", hint="retry={'attempts': 3, 'delay': '5s'}")
    if isinstance(given, Retry):
        return given
    said = {"attempts": given} if isinstance(given, int) else dict(given)
    for key in ("delay", "max_delay"):
        if said.get(key) is not None:
            said[key] = seconds_of(said[key])
    if unknown := said.keys() - {*Retry.__struct_fields__}:
        raise CerebelumError(f"retry= has no {unknown.pop()}", hint="attempts, delay, backoff, max_delay, jitter")
    try:
        retry = msgspec.convert(said, Retry)
    except msgspec.ValidationError as error:
        raise CerebelumError(f"retry=: {error}") from None
    if retry.attempts < 1 or retry.backoff < 1 or not 0 <= retry.jitter <= 1:
        raise CerebelumError("retry= has at least one attempt, a backoff of at least 1, and a jitter from 0 to 1")
    return retry


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [text for item in value for text in _texts(item)] if isinstance(value, list | tuple) else []
