"""Matching an input's `pattern` in bounded time: some expressions would go on backtracking for years."""

from __future__ import annotations

import re
import signal
import sys
import threading
from types import FrameType

SECONDS = 1.0
"""How long a match may take."""

_CHILD = "import re, sys; sys.exit(0 if re.fullmatch(sys.argv[1], sys.argv[2]) else 3)"


class TooLong(Exception):
    """The match was given up."""


def matches(pattern: str, value: str) -> bool:
    """Whether the whole value matches the pattern, which is a valid one. Raises TooLong."""
    if not hasattr(signal, "setitimer"):
        return re.fullmatch(pattern, value) is not None
    if threading.current_thread() is threading.main_thread():
        return _under_alarm(pattern, value)
    return _in_child(pattern, value)


def _under_alarm(pattern: str, value: str) -> bool:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLong

    # The matcher looks for signals now and then.
    before = signal.signal(signal.SIGALRM, stop)
    timer = signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return re.fullmatch(pattern, value) is not None
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)


def _in_child(pattern: str, value: str) -> bool:
    import subprocess

    # The matcher keeps the interpreter's lock, so that no other thread could end it.
    command = [sys.executable, "-I", "-S", "-c", _CHILD, pattern, value]
    try:
        return subprocess.run(command, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL).returncode == 0
    except subprocess.TimeoutExpired:
        raise TooLong from None
