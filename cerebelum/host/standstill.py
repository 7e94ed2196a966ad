"""Ctrl-Z at a good moment: a process is not stopped while it holds what others wait for, such as a store's lock."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Reentrant, since the handler may run in the very thread that is in here.
_changed = threading.Condition(threading.RLock())
_busy = 0
_wanted = False


class NotNow:
    """Within it, in whatever thread, a wish to stop the process has to wait. Short, and never nested."""

    def __enter__(self) -> None:
        global _busy
        with _changed:
            while _wanted and _busy:
                # The others finish what they are at; then it stops, and goes on here when it is continued.
                _changed.wait(0.1)
            _busy += 1

    def __exit__(self, *raised: object) -> None:
        global _busy
        with _changed:
            _busy -= 1
            _stop_if_wanted()


NOT_NOW = NotNow()


@contextmanager
def heeding_ctrl_z() -> Iterator[None]:
    """Within it SIGTSTP stops this process as soon as nothing speaks against it. Only in the main thread; one that
    the parent has ignored stays so.
    """
    number = getattr(signal, "SIGTSTP", None)
    here = threading.current_thread() is threading.main_thread()
    if number is None or not here or signal.getsignal(number) is not signal.SIG_DFL:
        yield
        return
    signal.signal(number, _heed)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL)


def _after_fork() -> None:
    global _changed, _busy, _wanted
    _changed, _busy, _wanted = threading.Condition(threading.RLock()), 0, False


os.register_at_fork(after_in_child=_after_fork)


def _heed(number: int, frame: FrameType | None) -> None:
    global _wanted
    _wanted = True
    with _changed:
        _stop_if_wanted()


def _stop_if_wanted() -> None:
    global _wanted
    if _wanted and not _busy:
        _wanted = False
        # To this thread, which has the lock: sent to the process, any of its threads may take it up, while this one
        # returns and lets somebody else begin what must not be stopped in the middle.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        _changed.notify_all()
