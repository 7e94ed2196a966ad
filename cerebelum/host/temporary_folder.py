"""The private folder of a run, and the removal of those that killed processes left behind."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cerebelum.core.errors import UsageError

PREFIX = "cerebelum-run-"
_YOUNG = 60.0
"""Seconds during which a folder may not have been locked yet."""
_swept: dict[Path, float] = {}
"""When this process last looked through a place."""


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for this user alone while the run lasts. Raises UsageError if none can be made."""
    try:
        folder = _made()
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        hint = "free some space there, or name another place with TMPDIR"
        raise UsageError(f"no temporary folder can be made: {error.strerror or error}", hint=hint) from None
    try:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield folder
    finally:
        _remove(folder)
        os.close(lock)
        _sweep(folder.parent)


def _made() -> Path:
    # As `tempfile` does, which takes longer to load than most runs take to make a folder.
    first: OSError | None = None
    for place in filter(None, (*map(os.environ.get, ("TMPDIR", "TEMP", "TMP")), "/tmp", "/var/tmp", ".")):
        try:
            return _made_in(place)
        except OSError as error:
            first = first or error
    assert first is not None
    raise first


def _made_in(place: str) -> Path:
    folder = Path(os.path.abspath(place), f"{PREFIX}{os.urandom(8).hex()}")
    folder.mkdir(0o700)
    try:
        # Where there is no room for files there may be for folders.
        probe = folder / "room"
        probe.write_bytes(b"room")
        probe.unlink()
    except OSError:
        _remove(folder)
        raise
    return folder


def _remove(folder: str | Path) -> None:
    try:
        # Most often there are empty ones in it, for steps that have asked for none.
        for name in os.listdir(folder):
            os.rmdir(os.path.join(folder, name))
        os.rmdir(folder)
    except OSError:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove folders whose owners are dead: nobody holds their locks. Now and then, of all the runs of a process."""
    now = time.monotonic()
    if now - _swept.get(place, -_YOUNG) < _YOUNG:
        return
    _swept[place] = now
    try:
        found = [entry for entry in os.scandir(place) if entry.name.startswith(PREFIX)]
    except OSError:
        return
    for entry in found:
        try:
            about = entry.stat(follow_symlinks=False)
            if about.st_uid != os.geteuid() or time.time() - about.st_mtime < _YOUNG:
                continue
            lock = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(entry.path)
        except OSError:
            continue
        finally:
            os.close(lock)
