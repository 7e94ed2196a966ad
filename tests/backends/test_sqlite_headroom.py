"""Room in the write-ahead log before it is needed: made by who writes much, bounded, and nothing to SQLite."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cerebelum.backends.conformance.kit import create, push
from cerebelum.backends.sqlite import SqliteStore, headroom

MOST = headroom._MOST + headroom._STEP
WRITER = """\
import os, signal, sys
from cerebelum.backends.conformance.kit import create, push
from cerebelum.backends.sqlite import SqliteStore

store = SqliteStore(sys.argv[1])
create(store, "killed-1")
push(store, "killed-1", 10)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(str(tmp_path / "cerebelum.db"))
    yield store
    store.close()


def log_of(store: SqliteStore) -> Path:
    return Path(f"{os.path.realpath(store.path)}-wal")


def tail(log: Path) -> int:
    """How many zeros are at its end."""
    data = log.read_bytes()
    return len(data) - len(data.rstrip(b"\0"))


def test_one_commit_makes_no_room(store: SqliteStore) -> None:
    create(store, "deploy-1")
    store.close()
    again = SqliteStore(store.path)
    push(again, "deploy-1", 1)
    assert tail(log_of(again)) < 4096
    again.close()


def test_commits_that_follow_find_room(store: SqliteStore) -> None:
    create(store, "deploy-1")
    push(store, "deploy-1", 3)
    assert tail(log_of(store)) > headroom._STEP // 2
    size = log_of(store).stat().st_size
    push(store, "deploy-1", 5)
    assert log_of(store).stat().st_size == size


def test_room_is_bounded_although_two_processes_make_it(store: SqliteStore) -> None:
    create(store, "deploy-1")
    create(store, "deploy-2")
    other = SqliteStore(store.path)
    for _ in range(60):
        push(store, "deploy-1", 1)
        push(other, "deploy-2", 1)
    assert log_of(store).stat().st_size <= MOST
    assert [len(store.read(name)) for name in ("deploy-1", "deploy-2")] == [61, 61]
    other.close()


def test_a_log_that_a_checkpoint_emptied_gets_room_again(store: SqliteStore) -> None:
    create(store, "deploy-1")
    push(store, "deploy-1", 3)
    connection = store._events.connection
    assert connection is not None
    assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    assert log_of(store).stat().st_size == 0
    push(store, "deploy-1", 3)
    assert tail(log_of(store)) > headroom._STEP // 2


def test_what_a_killed_process_left_is_read_in_spite_of_the_room_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "cerebelum.db"
    ended = subprocess.run([sys.executable, "-c", WRITER, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    moved = tmp_path / "moved.db"
    # Without its index, so that whoever comes next has to go through the log.
    shutil.copy(path, moved)
    shutil.copy(f"{path}-wal", f"{moved}-wal")
    assert tail(Path(f"{moved}-wal")) > headroom._STEP // 2
    for left in (path, moved):
        found = SqliteStore(str(left))
        assert len(found.read("killed-1")) == 11
        push(found, "killed-1", 5)
        assert list(found.check()) == []
        found.close()


def test_a_store_behind_a_link_gets_its_room_where_sqlite_has_its_log(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "elsewhere" / "real.db")
    store = SqliteStore(str(tmp_path / "link.db"))
    create(store, "deploy-1")
    push(store, "deploy-1", 3)
    assert tail(tmp_path / "elsewhere" / "real.db-wal") > headroom._STEP // 2
    assert store.describe().details["wal_size"] == log_of(store).stat().st_size
    store.close()


def _full(descriptor: int) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def _nearly_full(descriptor: int) -> int:
    return os.write(descriptor, bytes(100))


@pytest.mark.parametrize("add", [_full, _nearly_full])
def test_a_disk_without_room_for_it_still_takes_events(
    store: SqliteStore, add: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    create(store, "deploy-1")
    monkeypatch.setattr(headroom, "add", add)
    push(store, "deploy-1", 10)
    store.close()
    again = SqliteStore(store.path)
    assert len(again.read("deploy-1")) == 11
    assert list(again.check()) == []
    again.close()


def test_no_descriptor_is_left_behind(store: SqliteStore) -> None:
    def descriptors() -> list[str]:
        links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
        return [os.readlink(link) for link in links if link.is_symlink()]

    create(store, "deploy-1")
    push(store, "deploy-1", 3)
    name = str(log_of(store))
    assert name in descriptors()
    store.close()
    assert name not in descriptors()
