"""One attempt at one step: work out what the step gets, call its executor, check what comes back."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator, Mapping
from datetime import datetime
from functools import cached_property, lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from cerebelum.core.errors import CerebelumError
from cerebelum.core.events import StepError
from cerebelum.core.model import Step
from cerebelum.core.outcome import Failed
from cerebelum.core.phases import overtime, unfinished
from cerebelum.core.state import State, StepState
from cerebelum.core.step_kind import SHELL_VARIABLES, STEP_VARIABLES, StepKind
from cerebelum.definition.bodies import check_body, check_options
from cerebelum.definition.expressions import as_text, evaluate
from cerebelum.definition.inputs import input_env
from cerebelum.host.clock import Clock
from cerebelum.host.process_tree import TOKEN
from cerebelum.steps.attempt import Attempt, Scratch
from cerebelum.steps.executor import Answer, Ending, Executor, Invocation, Tracker
from cerebelum.steps.masking import Masker
from cerebelum.steps.output_values import clean
from cerebelum.steps.perform import masked

_encoder = msgspec.json.Encoder()


class Surroundings(msgspec.Struct, frozen=True):
    """What attempts of one execution have in common in this process."""

    executors: Mapping[str, Executor]
    environ: Mapping[str, str]
    """The user's environment, as steps are to inherit it."""
    secrets: Mapping[str, str]
    masker: Masker
    clock: Clock
    scratch: Scratch
    """Where attempts get their private folders."""


