"""Ending a runner that holds on to an execution: one that hangs, or that was stopped and is never continued."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from cerebelum.core.errors import OwnedElsewhere
from cerebelum.core.status import GOING_ON
from cerebelum.engine.ownership import owned
from cerebelum.host.process_tree import ProcessId, boot_id, is_stopped, pid_namespace, send_signal, start_ticks
from cerebelum.store import EventStore, Query, Row, Runner
from cerebelum.store.liveness import judge

_PATIENCE = 5.0
"""Seconds after which a process that was killed and is still there is given up."""


def end_runner(store: EventStore, row: Row, on_note: Callable[[str], None]) -> None:
    """Kill the process that drives the execution, if one does; `on_note` is told which, and what else it drove.

    Its steps are not touched: whoever goes on with the execution ends what is left of them. Raises OwnedElsewhere if
    the process is not one of this machine's, or is this very process, or cannot be ended.
    """
    runner = row.runner
    if row.ownership.owner is None or runner is None or judge(runner) == "dead":
        return
    _refuse_unless_ours(row, runner)
    others = [
        other.summary.execution_id
        for other in store.find(Query(status=GOING_ON, limit=200)).rows
        if other.ownership.owner == row.ownership.owner and other.summary.execution_id != row.summary.execution_id
    ]
    how = "which was stopped" if is_stopped(runner.pid) else "which was alive"
    process = ProcessId(runner.pid, runner.start_ticks)
    send_signal(process, signal.SIGKILL)
    limit = time.monotonic() + _PATIENCE
    while start_ticks(runner.pid) == runner.start_ticks:
        if time.monotonic() > limit:
            raise _impossible(row, runner, f"process {runner.pid} could not be ended; it may be another user's")
        time.sleep(0.005)
    on_note(f"process {runner.pid}, {how}, was killed; {row.summary.execution_id} goes on here")
    if others:
        on_note(f"it also drove {', '.join(others)}; go on with each by: cerebelum resume ID, or with all: supervise")


def _refuse_unless_ours(row: Row, runner: Runner) -> None:
    if runner.boot_id != boot_id():
        raise _impossible(row, runner, f"its process is not on this machine; run this on {runner.host}")
    if runner.pid_namespace != pid_namespace():
        raise _impossible(row, runner, "its process is in another container; run this in there")
    if runner.pid == os.getpid():
        raise _impossible(row, runner, "it is driven by this very process")


def _impossible(row: Row, runner: Runner, why: str) -> OwnedElsewhere:
    return OwnedElsewhere(owned(row, runner).message, hint=f"it cannot be taken over from here: {why}")
