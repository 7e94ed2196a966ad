"""What happens to a store when something happens to its file: nothing acknowledged is lost, and errors say what to do.

Only ever one SQLite library may have a file open in a process (they drop each other's locks): hence `library`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cerebelum.backends.conformance.kit import create, entry, log, summary, tombstone_of, whole
from cerebelum.backends.sqlite import SqliteStore, file
from cerebelum.backends.sqlite.library import sqlite3 as library
from cerebelum.core.errors import CerebelumError, StoreError
from cerebelum.store import Chunk, Ownership, Query

SCHEMA_1 = Path(__file__).with_name("sqlite-schema-1.sql")
EVERY_VERB: dict[str, Callable[[SqliteStore], object]] = {
    "append": lambda store: create(store, "new-1"),
    "read": lambda store: store.read("deploy-1"),
    "find": lambda store: store.find(Query(count_to=10)),
    "own": lambda store: store.own("deploy-1", "runner-1", Ownership(None, 0)),
    "processes": lambda store: store.processes("deploy-1"),
    "read_log": lambda store: store.read_log("deploy-1"),
    "write_log": lambda store: store.write_log("deploy-1", [], drop=[("build", 1, 0, 1)]),
    "describe": lambda store: store.describe(),
    "prune": lambda store: store.prune(tombstone_of(store, "deploy-1")),
    "tombstones": lambda store: store.tombstones(),
    "restore": lambda store: store.restore([whole("new-2", 2)]),
    "backup": lambda store: store.backup(f"{store.path}-kept", lambda: None),
    "totals": lambda store: store.totals(),
    "workflows": lambda store: store.workflows(),
    "check": lambda store: list(store.check()),
}
verbs = pytest.mark.parametrize("verb", EVERY_VERB)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cerebelum.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(str(path), patience=0.05)
    yield store
    store.close()


def fill(path: Path, count: int = 50) -> None:
    """A closed store with a log of `count` entries."""
    store = SqliteStore(str(path))
    entries = log("deploy-1", count)
    store.append("deploy-1", 0, entries, summary("deploy-1", entries, tags=("x",)))
    store.write_log("deploy-1", [])
    store.close()


def refused(verb: str, store: SqliteStore, *, match: str) -> None:
    """The verb fails with an error that names the file, says `match`, and has a hint."""
    with pytest.raises(StoreError, match=match) as caught:
        EVERY_VERB[verb](store)
    assert caught.value.where == store.path
    assert caught.value.hint


# What is not a store


@verbs
def test_a_directory_is_not_a_store(path: Path, store: SqliteStore, verb: str) -> None:
    path.mkdir()
    refused(verb, store, match="is a directory")


@verbs
def test_a_pipe_is_not_opened(path: Path, store: SqliteStore, verb: str) -> None:
    os.mkfifo(path)
    refused(verb, store, match="not a regular file")


@verbs
def test_a_file_is_not_a_folder(path: Path, verb: str) -> None:
    path.touch()
    refused(verb, SqliteStore(f"{path}/cerebelum.db"), match="Not a directory")


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    refused("append", SqliteStore(f"{tmp_path}/{'x' * 300}"), match="File name too long")


@verbs
def test_a_text_file_is_not_a_database(path: Path, store: SqliteStore, verb: str) -> None:
    text = "name: deploy\nsteps: []\n" * 100
    path.write_text(text)
    refused(verb, store, match="not an SQLite database")
    assert path.read_text() == text


@pytest.mark.parametrize("mark", [0, 0x12345678])
@verbs
def test_a_database_of_another_program_is_left_alone(path: Path, store: SqliteStore, verb: str, mark: int) -> None:
    connection = library.connect(path)
    connection.executescript(f"CREATE TABLE bookmarks (url); PRAGMA application_id = {mark}")
    connection.close()
    before = path.read_bytes()
    refused(verb, store, match="not a store of cerebelum")
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_store_whose_tables_are_gone_is_named_incomplete(path: Path, store: SqliteStore) -> None:
    fill(path)
    connection = library.connect(path)
    connection.execute("DROP TABLE executions")
    connection.close()
    for verb in ("append", "find", "own"):
        refused(verb, store, match="parts of the store are missing")


# Damage


def test_a_truncated_store_is_named_damaged(path: Path, store: SqliteStore) -> None:
    fill(path, 500)
    os.truncate(path, 8192)
    refused("read", store, match="damaged")


@pytest.mark.parametrize("seed", range(20))
def test_no_damage_leads_to_anything_but_an_answer_or_an_explanation(path: Path, store: SqliteStore, seed: int) -> None:
    fill(path)
    random = Random(seed)
    content = bytearray(path.read_bytes())
    for _ in range(40):
        content[random.randrange(len(content))] = random.randrange(256)
    path.write_bytes(content)
    for verb in EVERY_VERB.values():
        with contextlib.suppress(CerebelumError):
            verb(store)


def test_rows_that_make_no_sense_are_named_damaged(path: Path, store: SqliteStore) -> None:
    fill(path)
    connection = library.connect(path)
    connection.execute("UPDATE executions SET tags = '{' WHERE id = 'deploy-1'")
    connection.execute("INSERT INTO events VALUES ('deploy-2', 1, 'X', 9000000000000000000, '', '')")
    connection.execute("INSERT INTO events VALUES ('deploy-3', 1, 'X', 1, CAST(x'ff' AS TEXT), '')")
    connection.commit()
    connection.close()
    refused("find", store, match="damaged")
    connection = library.connect(path)
    connection.execute("UPDATE executions SET tags = '[]', updated_at = 9000000000000000000")
    connection.commit()
    connection.close()
    refused("find", store, match="damaged")
    for execution_id in ("deploy-2", "deploy-3"):
        with pytest.raises(StoreError, match="damaged"):
            store.read(execution_id)


# The file goes away


@verbs
def test_a_deleted_store_is_not_written_any_more(path: Path, store: SqliteStore, verb: str) -> None:
    create(store, "deploy-1")
    store.read("deploy-1")
    path.unlink()
    refused(verb, store, match="deleted or replaced")
    assert not path.exists()


@verbs
def test_a_replaced_store_is_not_written_any_more(path: Path, store: SqliteStore, verb: str) -> None:
    create(store, "deploy-1")
    fill(path.with_name("other.db"), 3)
    path.with_name("other.db").replace(path)
    refused(verb, store, match="deleted or replaced")


def test_a_store_that_is_put_back_goes_on(path: Path, store: SqliteStore) -> None:
    create(store, "deploy-1")
    aside = path.rename(path.with_name("aside.db"))
    refused("append", store, match="deleted or replaced")
    aside.rename(path)
    create(store, "deploy-2")
    assert len(store.find(Query()).rows) == 2


@verbs
def test_a_closed_store_says_so(store: SqliteStore, verb: str) -> None:
    create(store, "deploy-1")
    store.close()
    with pytest.raises(StoreError, match="closed"):
        EVERY_VERB[verb](store)


FORKED = """
import os, sys
from cerebelum.backends.conformance.kit import create
from cerebelum.backends.sqlite import open_store
from cerebelum.core.errors import StoreError
store = open_store(sys.argv[1])
create(store, "deploy-1")

