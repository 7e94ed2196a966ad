"""A child that has this process's terminal and standard streams, waited for to its end whatever signals come."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Self

_TYPED = (signal.SIGINT, signal.SIGQUIT)
"""What a terminal sends to all of its foreground, the child included."""
_ADDRESSED = (signal.SIGHUP, signal.SIGTERM)


class Attendant:
    """Within it, signals end the child and not this process: what is to be tidied up inside of it will be.

    With `interactive`, the child is a shell that looks after its own jobs; that ignores SIGTERM and is hung up instead.
    """

    def __init__(self, *, interactive: bool) -> None:
        self._interactive = interactive
        self._before: dict[signal.Signals, Any] = {}
        self._told: list[int] = []
        self._child: int | None = None

    def __enter__(self) -> Self:
        for number in (*_TYPED, *_ADDRESSED):
            handler = signal.getsignal(number)
            # What was ignored stays so. A handler, because what is ignored here would be ignored by the child, too.
            if handler is not signal.SIG_IGN:
                self._before[number] = handler
                signal.signal(number, self._heard)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> int:
        """The exit code of `argv`, 128 + n if signal n ended it. Raises OSError, ValueError if it cannot be started."""
        popen = subprocess.Popen(list(argv), env=dict(env), cwd=cwd)
        self._child = popen.pid
        self._pass_on()
        popen.returncode = self._ended(popen.pid)
        self._child = None
        return 128 - popen.returncode if popen.returncode < 0 else popen.returncode

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if number in _TYPED and (self._interactive or _in_foreground()):
            return
        self._told.append(signal.SIGHUP if self._interactive else number)
        self._pass_on()

    def _pass_on(self) -> None:
        while self._told and self._child is not None:
            for number in (self._told.pop(0), signal.SIGCONT):
                with suppress(ProcessLookupError):
                    os.kill(self._child, number)
                with suppress(OSError):
                    # As when a terminal goes away: a shell may hear of it only once its job has ended.
                    if self._interactive and (group := os.tcgetpgrp(0)) != os.getpgrp():
                        os.killpg(group, number)

    def _ended(self, pid: int) -> int:
        """The exit code of the child, or minus the signal."""
        while True:
            _, status = os.waitpid(pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                return os.waitstatus_to_exitcode(status)
            if self._interactive:
                _stop_along(pid)


def _in_foreground() -> bool:
    """Whether what is typed on the terminal reaches this process, and so the child as well."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _stop_along(pid: int) -> None:
    """The shell has stopped itself (`suspend`): stop too, and when continued, let it go on with the terminal."""
    os.kill(os.getpid(), signal.SIGSTOP)
    with suppress(OSError):
        os.tcsetpgrp(0, os.getpgid(pid))
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
