"""What a kind of step looks like from a workflow file: its key, and the types of what may stand there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from cerebelum.core.model import Loaded, Step

STEP_VARIABLES = (
    "CEREBELUM_EXECUTION_ID",
    "CEREBELUM_WORKFLOW",
    "CEREBELUM_WORKFLOW_DIR",
    "CEREBELUM_STEP",
    "CEREBELUM_ATTEMPT",
    "CEREBELUM_IDEMPOTENCY_KEY",
    "CEREBELUM_OUTPUT",
    "CEREBELUM_TOKEN",
    "CEREBELUM_STATUS",
    "CEREBELUM_FAILED_STEPS",
    "CEREBELUM_ERROR",
)
"""What every step's process may find in its environment; the last three only handlers."""

SHELL_VARIABLES = ("CEREBELUM_SCRIPT", "CEREBELUM_SHELL")
"""What `cerebelum shell` adds for whoever looks around; no step inherits it."""


class StepKind(Protocol):
    """As much of an executor as a definition needs to be read and checked."""

    key: str
    """The YAML key that selects it, such as `run`."""
    summary: str
    """One line for `cerebelum plugins` and the JSON Schema."""
    body: Any
    """Type of what stands under the key, as msgspec understands types (str, a Struct, a Literal …)."""
    options: Any
    """A msgspec.Struct type of further keys beside it, all with defaults; None if there are none."""
    literal: tuple[str, ...]
    """Which of its keys are literal, so that `${{ … }}` is refused there (such as `run`)."""

    def fingerprint(self, step: Step, folder: Path) -> str | None:
        """What identifies code outside the definition that this step runs (None: there is nothing of the kind).

        Raises CerebelumError if that code cannot be found: it is reported as a problem of the definition.
        """
        ...


@runtime_checkable
class Defines(Protocol):
    """A workflow that is an object of this process rather than a file."""

    name: str
    """The workflow's."""

    def loaded(self, executors: Mapping[str, StepKind]) -> Loaded:
        """What a file with the same content would be loaded as. Raises DefinitionError with every problem found."""
        ...

    def found(self, path: Path, name: str) -> None:
        """It is what the file `path` knows as `name`."""
        ...

    def functions(self) -> Mapping[str, Any]:
        """The functions that its steps call, by name."""
        ...

    def function_of(self, step_name: str) -> Any:
        """The function that a step calls. Raises KeyError."""
        ...