def child(attempt):
    if (pid := os.fork()) == 0:
        try:
            attempt()
            code = 1
        except StoreError as error:
            code = 0 if "fork" in error.message else 2
        store.close()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

inherited = child(lambda: create(store, "deploy-2"))
anew = child(lambda: create(open_store(sys.argv[1]), "deploy-3"))
create(store, "deploy-4")
store.close()
closed_before = child(lambda: create(open_store(sys.argv[1]), "deploy-5"))
print(inherited, anew, closed_before)
"""


def test_a_forked_process_does_not_share_its_parents_connections(store: SqliteStore) -> None:
    assert run(FORKED, f"sqlite:///{store.path}") == "0 0 1\n"
    assert sorted(row.summary.execution_id[-1] for row in store.find(Query()).rows) == ["1", "4", "5"]


# Backups


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ValueError])
def test_a_backup_ends_with_what_is_raised_by_whoever_heeds_it(
    path: Path, store: SqliteStore, raised: type[BaseException]
) -> None:
    fill(path, 20_000)
    calls = []

    def heed() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise raised

    with pytest.raises(raised):
        store.backup(f"{path}-kept", heed)
    assert len(calls) == 3
    assert len(store.read("deploy-1")) == 20_000
    store.backup(f"{path}-again", lambda: None)
    copy = SqliteStore(f"{path}-again")
    assert copy.read("deploy-1") == store.read("deploy-1")
    assert copy.describe().details["journal_mode"] == "wal"
    copy.close()
    assert not list(path.parent.glob(f"{path.name}-again-*"))


def test_what_was_never_written_has_no_backup(path: Path, store: SqliteStore) -> None:
    store.backup(f"{path}-kept", lambda: None)
    assert list(path.parent.iterdir()) == []


# Locks


def test_a_lock_that_is_held_too_long_is_an_error_and_nothing_is_written(path: Path, store: SqliteStore) -> None:
    create(store, "deploy-1")
    other = library.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for verb in ("append", "own", "write_log"):
        refused(verb, store, match="locked")
    assert len(store.read("deploy-1")) == 1
    other.close()
    create(store, "new-1")
    assert len(store.find(Query()).rows) == 2


HOLDER = """
import sys
from cerebelum.backends.sqlite.library import sqlite3
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