class View(Mapping[str, Any]):
    """Steps as a mapping whose values are worked out when asked for, since most steps ask for few of them."""

    def __init__(self, steps: Mapping[str, StepState], show: Callable[[StepState], Any]) -> None:
        self._steps = steps
        self._show = show

    def __getitem__(self, step_id: str) -> Any:
        return self._show(self._steps[step_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)


def _shown(at: StepState) -> dict[str, Any]:
    return {"output": at.output, "status": at.status, "diverted": at.diverted}


def scope(state: State, step: Step | None = None, unset: list[CerebelumError] | None = None) -> dict[str, Any]:
    """The names that expressions see: `inputs`, `steps`, `execution`, `env`.

    `env` holds the declared variables of `step`, evaluated in order. Raises CerebelumError for one that has no value;
    with `unset`, that one is left out, and why is added there.
    """
    names: dict[str, Any] = {
        "inputs": state.inputs,
        "steps": View(state.steps, _shown),
        "execution": _execution(state, step),
        "env": {},
    }
    if step is not None:
        for name, value in step.env.items():
            try:
                names["env"][name] = as_text(_evaluated(value, names, f"env.{name}"))
            except CerebelumError as error:
                if unset is None:
                    raise
                unset.append(error)
    return names


class _Names(Mapping[str, Any]):
    """The `scope` of a step that declares no variables, worked out when it is first asked for: few steps ask."""

    def __init__(self, state: State, step: Step) -> None:
        self._of = state, step

    @cached_property
    def _names(self) -> dict[str, Any]:
        return scope(*self._of)

    def __getitem__(self, name: str) -> Any:
        return self._names[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _execution(state: State, step: Step | None) -> dict[str, Any]:
    names: dict[str, Any] = {
        "id": state.execution_id,
        "workflow": state.workflow.name,
        "cwd": state.environment.cwd,
        "workflow_dir": str(_parent(state.source.path)),
        "started_at": _iso(state.started_at),
        "tags": list(state.tags),
        "scheduled_for": None if state.scheduled_for is None else _iso(state.scheduled_for),
    }
    if step is not None and (end := _ending(state, step)) is not None:
        names["status"] = end.status
        names["failed_steps"] = list(end.failed_steps)
        names["error"] = end.error.message if end.error else None
    return names


def _ending(state: State, step: Step) -> Ending | None:
    """How the execution ends, for a step of its handlers."""
    if state.graph.group_of(step.id) == "steps":
        return None
    if failed := state.main_failed():
        # A failed step may have been removed from the definition since.
        error = state.steps[failed[0]].error if failed[0] in state.steps else None
    else:
        error = overtime(state) if unfinished(state) and not state.cancel else None
    return Ending("cancelled" if state.cancel else "failed" if failed or error else "completed", failed, error)


def _evaluated(value: Any, names: Mapping[str, Any], where: str) -> Any:
    try:
        return evaluate(value, names)
    except CerebelumError as error:
        raise CerebelumError(f"{where}: {error.message}", where=error.where, hint=error.hint) from None


def condition(state: State, step: Step) -> bool:
    """Whether the step's `when` holds. Raises CerebelumError if that cannot be told."""
    if step.when is None or isinstance(step.when, bool):
        return step.when is not False
    wanted = evaluate(step.when, scope(state, step))
    if not isinstance(wanted, bool):
        raise CerebelumError(
            f"{step.when} is {_encoder.encode(wanted).decode()[:80]}, not true or false",
            hint="compare it with something, such as `== 'yes'`",
        )
    return wanted


def result(state: State) -> Any:
    """The execution's output. Raises CerebelumError if it cannot be worked out."""
    if state.workflow.output is None:
        return None
    return evaluate(state.workflow.output, scope(state))


_output: Callable[[StepState], Any] = attrgetter("output")


def idempotency_key(state: State, step_id: str) -> str:
    """The same for every attempt of one generation of the step."""
    return f"{state.execution_id}:{step_id}:{state.steps[step_id].generation}"


def inheritable(environ: Mapping[str, str], secrets: Container[str]) -> dict[str, str]:
    """What all steps get of the user's environment: secrets only reach the steps that declare them."""
    ours = (*STEP_VARIABLES, *SHELL_VARIABLES)
    return {k: v for k, v in environ.items() if k not in secrets and k not in ours}


def environment(
    state: State, step: Step, inherited: Mapping[str, str], declared: Mapping[str, str], secrets: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a process of this step, all but what marks one attempt's processes.

    `inherited` is what all steps get of the user's, `declared` this step's `env:`, evaluated, `secrets` those it gets.
    """
    env = dict(inherited)
    env.update(input_env(state.inputs))
    env.update(declared)
    env.update(secrets)
    env["CEREBELUM_EXECUTION_ID"] = state.execution_id
    env["CEREBELUM_WORKFLOW"] = state.workflow.name
    env["CEREBELUM_WORKFLOW_DIR"] = str(_parent(state.source.path))
    env["CEREBELUM_STEP"] = step.id
    env["CEREBELUM_ATTEMPT"] = str(state.steps[step.id].attempt)
    env["CEREBELUM_IDEMPOTENCY_KEY"] = idempotency_key(state, step.id)
    if (end := _ending(state, step)) is not None:
        env["CEREBELUM_STATUS"] = end.status
        env["CEREBELUM_FAILED_STEPS"] = " ".join(end.failed_steps)
        # A variable holds no NUL, and not as much as a message may.
        env["CEREBELUM_ERROR"] = clean(end.error.message).replace("\0", "\ufffd") if end.error else ""
    return env


@lru_cache(maxsize=16)
def _iso(moment: datetime) -> str:
    return moment.isoformat()


_path = lru_cache(maxsize=16)(Path)


@lru_cache(maxsize=16)
def _parent(path: str) -> Path:
    return Path(path).parent


def prepared(
    state: State, step: Step, *, attempt: Attempt, around: Surroundings, tracker: Tracker
) -> Invocation | Failed:
    """`prepare`, or why the attempt cannot even begin."""
    try:
        return prepare(state, step, attempt=attempt, around=around, tracker=tracker)
    except CerebelumError as error:
        return Failed(masked(StepError("invalid", error.text()), around.masker), retryable=False)
    except BaseException as error:
        import traceback

        text = "".join(traceback.format_exception(error))
        found = StepError("internal", f"{type(error).__name__}: {error}", traceback=text)
        return Failed(masked(found, around.masker), retryable=False)


def prepare(state: State, step: Step, *, attempt: Attempt, around: Surroundings, tracker: Tracker) -> Invocation:
    """Everything the executor gets. Raises CerebelumError if an expression has no value or the folder is not there."""
    at = state.steps[step.id]
    names = scope(state, step) if step.env else _Names(state, step)
    body, options = filled(around.executors[step.executor], step, names)
    cwd = folder(state, step, names)
    secrets = {name: around.secrets[name] for name in step.secrets} if step.secrets else {}

    def env() -> dict[str, str]:
        return {**environment(state, step, around.environ, names["env"], secrets), TOKEN: attempt.token}

    return Invocation(
        execution_id=state.execution_id,
        workflow=state.workflow.name,
        step=step,
        attempt=at.attempt,
        idempotency_key=idempotency_key(state, step.id),
        body=body,
        options=options,
        cwd=cwd,
        folder=_parent(state.source.path),
        inputs=state.inputs,
        outputs=View(state.steps, _output),
        secrets=secrets,
        stop=attempt.stop,
        sink=attempt.output,
        tracker=tracker,
        make_env=env,
        make_scratch=attempt.scratch.folder,
        answers=tuple(
            [Answer("sleep" if c.result == "slept" else "granted", c.response, c.by) for c in at.calls if c.result]
        ),
        ending=_ending(state, step),
    )


def filled(executor: StepKind, step: Step, names: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The step's body and options with their expressions evaluated. Raises CerebelumError."""
    literal = executor.literal
    body = step.body if step.executor in literal else _evaluated(step.body, names, step.executor)
    if body != step.body:
        body = check_body(executor, body)
    if not step.options:
        return body, {}
    options = {
        name: value if name in literal else _evaluated(value, names, name) for name, value in step.options.items()
    }
    return body, options if options == step.options else check_options(executor, options)


def folder(state: State, step: Step, names: Mapping[str, Any]) -> Path:
    """The folder that the step runs in. Raises CerebelumError if it is not there."""
    folder = _path(state.environment.cwd)
    if step.working_dir is not None:
        wanted = Path(as_text(_evaluated(step.working_dir, names, "working_dir")))
        try:
            folder = folder / wanted.expanduser()
        except RuntimeError as error:
            raise CerebelumError(f"working directory {wanted}: {error}") from None
    if not os.path.isdir(folder):
        raise CerebelumError(
            f"working directory {folder} is not there" + (" (it is a file)" if folder.exists() else "")
        )
    return folder
