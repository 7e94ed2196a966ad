"""What has to be right before an execution starts or goes on; every problem here comes before anything is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from cerebelum.core.errors import OwnedElsewhere, UsageError
from cerebelum.core.model import Concurrency, Source, Workflow
from cerebelum.core.state import State, status
from cerebelum.core.step_kind import Defines
from cerebelum.engine.session import Prepared, prepare
from cerebelum.host.addresses import hidden
from cerebelum.host.process_tree import host_name
from cerebelum.steps.executor import Executor
from cerebelum.steps.secrets import refuse_in_definition, refuse_in_inputs


class Checked(msgspec.Struct, frozen=True):
    """A workflow that may be started."""

    workflow: Workflow
    source: Source
    inputs: dict[str, Any]
    prepared: Prepared
    concurrency: Concurrency | None = None
    """Its group, with the name that these inputs make."""


class Definition(msgspec.Struct, frozen=True):
    """A definition to go on with."""

    workflow: Workflow
    source: Source
    note: str | None = None
    """What the user should know about where it came from."""
    refine: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
    """See `Loaded`."""


def check(
    path: Path | Defines,
    inputs: Mapping[str, Any],
    tags: Iterable[str],
    executors: Mapping[str, Executor],
    environ: Mapping[str, str],
    *,
    lenient: bool = False,
    lock: str | None = None,
    here: bool = False,
    scheduled: bool = False,
) -> Checked:
    """Everything that a start needs, but secrets that are not there if `lenient`; with `lock`, in a group of that name.
    `here`: all its steps run here, also those that are workers' business. `scheduled`: it needs a schedule.

    Raises UsageError (DefinitionError for the file).
    """
    from cerebelum.definition import load

    loaded = load(path, executors)
    if scheduled and not loaded.workflow.schedule:
        raise UsageError(
            f"the workflow {loaded.workflow.name} has no schedule",
            where=str(path),
            hint="add one, such as `schedule: '0 3 * * *'`",
        )
    definition = Definition(loaded.workflow, loaded.source, refine=loaded.refine)
    return check_definition(definition, inputs, tags, environ, lenient=lenient, lock=lock, here=here)


def check_definition(
    definition: Definition,
    inputs: Mapping[str, Any],
    tags: Iterable[str],
    environ: Mapping[str, str],
    *,
    lenient: bool = False,
    lock: str | None = None,
    here: bool = False,
) -> Checked:
    """What a start needs besides the definition. Raises UsageError."""
    from cerebelum.definition.inputs import resolve_inputs

    resolved = resolve_inputs(definition.workflow, inputs)
    if definition.refine is not None:
        resolved = definition.refine(resolved)
    prepared = prepare(definition.workflow, environ, () if lenient else needed_here(definition.workflow, here))
    refuse_in_inputs(resolved, {**hidden(environ), **prepared.secrets})
    refuse_in_definition(definition.workflow, tags, prepared.masker)
    return Checked(
        definition.workflow, definition.source, resolved, prepared, _group(definition.workflow, resolved, lock)
    )


def needed_here(workflow: Workflow, here: bool) -> tuple[str, ...]:
    """The secrets that whoever drives it has to have; `here`: it performs everything itself."""
    return workflow.every_secret() if here else workflow.secrets_here()


def _group(workflow: Workflow, inputs: Mapping[str, Any], lock: str | None) -> Concurrency | None:
    """The group of a run, whose name `lock` is if the workflow names none. Raises UsageError."""
    from cerebelum.definition.concurrency import check_name, evaluated

    group = evaluated(workflow.concurrency, inputs)
    if lock is None or (group is not None and group.group == lock):
        return group
    if group is not None:
        raise UsageError(
            f"the workflow has a lock of its own, {group.group}", hint="leave out --lock, or `concurrency:` in the file"
        )
    check_name(lock)
    return Concurrency(lock)


def check_same_inputs(
    state: State, path: Path | Defines, inputs: Mapping[str, Any], executors: Mapping[str, Executor]
) -> None:
    """Raises UsageError if it is of another workflow, or `inputs` are not the ones the execution was started with."""
    from cerebelum.definition import load
    from cerebelum.definition.inputs import resolve_inputs

    if isinstance(path, Defines) and path.name != state.workflow.name:
        raise UsageError(
            f"{state.execution_id} is an execution of the workflow {state.workflow.name}, and not of {path.name}",
            hint="choose another id",
        )
    if not inputs:
        return
    loaded = load(path, executors)
    wanted = resolve_inputs(loaded.workflow, inputs)
    if loaded.refine is not None:
        wanted = loaded.refine(wanted)
    # One that was declared since is no difference.
    there = wanted if loaded.workflow.free_inputs else state.inputs
    differs = [k for k in wanted if k in there and (k not in state.inputs or wanted[k] != state.inputs[k])]
    if differs:
        raise UsageError(
            f"{state.execution_id} was started with other inputs: {', '.join(differs)}",
            hint="inputs stay what they were; use another --id to start afresh",
        )


def check_resumable(state: State, *, again: bool) -> None:
    """Raises UsageError if the execution cannot be gone on from where it ended; `again`: steps are to run again."""
    if state.ended == "completed":
        raise UsageError(
            f"{state.execution_id} has completed; there is nothing to resume",
            hint=f"run a part of it again as a new execution: cerebelum fork {state.execution_id} --from STEP",
        )
    if state.ended == "cancelled" and not again:
        raise UsageError(
            f"{state.execution_id} was cancelled",
            hint=f"say where to go on: cerebelum resume {state.execution_id} --from STEP",
        )


def check_untouched(before: State, now: State) -> None:
    """Raises OwnedElsewhere if somebody else has gone on with the execution since `before` was read."""
    if (now.queued, now.resumes, now.ended, now.paused) != (before.queued, before.resumes, before.ended, before.paused):
        raise OwnedElsewhere(
            f"somebody else resumed {now.execution_id} at the same moment; it is {status(now)} now",
            hint=f"see how it went: cerebelum status {now.execution_id}",
        )


def folder_for(state: State, wanted: Path | None = None) -> Path:
    """The folder to go on in: `wanted`, or where the execution was so far. Raises UsageError if it is not there."""
    if wanted is not None:
        if not wanted.is_dir():
            raise UsageError(f"there is no folder {wanted}", hint="--working-dir takes a folder that is there")
        return wanted.resolve()
    folder = Path(state.environment.cwd)
    if folder.is_dir():
        return folder
    again, what = "create it again", f"the folder it was started in, {folder}, is not there"
    if elsewhere := missing_elsewhere(state):
        again, what = f"go on on {_host(state)}, create it here with what the steps need", elsewhere
    raise UsageError(
        what,
        where=state.execution_id,
        hint=f"{again}, or go on in another folder: cerebelum resume {state.execution_id} --working-dir DIR",
    )


def missing_elsewhere(state: State) -> str | None:
    """That the folder which the execution was in is not on this machine, if it was in it on another one; or None."""
    here, there = host_name(), _host(state)
    if there == here or Path(state.environment.cwd).is_dir():
        return None
    return f"the folder it was in, {state.environment.cwd} on {there}, is not there on {here}"


def _host(state: State) -> str:
    return state.host or state.environment.host


def definition_for(
    state: State, file: Path | Defines | None, recorded: bool, executors: Mapping[str, Executor]
) -> Definition:
    """The definition to go on with: `file`, the recorded one, or the file that it was started from as it is now.

    Raises UsageError, DefinitionError.
    """
    from cerebelum.definition import load
    from cerebelum.definition.recorded import refreshed

    if file is not None and recorded:
        raise UsageError("--file and --recorded exclude each other")
    path = Path(state.source.path)
    gone = file is None and not recorded and not path.exists()
    if state.source.kind == "python":
        if gone:
            raise UsageError(f"the workflow file {path} is gone", hint="name it with --file")
        if recorded:
            hint = "its functions are in its file only"
            raise UsageError("a workflow in Python cannot go on with the recorded definition", hint=hint)
    if gone or recorded:
        note = f"{path} is gone; going on with the recorded definition" if gone else None
        return Definition(refreshed(state.workflow, path.parent, executors), state.source, note)
    loaded = load(file or path, executors, name=None if file else state.workflow.name)
    if loaded.workflow.name != state.workflow.name:
        raise UsageError(
            f"{file or path} defines {loaded.workflow.name!r}, but {state.execution_id} is a {state.workflow.name!r}",
            hint="name the right file with --file, or go on with the recorded definition: --recorded",
        )
    return Definition(loaded.workflow, loaded.source, refine=loaded.refine)


def inputs_for(state: State, workflow: Workflow) -> dict[str, Any]:
    """The recorded inputs, with what a changed definition adds. Raises UsageError if they do not fit it."""
    from cerebelum.definition.inputs import resolve_inputs

    if workflow.inputs == state.workflow.inputs:
        return state.inputs
    return resolve_inputs(workflow, {k: v for k, v in state.inputs.items() if k in workflow.inputs})
