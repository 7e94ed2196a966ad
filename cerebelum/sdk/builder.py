"""What a workflow function writes down: timelines, branches, handlers, and steps that are no Python functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Unpack

import msgspec

from cerebelum.core.errors import UsageError
from cerebelum.core.model import Group
from cerebelum.sdk.chains import Chain, Follower, Node, caller
from cerebelum.sdk.steps import Settings
from cerebelum.steps.suspension import Length, seconds_of

Condition = str | bool | Callable[[Any], Any]
"""Of a branch: a function of the result, an expression such as `result.ok`, or True for what is left."""


class Written(Node):
    """A step that is written like in a workflow file."""

    def __init__(
        self, executor: str, body: Any, name: str, where: str, own: Mapping[str, Any], options: Mapping[str, Any]
    ) -> None:
        self.executor = executor
        self.body = body
        self.name = name
        self.where = where
        self.own = {key: value for key, value in own.items() if value is not None}
        """The executor's own keys."""
        self.options = options

    def __repr__(self) -> str:
        return f"<step {self.name} of {self.where}>"


class Branch(msgspec.Struct):
    """After a step, the first condition that holds says where to go on."""

    after: Node
    targets: list[tuple[Condition, Chain]]
    where: str


class Diversion(msgspec.Struct):
    """Where a failure of a step leads to, by its kind."""

    step: Node
    rules: list[tuple[str, str | Chain]]
    where: str


class ShellOptions(Settings, total=False):
    """What `wf.shell` takes besides."""

    shell: str
    output: Literal["none", "text", "json"]
    undoes: list[str]


