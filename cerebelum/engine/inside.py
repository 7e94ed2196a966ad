"""What a step's process would find if it were started now, for somebody who wants to look around there.

It is worked out by what prepares attempts, from the log alone: nothing is recorded, and nobody's execution is touched.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from cerebelum.core.errors import CerebelumError, UsageError
from cerebelum.core.model import Step
from cerebelum.core.state import State
from cerebelum.engine.prepare import environment, filled, folder, inheritable, scope
from cerebelum.host.addresses import revealing
from cerebelum.steps.executor import ByHand, Executor
from cerebelum.steps.secrets import gather
from cerebelum.store.lookup import View

_MOST_NAMED = 12


class Inside(msgspec.Struct, frozen=True):
    """A step as its process would find things."""

    view: View
    step: Step
    env: Mapping[str, str]
    """All but CEREBELUM_OUTPUT, and CEREBELUM_TOKEN, by which processes are taken for leftovers of an attempt."""
    cwd: Path
    withheld: tuple[str, ...]
    """Names of the step's secrets that are not in `env`."""
    given: tuple[str, ...]
    """Names of those that are."""
    revealing: tuple[str, ...]
    """Names of further variables in `env` that hold a password: not to be shown, nor written anywhere."""
    unset: tuple[CerebelumError, ...]
    """Why variables are not in `env`: their expressions have no value."""
    executor: Executor | None
    """None if the plugin that has it is not loaded."""
    names: Mapping[str, Any]
    """What expressions see."""

    def shown(self) -> dict[str, str]:
        """`env` without the passwords in it."""
        return {name: value for name, value in self.env.items() if name not in self.revealing}

    def by_hand(self, scratch: Path) -> ByHand | None:
        """The step's script, written to the empty folder `scratch`; None if it has none that can be told."""
        write = getattr(self.executor, "by_hand", None)
        if self.executor is None or write is None:
            return None
        try:
            found: ByHand = write(*filled(self.executor, self.step, self.names), self.env, scratch)
        except CerebelumError:
            return None
        return found


def inside(
    view: View, step_id: str, executors: Mapping[str, Executor], environ: Mapping[str, str], *, with_secrets: bool
) -> Inside:
    """What the step would find. Raises UsageError if its folder is not there, or a secret that is wanted is not set."""
    state = view.state
    step = state.graph.step(step_id)
    inherited = inheritable(environ, state.workflow.every_secret())
    secrets = gather(state.workflow, environ, step.secrets) if with_secrets else {}
    unset: list[CerebelumError] = []
    names = scope(state, step, unset)
    env = environment(state, step, inherited, names["env"], secrets)
    return Inside(
        view=view,
        step=step,
        # A step that has had no attempt yet: as its first one will find it.
        env={**env, "CEREBELUM_ATTEMPT": str(max(1, state.steps[step_id].attempt))},
        cwd=_entered(state, step, names),
        withheld=tuple(name for name in step.secrets if name not in secrets),
        given=tuple(secrets),
        revealing=tuple(name for name in revealing(env) if name not in secrets),
        unset=tuple(unset),
        executor=executors.get(step.executor),
        names=names,
    )


def _entered(state: State, step: Step, names: Mapping[str, Any]) -> Path:
    again = f"make it again, or go on elsewhere with: cerebelum resume {state.execution_id} --working-dir DIR"
    try:
        cwd = folder(state, step, names)
    except CerebelumError as error:
        raise UsageError(error.message, where=f"{state.execution_id} {step.id}", hint=error.hint or again) from None
    if not os.access(cwd, os.X_OK):
        raise UsageError(f"working directory {cwd} cannot be entered", where=f"{state.execution_id} {step.id}")
    return cwd


def the_stuck_one(view: View) -> str:
    """The one step that did not get through. Raises UsageError, with those in question, if it is not one."""
    state = view.state
    kinds = {"failed", "interrupted", "retrying", *(["running"] if view.status == "paused" else [])}
    stuck = [step_id for step_id, at in state.steps.items() if at.status in kinds]
    if len(stuck) == 1:
        return stuck[0]
    what = f"{len(stuck)} steps failed or were interrupted" if stuck else "no step failed or was interrupted"
    named = stuck or list(state.steps)
    listed = ", ".join(named[:_MOST_NAMED]) + (", …" if len(named) > _MOST_NAMED else "")
    raise UsageError(what, where=state.execution_id, hint=f"choose one with --step: {listed}")