@pytest.mark.parametrize("stopped", [False, True])
def test_whoever_keeps_the_store_locked_is_named_and_that_it_is_stopped(path: Path, stopped: bool) -> None:
    store = SqliteStore(str(path), patience=0.1)
    create(store, "deploy-1")
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "locked\n"
            if stopped:
                holder.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)
            with pytest.raises(StoreError, match=rf"locked for too long by process {holder.pid} \(") as raised:
                create(store, "deploy-2")
            assert ("which is stopped" in str(raised.value)) is stopped
            assert (f"kill -CONT {holder.pid}" in str(raised.value.hint)) is stopped
            # Asking has not cost this process a lock of its own.
            assert store.read("deploy-1")
        finally:
            holder.kill()
    create(store, "deploy-2")
    store.close()


def test_a_lock_that_is_let_go_in_time_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "BUSY_TIMEOUT", 0.0)
    store = SqliteStore(str(path))
    create(store, "deploy-1")
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        waits = []

        def let_go(seconds: float) -> None:
            waits.append(seconds)
            holder.communicate("somebody waits\n")

        monkeypatch.setattr(time, "sleep", let_go)
        create(store, "deploy-2")
    assert len(waits) == 1
    assert len(store.find(Query()).rows) == 2
    store.close()


# Permissions: root may do everything, so these run as nobody where the tests run as root.

DROP = """
import os, sys
import cerebelum.backends.sqlite.schema, sqlite_utils.migrations
from cerebelum.backends.conformance.kit import create
from cerebelum.backends.sqlite import SqliteStore
from cerebelum.core.errors import StoreError
from cerebelum.store import Query
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
store = SqliteStore(sys.argv[1])
def attempt(work):
    try:
        return f"ok {len(work())}"
    except StoreError as error:
        return f"{error.message} | {error.hint}"
print(attempt(lambda: store.find(Query()).rows))
print(attempt(lambda: create(store, "new-1")))
"""


def run(code: str, *arguments: object, **options: Any) -> str:
    """What a new interpreter prints that runs `code`."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, **options)
    return str(result.stdout)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that another user can reach, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def find_and_append(path: Path) -> list[str]:
    """What somebody without special rights gets from reading and from writing a store."""
    return run(DROP, path).splitlines()


def owned_by_nobody(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)


def test_a_store_that_may_not_be_read_is_explained(shared: Path) -> None:
    path = shared / "cerebelum.db"
    fill(path)
    path.chmod(0)
    for answer in find_and_append(path):
        assert "cannot be read by this user" in answer


def test_a_store_that_may_only_be_read_is_read_and_not_written(shared: Path) -> None:
    folder = shared / "state"
    folder.mkdir()
    path = folder / "cerebelum.db"
    fill(path)
    path.chmod(0o444)
    folder.chmod(0o777)
    found, appended = find_and_append(path)
    assert found == "ok 1"
    assert "cannot be written" in appended


def test_an_older_store_that_may_only_be_read_is_read_as_it_is(shared: Path) -> None:
    folder = shared / "state"
    folder.mkdir()
    path = folder / "cerebelum.db"
    connection = library.connect(path)
    connection.executescript(f"PRAGMA journal_mode = WAL; {SCHEMA_1.read_text()}")
    connection.close()
    path.chmod(0o444)
    folder.chmod(0o777)
    found, appended = find_and_append(path)
    assert found == "ok 0"
    assert "cannot be written" in appended


def test_a_closed_store_in_a_read_only_folder_is_explained(shared: Path) -> None:
    folder = shared / "state"
    folder.mkdir()
    path = folder / "cerebelum.db"
    fill(path)
    path.chmod(0o666)
    folder.chmod(0o555)
    for answer in find_and_append(path):
        assert "folder that cannot be written" in answer
        assert "-wal" in answer
    folder.chmod(0o755)


def test_a_folder_that_may_not_be_written_gets_no_store(shared: Path) -> None:
    shared.chmod(0o555)
    for path in (shared / "cerebelum.db", shared / "a" / "b" / "cerebelum.db"):
        found, appended = find_and_append(path)
        assert found == "ok 0"
        assert "cannot be created: Permission denied" in appended
        assert "--store" in appended
    shared.chmod(0o755)


def test_a_folder_that_may_not_be_entered_is_explained(shared: Path) -> None:
    folder = shared / "state"
    folder.mkdir(mode=0o700)
    if os.geteuid() != 0:
        folder.chmod(0)
    for answer in find_and_append(folder / "cerebelum.db"):
        assert "cannot be reached: Permission denied" in answer
    folder.chmod(0o755)


# Full disks and sudden deaths

WRITER = """
import resource, sys
from cerebelum.backends.conformance.kit import GENESIS, create, entry, summary
from cerebelum.backends.sqlite import SqliteStore
from cerebelum.core.errors import StoreError
path, size, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if size:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
store = SqliteStore(path)
try:
    last = create(store, name)
    print(last.version, last.digest, flush=True)
    while True:
        last = entry(name, last.version + 1, last.digest, text='"' + "x" * 500 + '"')
        store.append(name, last.version - 1, [last], summary(name, [last]))
        print(last.version, last.digest, flush=True)