class Builder:
    """The `wf` of a workflow function.

    Example:
        >>> from cerebelum import Builder, step, workflow
        >>> @step
        ... def check():
        ...     return {"load": 0.9}
        >>> @step
        ... def wait():
        ...     return "waited"
        >>> @step
        ... def release(wait):
        ...     return f"{wait}, then released"
        >>> @workflow
        ... def deploy(wf: Builder) -> None:
        ...     wf.timeline(check >> release)
        ...     wf.branch(after=check, when={"result.load > 0.5": wait})
        >>> deploy.run(store="memory:").output
        'waited, then released'
    """

    def __init__(self) -> None:
        self.groups: dict[Group, list[Chain]] = {}
        self.branches: list[Branch] = []
        self.diversions: list[Diversion] = []
        self.written: list[Written] = []

    def timeline(self, *steps: Follower) -> None:
        """The steps in their order: `wf.timeline(fetch >> [lint, unit] >> package)`; a list runs at the same time.

        Several arguments follow each other, too; several calls are timelines that begin at the same time.
        """
        self._add("steps", steps)

    def on_failure(self, *steps: Follower) -> None:
        """Steps for when the execution has failed."""
        self._add("on_failure", steps)

    def on_success(self, *steps: Follower) -> None:
        """Steps for when everything went well."""
        self._add("on_success", steps)

    def on_cancel(self, *steps: Follower) -> None:
        """Steps for when the execution is cancelled."""
        self._add("on_cancel", steps)

    def finally_(self, *steps: Follower) -> None:
        """Steps at the end, whatever happened."""
        self._add("finally", steps)

    def branch(self, *, after: Node, when: Mapping[Condition, Follower]) -> None:
        """Go on, after a step, with the first target whose condition holds.

        A condition is a function of the step's result, an expression in which the result is called `result`, or True.
        A target that stands further down the timeline is gone on with; what is in between is skipped. Any other is
        put between the step and what follows it, and is skipped unless it is chosen. What was chosen is the output of
        a step of its own, `<after>-branch`, so that it is in the log and is not decided twice.
        """
        where = caller()
        _check_node(after, where)
        if not when:
            raise UsageError("a branch needs conditions", where=where, hint="when={condition: target, ...}")
        given: Iterable[object] = when
        for condition in given:
            if not isinstance(condition, str | bool) and not callable(condition):
                hint = "a function of the result, an expression, or True"
                raise UsageError(f"{condition!r} is no condition", where=where, hint=hint)
        targets = [(condition, _led_to(target, "a branch", where)) for condition, target in when.items()]
        self.branches.append(Branch(after, targets, where))

    def diverge(
        self,
        step: Node,
        rules: Mapping[str | type[BaseException], Follower | Literal["retry", "continue", "fail"]],
    ) -> None:
        """Say what a failure of a step leads to, by the first rule that fits.

        A rule is the error's kind (`timeout`, `exit`, `exception`...), an exception's class or its name, or a pattern
        with `*` for one of these or for the message. It leads to `retry` (as often as the step's `retry` says, three
        attempts without one), `continue` (what follows runs all the same), `fail`, or to a step, which is performed
        instead of what follows. A failure that no rule fits is dealt with as ever.
        """
        where = caller()
        _check_node(step, where)
        if not rules:
            raise UsageError("failures are diverted by rules", where=where, hint="{OSError: 'retry', ...}")
        found: list[tuple[str, str | Chain]] = []
        for rule, to in rules.items():
            pattern = rule if isinstance(rule, str) else getattr(rule, "__qualname__", "")
            if not pattern:
                raise UsageError(f"{rule!r} is no kind of error", where=where, hint="a text or an exception's class")
            if isinstance(to, str):
                if to not in ("retry", "continue", "fail"):
                    raise UsageError(
                        f"{to!r} is not possible here", where=where, hint="retry, continue, fail or a step"
                    )
                found.append((pattern, to))
            else:
                found.append((pattern, _led_to(to, "a failure", where)))
        self.diversions.append(Diversion(step, found, where))

    def shell(self, script: str, *, name: str, **options: Unpack[ShellOptions]) -> Node:
        """A step that runs a script, as `run:` does. Values reach it as variables (`env=`, `INPUT_<NAME>`)."""
        return self._write("run", script, name, caller(), ("shell",), dict(options))

    def sleep(self, length: Length, *, name: str = "sleep") -> Node:
        """A step that waits."""
        return self._write("sleep", seconds_of(length), name, caller(), (), {})

    def approval(
        self,
        message: str,
        *,
        name: str = "approval",
        data: Any = None,
        timeout: Length | None = None,
        on_timeout: Literal["fail", "reject", "approve"] = "fail",
        approval_type: str = "manual",
    ) -> Node:
        """A step that waits until somebody approves; what they respond is its result."""
        body = {"message": message, "data": data, "on_timeout": on_timeout, "type": approval_type}
        if timeout is not None:
            body["timeout"] = seconds_of(timeout)
        return self._write("approval", body, name, caller(), (), {})

    def use(self, executor: str, body: Any, *, name: str, own: Mapping[str, Any] | None = None, **options: Any) -> Node:
        """A step of any executor, such as a plugin's: its key, what stands under it, and its `own` keys beside it."""
        return self._write(executor, body, name, caller(), tuple(own or ()), {**options, **(own or {})})

    def _write(
        self, executor: str, body: Any, name: str, where: str, own: tuple[str, ...], options: dict[str, Any]
    ) -> Written:
        mine = {key: options.pop(key) for key in own if key in options}
        node = Written(executor, body, name, where, mine, options)
        self.written.append(node)
        return node

    def _add(self, group: Group, steps: tuple[Follower, ...]) -> None:
        chain = Chain(list(steps))
        chain.where = caller()
        self.groups.setdefault(group, []).append(chain)


def _led_to(target: Follower, what: str, where: str) -> Chain:
    chain = Chain([target])
    if next(chain.nodes(), None) is None:
        raise UsageError(f"{what} leads to steps, and here is none", where=where)
    return chain


def _check_node(node: object, where: str) -> None:
    if not isinstance(node, Node):
        raise UsageError(f"{getattr(node, '__name__', node)} is no step", where=where)
