"""The step that decides on a branch: what it chose is in the log, and is not decided twice."""

from __future__ import annotations

import inspect
import re
from typing import Any

from cerebelum.core.digests import sha256
from cerebelum.core.errors import ExpressionError
from cerebelum.definition.expressions import evaluate
from cerebelum.sdk.builder import Branch, Condition
from cerebelum.sdk.chains import Node
from cerebelum.sdk.fingerprints import Fingerprints

_RESULT = r"""'[^']*'|"[^"]*"|(?<![\w.])result\b"""


class Decision(Node):
    """A step whose output is the name of the first target whose condition holds, or nothing."""

    def __init__(self, branch: Branch, name: str) -> None:
        self.branch = branch
        self.name = name
        self.where = branch.where
        self._names = [next(chain.nodes()).name for _, chain in branch.targets]

    def function(self, result: Any, inputs: dict[str, Any]) -> str | None:
        """The chosen target. Raises ExpressionError if an expression has no value, and what a condition raises."""
        for (condition, _), target in zip(self.branch.targets, self._names, strict=True):
            if self._holds(condition, result, inputs):
                return target
        return None

    def digest(self, fingerprints: Fingerprints) -> str:
        """SHA-256 (hex) of all conditions and targets."""
        parts = [
            f"{fingerprints.of(condition) if callable(condition) else condition!r} {target}"
            for (condition, _), target in zip(self.branch.targets, self._names, strict=True)
        ]
        return sha256("\n".join(parts).encode())

    def chooses(self, target: str) -> str:
        """The condition under which it has chosen this one."""
        return f"steps['{self.name}'].output == '{target}'"

    def expressions(self) -> list[str]:
        """The conditions that are expressions, as their language has them."""
        return [self._expression(condition) for condition, _ in self.branch.targets if isinstance(condition, str)]

    def _holds(self, condition: Condition, result: Any, inputs: dict[str, Any]) -> bool:
        if isinstance(condition, bool):
            return condition
        if isinstance(condition, str):
            steps = {self.branch.after.name: {"output": result}}
            return bool(evaluate(self._expression(condition), {"steps": steps, "inputs": inputs}))
        held = condition(result)
        if inspect.isawaitable(held):
            raise ExpressionError("a condition cannot be `async def`", hint="ask in a step, and decide on its result")
        return bool(held)

    def _expression(self, condition: str) -> str:
        output = f"steps['{self.branch.after.name}'].output"
        return as_expression(re.sub(_RESULT, lambda found: output if found[0] == "result" else found[0], condition))


def as_expression(condition: str) -> str:
    """A condition as the expression language has it, whether it was written with `${{ }}` or without."""
    return condition if "${{" in condition else f"${{{{ {condition} }}}}"
