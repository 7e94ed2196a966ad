"""cerebelum runs workflows that survive failures: one file, no server, an append-only event log."""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cerebelum.core.errors import (
        CerebelumError,
        DefinitionChanged,
        DefinitionError,
        NotFound,
        OwnedElsewhere,
        StoreError,
        UsageError,
    )
    from cerebelum.core.events import StepError
    from cerebelum.hookspecs import hookimpl
    from cerebelum.sdk.builder import Builder
    from cerebelum.sdk.client import ExecutionClient
    from cerebelum.sdk.results import ExecutionResult, WorkflowError
    from cerebelum.sdk.statuses import (
        ApprovalInfo,
        ErrorInfo,
        ExecutionPage,
        ExecutionState,
        ExecutionStatus,
        OwnerInfo,
        SleepInfo,
        StepStatus,
    )
    from cerebelum.sdk.steps import step
    from cerebelum.sdk.verbs import Verbs
    from cerebelum.sdk.workflow import workflow
    from cerebelum.sdk.workflow_registry import WorkflowInfo, WorkflowRegistry
    from cerebelum.steps.context import Context
    from cerebelum.steps.suspension import approval, poll, retry, sleep

# By module; each is imported when it is first asked for, so that `import cerebelum` costs next to nothing.
_EXPORTS = {
    "core.errors": (
        "CerebelumError",
        "DefinitionChanged",
        "DefinitionError",
        "NotFound",
        "OwnedElsewhere",
        "StoreError",
        "UsageError",
    ),
    "core.events": ("StepError",),
    "hookspecs": ("hookimpl",),
    "sdk.builder": ("Builder",),
    "sdk.client": ("ExecutionClient",),
    "sdk.results": ("ExecutionResult", "WorkflowError"),
    "sdk.statuses": (
        "ApprovalInfo",
        "ErrorInfo",
        "ExecutionPage",
        "ExecutionState",
        "ExecutionStatus",
        "OwnerInfo",
        "SleepInfo",
        "StepStatus",
    ),
    "sdk.steps": ("step",),
    "sdk.workflow": ("workflow",),
    "sdk.workflow_registry": ("WorkflowInfo", "WorkflowRegistry"),
    "steps.context": ("Context",),
    "steps.suspension": ("approval", "poll", "retry", "sleep"),
}

__all__ = [
    "ApprovalInfo",
    "Builder",
    "CerebelumError",
    "Context",
    "DefinitionChanged",
    "DefinitionError",
    "ErrorInfo",
    "ExecutionClient",
    "ExecutionPage",
    "ExecutionResult",
    "ExecutionState",
    "ExecutionStatus",
    "NotFound",
    "OwnedElsewhere",
    "OwnerInfo",
    "SleepInfo",
    "StepError",
    "StepStatus",
    "StoreError",
    "UsageError",
    "WorkflowError",
    "WorkflowInfo",
    "WorkflowRegistry",
    "__version__",
    "approval",
    "hookimpl",
    "poll",
    "retry",
    "sleep",
    "step",
    "workflow",
]


def __getattr__(name: str) -> "Any":
    for module, names in _EXPORTS.items():
        if name in names:
            from importlib import import_module

            if module.startswith("sdk."):
                from cerebelum.sdk import wiring

                wiring.use(_connect, _main)
            found = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _connect(store: str | None) -> "Verbs":
    import os

    from cerebelum.app import App

    app = App(os.environ)
    app.store = store
    return app.client()


def _main(words: "Sequence[str]") -> int:
    from cerebelum.app import main

    return main(words)
