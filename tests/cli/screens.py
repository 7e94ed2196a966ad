"""A terminal that a test can look at: the program runs in a real pseudo-terminal, and what it shows is read back."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pyte

from tests.binary.program import program
from tests.cli.conftest import Home

PATIENCE = 30.0


class Window:
    """The program in a terminal of `columns` x `rows`; where `controls`, Ctrl-C and the like are signals, too."""

    def __init__(
        self, home: Home, *arguments: str, columns: int = 80, rows: int = 24, controls: bool = False, **env: str
    ) -> None:
        self.master, slave = pty.openpty()
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.resize(columns, rows)
        environ = {k: v for k, v in home.environ.items() if k not in ("CI", "NO_COLOR")}
        self.process = subprocess.Popen(
            [*program(), *arguments],
            cwd=home.folder,
            env={**environ, "TERM": "xterm-256color", **env},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if controls else None,  # noqa: PLW1509
        )
        os.close(slave)

    def resize(self, columns: int, rows: int) -> None:
        """Make the window larger or smaller, as somebody who drags its corner."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)
        if hasattr(self, "process"):
            os.kill(self.process.pid, signal.SIGWINCH)

    def type(self, text: str) -> None:
        """What somebody types."""
        os.write(self.master, text.encode())

    def lines(self) -> list[str]:
        """What can be seen, what has scrolled away included."""
        gone = [
            "".join(line[at].data for at in range(self.screen.columns)).rstrip() for line in self.screen.history.top
        ]
        return [line for line in [*gone, *(line.rstrip() for line in self.screen.display)] if line]

    def until(self, condition: Callable[[list[str]], object]) -> list[str]:
        """The lines, once they are as wanted; fails if that takes too long."""
        end = time.monotonic() + PATIENCE
        while not (self._whole() and condition(self.lines())):
            assert time.monotonic() < end, "\n".join(self.lines())
            if not self._read(0.1):
                break
        lines = self.lines()
        assert condition(lines), "\n".join(lines)
        return lines

    def _whole(self) -> bool:
        """Whether all of what was drawn at once has been read."""
        return self.raw.count(b"\x1b[?2026h") == self.raw.count(b"\x1b[?2026l")

    def finish(self) -> tuple[int, list[str]]:
        """The exit code, and what is left on the screen."""
        while self._read(PATIENCE):
            pass
        return self.process.wait(PATIENCE), self.lines()

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.raw += data
        self.stream.feed(data)
        return bool(data)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


Opens = Callable[..., Window]


@contextmanager
def windows(home: Home) -> Iterator[Opens]:
    """What opens windows, all of which are closed in the end."""
    with ExitStack() as opened:

        def start(*arguments: str, **options: Any) -> Window:
            return opened.enter_context(closing(Window(home, *arguments, **options)))

        yield start
