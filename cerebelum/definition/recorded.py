"""A recorded definition, brought up to date with code that lives outside it, such as the functions it calls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from cerebelum.core.errors import CerebelumError, UsageError
from cerebelum.core.model import GROUPS, Step, Workflow, step_digest
from cerebelum.core.step_kind import StepKind


def refreshed(workflow: Workflow, folder: Path, executors: Mapping[str, StepKind]) -> Workflow:
    """The same workflow with the fingerprints and digests that its steps have today.

    `folder` is that of the workflow file. Where a step's code is gone, its recorded fingerprint stays.

    Raises UsageError if an executor it needs is not there.
    """
    groups = {
        "finally_" if name == "finally" else name: tuple(
            _refreshed(step, folder, executors) for step in workflow.group(name)
        )
        for name in GROUPS
    }
    return msgspec.structs.replace(workflow, **groups)


def _refreshed(step: Step, folder: Path, executors: Mapping[str, StepKind]) -> Step:
    executor = executors.get(step.executor)
    if executor is None:
        raise UsageError(
            f"step {step.id} needs the executor {step.executor!r}, which is not there",
            hint="load the plugin that brings it with --plugin; see: cerebelum plugins",
        )
    try:
        fingerprint = executor.fingerprint(step, folder)
    except CerebelumError:
        return step
    if fingerprint == step.fingerprint:
        return step
    step = msgspec.structs.replace(step, fingerprint=fingerprint)
    return msgspec.structs.replace(step, digest=step_digest(step))