except StoreError as error:
    print(error.message, "|", error.hint)
"""


def acknowledged(output: str) -> list[list[str]]:
    """The [version, digest] lines of a writer, without a last one that was cut."""
    return [line.split() for line in output.splitlines(keepends=True) if line.endswith("\n") and line[0].isdigit()]


def test_everything_acknowledged_before_the_disk_was_full_is_there(path: Path, store: SqliteStore) -> None:
    output = run(WRITER, path, 600_000, "deploy-1")
    assert "could not be read or written (SQLITE_IOERR" in output or "disk is full" in output
    assert "what was recorded before is safe" in output
    told = acknowledged(output)
    assert len(told) > 20
    assert [[str(e.version), e.digest] for e in store.read("deploy-1")] == told
    following = entry("deploy-1", len(told) + 1, told[-1][1])
    store.append("deploy-1", len(told), [following], summary("deploy-1", [following]))


def test_a_full_store_goes_on_when_there_is_room_again(store: SqliteStore) -> None:
    first = create(store, "deploy-1")
    assert store._events.connection is not None
    pages = store._events.connection.execute("PRAGMA page_count").fetchone()[0]
    store._events.connection.execute(f"PRAGMA max_page_count = {pages}")
    big = entry("deploy-1", 2, first.digest, text='"' + "x" * 100_000 + '"')
    with pytest.raises(StoreError, match="disk is full") as caught:
        store.append("deploy-1", 1, [big], summary("deploy-1", [big]))
    assert "free some space" in str(caught.value.hint)
    assert store.read("deploy-1") == [first]
    store.append("deploy-1", 1, [big], summary("deploy-1", [big]))
    assert store.read("deploy-1") == [first, big]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=800k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a tmpfs cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_disk_that_is_really_full_loses_nothing(small_disk: Path) -> None:
    path = small_disk / "cerebelum.db"
    output = run(WRITER, path, 0, "deploy-1")
    assert "what was recorded before is safe" in output or "check the disk" in output
    told = acknowledged(output)
    assert len(told) > 20
    copy = shutil.copytree(small_disk, small_disk.parent / "copy")
    store = SqliteStore(str(copy / path.name))
    assert [[str(e.version), e.digest] for e in store.read("deploy-1")] == told
    store.close()


@pytest.mark.parametrize("killed_after", [1, 7, 60, 400])
def test_everything_acknowledged_before_a_kill_is_there(path: Path, store: SqliteStore, killed_after: int) -> None:
    for number in range(2):
        name = f"deploy-{number}"
        command = [sys.executable, "-c", WRITER, str(path), "0", name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(killed_after)]
            writer.send_signal(signal.SIGKILL)
            told = acknowledged("".join([*lines, writer.stdout.read()]))
        there = [[str(e.version), e.digest] for e in store.read(name)]
        assert there[: len(told)] == told
        assert len(there) - len(told) <= 1
        found = store.find(Query(id=name)).rows[0].summary
        assert [str(found.version), found.digest] == there[-1]


def test_output_survives_the_death_of_its_writer(path: Path, store: SqliteStore) -> None:
    code = (
        "import os, sys; from cerebelum.backends.conformance.kit import START\n"
        "from cerebelum.backends.sqlite import SqliteStore; from cerebelum.store import Chunk\n"
        "SqliteStore(sys.argv[1]).write_log('deploy-1', [Chunk('build', 1, 0, 'stdout', START, b'hello')])\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -signal.SIGKILL
    [chunk] = store.read_log("deploy-1").chunks
    assert isinstance(chunk, Chunk)
    assert chunk.data == b"hello"
