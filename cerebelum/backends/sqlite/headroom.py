"""Room in the file of the write-ahead log before it is needed, so that a commit need not make it.

Where a commit makes a file longer the file system has to record that too, before the commit is on the disk: another
write to another place, which takes about as long again. Zeros are no frames to SQLite, which writes its own over them,
as it does with what is left of the log from before a checkpoint.
"""

from __future__ import annotations

import os

_STEP = 256 << 10
_MOST = 4 << 20
"""About what SQLite lets the log grow to before it starts again from the beginning, where pages have 4 KiB."""


def log_of(path: str) -> str:
    """Where SQLite keeps the log of the store file at `path`: it follows links before it names it."""
    return f"{os.path.realpath(path)}-wal"


def add(descriptor: int) -> int:
    """Write zeros behind the log, as many as there is a place for; how many."""
    return os.write(descriptor, bytes(_STEP))


class Headroom:
    """Of the log beside the store file at `path`, for as long as a connection keeps that log from being removed."""

    def __init__(self, path: str) -> None:
        self._log = log_of(path)
        self._descriptor = -1
        self._seen = 0

    def make(self) -> None:
        """Make the log longer if it grew since the last call: then what room there was is used up.

        Nobody else may be writing, so it is for whoever has the writers' lock. The first commit of a connection, which
        is often the only one, makes no room, and nor does one to a disk that is full.
        """
        try:
            first = self._descriptor < 0
            if first:
                self._descriptor = os.open(self._log, os.O_WRONLY | os.O_CLOEXEC)
            # Not by fstat: when it is asked for a file's time, Linux gives the next write a time of its own to record.
            size = os.lseek(self._descriptor, 0, os.SEEK_END)
            if not first and self._seen < size < _MOST:
                size += add(self._descriptor)
            self._seen = size
        except OSError:
            pass

    def close(self) -> None:
        """Let go of the log; what room there is stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
