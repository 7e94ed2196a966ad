"""What signals do around the driving of an execution: before it has started they end us, afterwards nothing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from types import FrameType

from cerebelum.cli import terminal


def ignore_late_signals(started: list[str]) -> None:
    """Once `started` holds something, a signal that the engine does not heed any more is not to spoil the last words.

    Handlers stay as they are set here, since the process ends with what it has to say. A signal that the parent had
    ignored stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        return

    def heed(number: int, frame: FrameType | None) -> None:
        if started:
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, heed)


def say_stopping(steps: Sequence[str], seconds: float) -> None:
    """At once, since nothing else is to be seen until the steps have ended."""
    terminal.complain(f"ending {', '.join(steps)}, for at most {seconds:g} s; once more (Ctrl-C) kills at once")
