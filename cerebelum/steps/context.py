"""What a step that is a Python function may know of its execution."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from cerebelum.core.events import StepError
    from cerebelum.steps.executor import Ending


class Context:
    """Declare a parameter `context` to get it.

    Example:
        >>> from cerebelum import Context, step
        >>> @step
        ... def upload(context: Context) -> str:
        ...     context.log(f"attempt {context.attempt}")
        ...     return context.idempotency_key
    """

    def __init__(
        self,
        *,
        execution_id: str,
        workflow_name: str,
        step_name: str,
        attempt: int,
        idempotency_key: str,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, Any],
        secrets: Mapping[str, str],
        is_cancelled: Callable[[], bool],
        wait: Callable[[float | None], bool],
        write: Callable[[bytes], None],
        ending: Ending | None = None,
    ) -> None:
        self.execution_id = execution_id
        self.workflow_name = workflow_name
        self.step_name = step_name
        self.attempt = attempt
        """1 for the first; goes on over resumes."""
        self.idempotency_key = idempotency_key
        """The same on every attempt: hand it to services that can recognise a repeated request."""
        self.secrets = dict(secrets)
        self.status: Literal["completed", "failed", "cancelled"] | None = ending.status if ending else None
        """In a handler, how the execution ends; None in other steps."""
        self.failed_steps: tuple[str, ...] = ending.failed_steps if ending else ()
        """In a handler, the steps that failed for good, in the order in which they did."""
        self.failed_step: str | None = next(iter(self.failed_steps), None)
        """The first of them."""
        self.error: StepError | None = ending.error if ending else None
        """In a handler, what went wrong there: kind, message, traceback."""
        self._inputs = inputs
        self._outputs = outputs
        self._is_cancelled = is_cancelled
        self._wait = wait
        self._write = write

    @functools.cached_property
    def inputs(self) -> dict[str, Any]:
        """The execution's inputs, by name (a copy)."""
        return copied(dict(self._inputs))  # type: ignore[no-any-return]

    @functools.cached_property
    def outputs(self) -> dict[str, Any]:
        """Outputs of completed steps, by name (a copy)."""
        return copied(dict(self._outputs))  # type: ignore[no-any-return]

    @property
    def cancelled(self) -> bool:
        """True as soon as the step is asked to end (timeout, cancel, the runner stops)."""
        return self._is_cancelled()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for `seconds`, or until the step is asked to end; True if it is asked to end."""
        return self._wait(seconds)

    def log(self, message: object) -> None:
        """Write a line into the step's log, masked as everything there."""
        self._write(f"{message}\n".encode("utf-8", "backslashreplace"))

    def progress(self, fraction: float, message: str = "") -> None:
        """Say in the step's log how far it is: `fraction` is between 0 and 1, what is beyond counts as these."""
        percent = round(100 * min(1.0, max(0.0, float(fraction))))
        self.log(f"{percent} %{' ' if message else ''}{message}")

    def __repr__(self) -> str:
        return f"<context of {self.execution_id} step {self.step_name} attempt {self.attempt}>"


def copied(value: Any) -> Any:
    """JSON-like data whose lists and dicts are new, so that a function cannot change what others see."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [copied(item) for item in value]
    return value
