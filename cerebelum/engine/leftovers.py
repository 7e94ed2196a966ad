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
        completed = at is not None and at.status == "completed" and at.attempt == process.attempt
        if process.boot_id == boot_id() and not completed:
            root = ProcessId(process.pid, process.start_ticks)
            kill_leftovers(root, process.session, process.token)
        store.note_process(state.execution_id, process, gone=True)
    for step_id in state.active.at("running"):
        # Perhaps spawned, and not recorded any more.
        kill_leftovers(_UNKNOWN, -1, attempt_token(state, step_id, state.steps[step_id].attempt))
