"""Which process keeps a store file locked; asked only when waiting for the lock has failed."""

from __future__ import annotations

import os

from cerebelum.host.process_tree import is_stopped

_WAL_WRITE_LOCK = 120
"""The byte of the -shm file that a writer locks (https://www.sqlite.org/walformat.html)."""
_RESERVED_BYTE = 0x40000001
"""The byte of the file itself that a writer locks without a WAL (https://www.sqlite.org/lockingv3.html)."""


def holder(path: str) -> int | None:
    """The pid of the process that has the store's write lock; None if that cannot be found out.

    The files themselves are not touched: closing one would drop the locks that this process has on it.
    """
    wanted = {}
    for name, byte in ((f"{path}-shm", _WAL_WRITE_LOCK), (path, _RESERVED_BYTE)):
        try:
            wanted[os.stat(name).st_ino] = byte
        except OSError:
            continue
    try:
        with open("/proc/locks", encoding="ascii") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in lines:
        # 1: POSIX  ADVISORY  WRITE 1234 fd:01:5678 120 120
        fields = line.split()
        if len(fields) != 8 or fields[1:4] != ["POSIX", "ADVISORY", "WRITE"]:
            continue
        pid, inode, first = int(fields[4]), int(fields[5].rpartition(":")[2]), int(fields[6])
        last = 2**63 if fields[7] == "EOF" else int(fields[7])
        if pid > 0 and inode in wanted and first <= wanted[inode] <= last:
            return pid
    return None


def described(path: str) -> tuple[str, str] | None:
    """Who has the lock, in words, and what can be done about it."""
    pid = holder(path)
    if pid is None:
        return None
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            who = f"process {pid} ({file.read().strip()})"
    except OSError:
        who = f"process {pid}"
    if is_stopped(pid):
        return f"{who}, which is stopped", f"continue it with: kill -CONT {pid}, or end it: kill -KILL {pid}"
    return who, "try again; if that process hangs, end it"
