"""New files that are whole and durable under their name, or not there at all, whenever their writer is killed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape, glob

from cerebelum.core.errors import StoreError, UsageError

_BESIDE = ("", "-wal", "-shm", "-journal")


@contextmanager
def new_file(file: str) -> Iterator[tuple[str, int]]:
    """The path of an empty file (0600) in the same folder, and its descriptor; it becomes `file` at the end.

    If what is done with it raises, nothing is left; what others left that were killed is removed at the beginning.
    Raises UsageError if there is such a file already (it is never replaced) or it cannot be written.
    """
    file = os.path.abspath(file)
    if os.path.lexists(file):
        raise _there(file)
    for left in glob(f"{escape(file)}.partial-*[0-9a-f]"):
        _clear(left)
    path, descriptor = f"{file}.partial-{os.urandom(4).hex()}", -1
    try:
        # Inside, since Ctrl-C may come as soon as it is there.
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritten(file, error) from None
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield path, descriptor
        _put(path, descriptor, file)
    finally:
        _remove(path)
        if descriptor >= 0:
            os.close(descriptor)


def _clear(left: str) -> None:
    """Remove the beginnings of a file, unless somebody is still writing it."""
    with suppress(OSError):
        descriptor = os.open(left, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(left)
        finally:
            os.close(descriptor)


def _remove(path: str) -> None:
    for suffix in _BESIDE:
        with suppress(OSError):
            os.unlink(path + suffix)


def _put(path: str, descriptor: int, file: str) -> None:
    if any(os.path.exists(path + suffix) for suffix in _BESIDE[1:]):
        raise StoreError("the copy could not be closed: a part of it is in a file beside it", where=path)
    try:
        os.fsync(descriptor)
        try:
            # Unlike a rename, this never replaces what somebody else put there meanwhile.
            os.link(path, file)
        except FileExistsError:
            raise _there(file) from None
        except OSError:
            os.rename(path, file)
        folder = os.open(os.path.dirname(file), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _unwritten(file, error) from None


def _there(file: str) -> UsageError:
    return UsageError("there is such a file already", where=file, hint="name another one; nothing is overwritten")


def _unwritten(file: str, error: OSError) -> UsageError:
    return UsageError(f"it cannot be written: {error.strerror}", where=file)
