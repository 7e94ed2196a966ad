"""What a kind of step looks like from a workflow file: its key, and the types of what may stand there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from cerebelum.core.model import Step

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
)
"""What every step's process may find in its environment; the last two only handlers."""

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
