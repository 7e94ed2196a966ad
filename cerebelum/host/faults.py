"""Named places where a crash would hurt most. Tests have the process die there; otherwise passing one costs nothing.

`CEREBELUM_FAULT=NAME:N` kills the process with SIGKILL when it comes to the place NAME for the N-th time.
"""

from __future__ import annotations

import os
import signal
import threading

POINTS = (
    "before-commit",
    "after-commit",
    "before-spawn",
    "after-spawn",
    "after-record",
    "after-exit",
    "before-log-flush",
    "after-log-flush",
    "after-own",
    "after-claim",
    "after-fence",
    "before-unclaim",
    "tick",
)

_name, _, _count = os.environ.get("CEREBELUM_FAULT", "").partition(":")
_left = int(_count) if _count.isdigit() else 0
_lock = threading.Lock()


def point(name: str) -> None:
    """Come to the place `name`, which is one of POINTS."""
    global _left
    if name != _name:
        return
    with _lock:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
