"""Where a check of the binary takes place: an empty home, a user, and ways to start the program there."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 120.0
"""Seconds after which anything counts as hanging."""


class Wrong(Exception):
    """What a user would complain about."""


class Skipped(Exception):
    """Why a check is not possible here."""


@dataclass
class Desk:
    """An empty home, a folder to work in, and the binary."""

    binary: Path
    folder: Path
    user: int | None
    """None: whoever runs this."""
    unpacked: Path | None = None
    """A cache that is there already."""

    @property
    def env(self) -> dict[str, str]:
        place = {"CEREBELUM_CACHE_DIR": str(self.unpacked)} if self.unpacked else {}
        return {"HOME": str(self.home), "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **place}

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def cache(self) -> Path:
        return self.home / ".cache" / "cerebelum"

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        self.own(path)
        return path

    def make(self, name: str, mode: int = 0o755) -> Path:
        """A new folder."""
        path = self.folder / name
        path.mkdir()
        path.chmod(mode)
        self.own(path)
        return path

    def own(self, path: Path) -> None:
        if self.user is not None:
            os.chown(path, self.user, self.user)

    def start(self, *arguments: str, env: Mapping[str, str] | None = None, **more: Any) -> subprocess.Popen[str]:
        """The program; `apart` are shell commands that root runs first, in namespaces for mounts and network."""
        apart, command = more.pop("apart", None), [str(more.pop("program", self.binary)), *arguments]
        drop = {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}
        if apart is not None:
            command, drop = [*self._namespace(apart), *command], {}
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            command,
            env={**self.env, **(env or {})},
            **{"cwd": self.folder, "text": True, **streams, **drop, **more},
        )

    def _namespace(self, before: str) -> list[str]:
        if os.getuid() != 0:
            raise Skipped("a namespace of its own needs root")
        unshare = ["unshare", "--mount", "--net"]
        try:
            tried = subprocess.run(
                [*unshare, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
            )
        except FileNotFoundError:
            raise Skipped("unshare is not installed") from None
        if tried.returncode:
            raise Skipped(f"no namespaces here: {tried.stderr.decode().strip()}")
        drop = "" if self.user is None else f"setpriv --reuid {self.user} --regid {self.user} --clear-groups "
        return [*unshare, "sh", "-ec", f'cd /; {before}; cd "$0"; exec {drop}"$@"', str(self.folder)]

    def __call__(self, *arguments: str, code: int | None = 0, env: Mapping[str, str] | None = None, **more: Any) -> str:
        """What the program prints, errors included; it has to exit with `code`."""
        process = self.start(*arguments, env=env, **more)
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            # Who else holds its streams is found and ended by `perform`.
            process.kill()
            process.wait()
            raise Wrong(f"{arguments} hangs") from None
        expect(code is None or process.returncode == code, f"{arguments}: exit code {process.returncode}: {out}{err}")
        expect("\nTraceback" not in "\n" + err, f"{arguments}: {err}")
        return out + err

    def left(self) -> dict[int, str]:
        """Command lines, by pid, of living processes that were started from here."""
        found, mark = {}, os.fsencode(self.folder)
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    found[int(entry.name)] = shlex.join((entry / "cmdline").read_text().split("\0")[:-1])
            except OSError:
                continue
        return found


def expect(holds: bool, otherwise: str) -> None:
    """Raises Wrong."""
    if not holds:
        raise Wrong(otherwise)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Until a step has made `path`."""
    end = time.monotonic() + PATIENCE
    while not path.exists():
        expect(process.poll() is None, f"ended before {path.name} was there")
        expect(time.monotonic() < end, f"{path.name} never came")
        time.sleep(0.02)


def open_terminal(columns: int = 80) -> tuple[int, int]:
    """Both ends of a new terminal: what a person sees and types, and what programs get."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    return ours, theirs


def read_all(fd: int) -> str:
    """What a terminal shows until nobody writes to it any more."""
    said = b""
    while select.select([fd], [], [], PATIENCE)[0]:
        try:
            part = os.read(fd, 65536)
        except OSError:
            break
        if not part:
            break
        said += part
    os.close(fd)
    return said.decode(errors="replace")


def perform(check: Callable[[Desk], None], binary: Path, user: int | None, unpacked: Path | None) -> str:
    """Perform a check at a desk of its own; returns how long it took, its name, and `ok` or what was wrong."""
    began = time.monotonic()
    result = _perform(check, binary, user, unpacked)
    name = check.__name__.replace("_", " ") + ("" if user is None else " (unprivileged)")
    return f"{time.monotonic() - began:6.1f} s  {name}: {result}"


def _perform(check: Callable[[Desk], None], binary: Path, user: int | None, unpacked: Path | None) -> str:
    folder = Path(tempfile.mkdtemp(prefix="cerebelum-smoke-", dir="/var/tmp")).resolve()
    desk = Desk(binary, folder, user, unpacked)
    try:
        desk.own(folder)
        desk.make("home")
        check(desk)
        _nobody_is_left(desk)
    except Skipped as why:
        return f"skipped: {why}"
    except Wrong as what:
        return f"WRONG: {what}"
    except Exception as error:
        return f"WRONG: {type(error).__name__}: {error}"
    finally:
        for pid in desk.left():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
    return "ok"


def _nobody_is_left(desk: Desk) -> None:
    # What only waits for the end of its pipe, as the helpers of multiprocessing do, needs a moment.
    end = time.monotonic() + 5
    while desk.left() and time.monotonic() < end:
        time.sleep(0.05)
    expect(not desk.left(), f"still running: {desk.left()}")
