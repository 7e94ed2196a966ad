"""Keeps the servers that all tests of one run share, and ends them with the run, however that ends.

The process that runs pytest starts `python -m tests.servers.keeper FOLDER`, and holds its standard input open. Who runs
a test asks it by the socket in FOLDER; what nobody asks for is not started.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tests.servers.pgbouncer import PgBouncer
    from tests.servers.postgres import Postgres

FOLDER = "CEREBELUM_TEST_SERVERS"
"""Names the folder to the processes that run tests."""
_SOCKET = "keeper"


class Place(msgspec.Struct, frozen=True):
    """Where a server is to be found."""

    url: str
    admin: str
    """The same for the superuser, if there is one."""


class Missing(Exception):
    """This machine has no such server; its text is the program's name."""


def ask(what: str) -> Place:
    """Where the shared server `what` is (postgres, pgbouncer), which is started if need be. Raises Missing."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(os.path.join(os.environ[FOLDER], _SOCKET))
        asked.sendall(f"{what}\n".encode())
        with asked.makefile("rb") as answer:
            said = json.loads(answer.read())
    if "missing" in said:
        raise Missing(said["missing"])
    if "failed" in said:
        raise RuntimeError(said["failed"])
    return msgspec.convert(said, Place)


def start() -> subprocess.Popen[bytes]:
    """Start the keeper with a new folder, which this process's environment names from now on."""
    from tests.servers.postgres import private_folder

    folder = private_folder()
    os.environ[FOLDER] = str(folder)
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.servers.keeper", str(folder)],
        cwd=Path(__file__).resolve().parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert keeper.stdout is not None
    keeper.stdout.readline()
    return keeper


def end(keeper: subprocess.Popen[bytes]) -> None:
    """End the keeper, and with it the servers."""
    keeper.communicate()
    del os.environ[FOLDER]


class Keeper:
    """The shared servers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres: Postgres | None = None
        self.pgbouncer: PgBouncer | None = None

    def answer(self, what: str) -> dict[str, str]:
        try:
            return {"pgbouncer": self._pgbouncer, "postgres": self._postgres}[what]()
        except Missing as missing:
            return {"missing": str(missing)}
        except Exception as error:
            return {"failed": f"{what}: {error!r}"}

    def _postgres(self) -> dict[str, str]:
        from tests.servers.postgres import CHOICE, Postgres, programs

        if self.postgres is None:
            given = os.environ.get(CHOICE, "")
            if "://" in given:
                return {"url": given, "admin": given}
            binaries = programs()
            if binaries is None:
                raise Missing("postgres")
            self.postgres = Postgres(self.folder / "postgres", binaries)
            self.postgres.start()
        return {"url": self.postgres.url, "admin": self.postgres.admin}

    def _pgbouncer(self) -> dict[str, str]:
        from tests.servers.pgbouncer import PgBouncer, program

        server, command = self._postgres(), program()
        # One in front of a server that was given would need its passwords.
        if command is None or self.postgres is None:
            raise Missing("pgbouncer")
        if self.pgbouncer is None:
            self.pgbouncer = PgBouncer(self.folder / "pgbouncer", command, server["url"])
        return {"url": self.pgbouncer.url, "admin": server["admin"]}

    def close(self) -> None:
        """End every server below the folder, also those that a test had for itself and did not live to stop."""
        from tests.servers.postgres import kill_at_once

        if self.pgbouncer is not None:
            self.pgbouncer.stop()
        if self.postgres is not None:
            self.postgres.stop(signal.SIGQUIT)
        for file in self.folder.glob("*/data/postmaster.pid"):
            with suppress(OSError, ValueError):
                pid = int(file.read_text().split()[0])
                if os.fsencode(file.parent) in Path(f"/proc/{pid}/cmdline").read_bytes():
                    # One that a test had frozen would hear of nothing else.
                    kill_at_once(pid)
        shutil.rmtree(self.folder, ignore_errors=True)


def main(folder: Path, life: IO[bytes]) -> None:
    """Answer until `life` ends."""
    keeper = Keeper(folder)
    with socket.socket(socket.AF_UNIX) as listening, selectors.DefaultSelector() as selector:
        listening.bind(str(folder / _SOCKET))
        listening.listen(64)
        selector.register(listening, selectors.EVENT_READ)
        selector.register(life, selectors.EVENT_READ)
        print("ready", flush=True)
        try:
            while all(key.fileobj is not life for key, _ in selector.select()):
                asking, _ = listening.accept()
                with asking, asking.makefile("rb") as asked, suppress(OSError):
                    what = asked.readline().decode().strip()
                    asking.sendall(json.dumps(keeper.answer(what)).encode())
        finally:
            keeper.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.stdin.buffer)
