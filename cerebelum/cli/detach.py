"""`--detach`: the execution goes on in a process of its own, out of reach of the terminal it was started from."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def detached(work: Callable[[Callable[[str], None]], int], told: Callable[[str], None]) -> int:
    """Call `work(on_start)` in another process and return once it has called `on_start(id)`, after `told(id)`.

    Until then its messages on standard error are seen here, and if it ends without having started anything, its exit
    code is returned. Nothing may have threads or an open store before.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.setsid()
        _silence(0, 1)
        return work(lambda execution_id: _started(execution_id, writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        execution_id = pipe.read().decode()
    if execution_id:
        told(execution_id)
        return 0
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _started(execution_id: str, writing: int) -> None:
    _silence(2)
    os.write(writing, execution_id.encode())
    os.close(writing)


def _silence(*streams: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for stream in streams:
        os.dup2(null, stream)
    os.close(null)
