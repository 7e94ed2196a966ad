"""Whether a runner is still alive, as far as this machine can tell: at once from its lock or the process table, or by
its beat.
"""

from __future__ import annotations

import fcntl
import os
from typing import Literal

from cerebelum.host.process_tree import ProcessId, boot_id, host_name, is_gone, pid_namespace
from cerebelum.store import Row, Runner

DEAD_SECONDS = 30.0
"""A runner whose beat has not moved for this long is dead."""


Verdict = Literal["alive", "dead", "unknown"]


def judge(runner: Runner) -> Verdict:
    """What this machine can say about a runner right now; `unknown` where only its beat can tell."""
    if runner.boot_id != boot_id():
        # Another machine; or this one before it was started again, if the file it had locked is here and free.
        was_here = runner.host == host_name() and _lock_held(runner.lock) is False
        return "dead" if was_here else "unknown"
    held = _lock_held(runner.lock)
    if held is False:
        return "dead"
    if runner.pid_namespace != pid_namespace():
        return "alive" if held else "unknown"
    # Also where the lock is held: a process that was being spawned holds it for an instant longer than its parent
    # lives.
    return "dead" if is_gone(ProcessId(runner.pid, runner.start_ticks)) else "alive"


def _lock_held(path: str) -> bool | None:
    """Whether some process holds the lock; None if the file is not there or not ours to look at."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(fd)
    return False


def driven(row: Row) -> bool:
    """Whether a process that is alive, as far as can be known here, drives the execution."""
    return not reported_dead(row)


def reported_dead(row: Row) -> bool:
    """Whether an execution whose log says running is to be shown as interrupted: nobody drives it."""
    if row.dead is not None:
        return row.dead
    if row.ownership.owner is None or row.runner is None:
        return True
    verdict = judge(row.runner)
    if verdict != "unknown":
        return verdict == "dead"
    return row.runner.silent is not None and row.runner.silent > DEAD_SECONDS
