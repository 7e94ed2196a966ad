"""Ending what is left of a process that drove an execution: the processes of attempts that did not complete."""

from __future__ import annotations

from cerebelum.core.state import State
from cerebelum.host.process_tree import ProcessId, boot_id, kill_leftovers, pid_namespace
from cerebelum.steps.attempt import attempt_token
from cerebelum.store import EventStore

_UNKNOWN = ProcessId(-1, 0)


def clear_leftovers(store: EventStore, state: State) -> None:
    """End what is left of the processes of attempts that did not complete; what completed steps left running stays."""
    for process in store.processes(state.execution_id):
        if process.pid_namespace != pid_namespace():
            continue
        at = state.steps.get(process.step)
        if at is not None and at.status == "on_worker" and at.attempt == process.attempt:
            # That worker's business, which may be alive.
            continue
        completed = at is not None and at.status == "completed" and at.attempt == process.attempt
        if process.boot_id == boot_id() and not completed:
            root = ProcessId(process.pid, process.start_ticks)
            kill_leftovers(root, process.session, process.token)
        store.note_process(state.execution_id, process, gone=True)
    for step_id in state.active.at("running"):
        # Perhaps spawned, and not recorded any more.
        kill_leftovers(_UNKNOWN, -1, attempt_token(state, step_id, state.steps[step_id].attempt))


def clear_attempt(store: EventStore, state: State, step_id: str) -> None:
    """End what is left on this machine of the step's present attempt, whose worker died."""
    token = attempt_token(state, step_id, state.steps[step_id].attempt)
    for process in store.processes(state.execution_id):
        if process.token == token and process.boot_id == boot_id() and process.pid_namespace == pid_namespace():
            kill_leftovers(ProcessId(process.pid, process.start_ticks), process.session, token)
            store.note_process(state.execution_id, process, gone=True)
    # Perhaps spawned, and not recorded any more.
    kill_leftovers(_UNKNOWN, -1, token)


def clear_earlier(state: State, step_id: str) -> None:
    """End what is left on this machine of the attempt before the step's present one."""
    kill_leftovers(_UNKNOWN, -1, attempt_token(state, step_id, state.steps[step_id].attempt - 1))
