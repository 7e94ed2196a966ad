"""A real PgBouncer in front of a server, pooling by transaction, as hosted databases have it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.postgres import (
    NAME,
    PASSWORD,
    PATIENCE,
    answering,
    as_nobody,
    free_port,
    hand_over,
    with_server,
)

_CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
max_client_conn = 500
default_pool_size = 8
logfile = {log}
"""


def program() -> str | None:
    """Where it is installed: Debian puts it where not everybody's PATH leads."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


class PgBouncer:
    """One that pools connections to the server of `url`."""

    def __init__(self, folder: Path, command: str, url: str) -> None:
        """`folder` is made, and holds everything."""
        folder.mkdir(mode=0o700)
        hand_over(folder)
        self.port = free_port()
        users, log, configuration = folder / "users", folder / "log", folder / "configuration"
        users.write_text(f'"{NAME}" "{PASSWORD}"\n')
        configuration.write_text(
            _CONFIGURATION.format(server=urlsplit(url).port, port=self.port, users=users, log=log).lstrip()
        )
        self.url = with_server(url, "127.0.0.1", self.port)
        self.process = subprocess.Popen(
            [command, "--quiet", str(configuration)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **as_nobody(),
        )
        answering(self.url, self.process, log).close()

    def stop(self) -> None:
        """End it at once."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
