"""What the SQLite store promises beyond what every store does: privacy, append-only tables, indexes, a quick start."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cerebelum.backends.conformance import StoreConformance
from cerebelum.backends.conformance.kit import MINE, START, create, entry, log, push, summary, tombstone_of, whole
from cerebelum.backends.sql.search import Lead, counted, selection
from cerebelum.backends.sql.written import Written
from cerebelum.backends.sqlite import SqliteStore, open_store, warnings
from cerebelum.backends.sqlite.library import sqlite3 as library
from cerebelum.backends.sqlite.store import DIALECT
from cerebelum.core.errors import StoreError, UsageError
from cerebelum.store import Appended, Chunk, Query
from tests.backends.queries import QUERIES, SORTED

SCHEMAS = [Path(__file__).with_name(f"sqlite-schema-{version}.sql") for version in (1, 2, 3)]


class TestSqlite(StoreConformance):
    opener = staticmethod(open_store)

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/state/cerebelum.db"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "cerebelum.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = open_store(f"sqlite:///{path}")
    yield store
    store.close()


def python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """A new interpreter that runs `code`, with pipes as its stdin and stdout."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)


def tables(path: Path) -> list[tuple[str, str, str]]:
    """Everything in the schema of a database."""
    connection = library.connect(path)
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    connection.close()
    return rows


# Addresses


def test_three_slashes_are_relative_and_four_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    relative = open_store("sqlite:///some folder/ä?#%20.db")
    monkeypatch.chdir("/")
    create(relative, "deploy-1")
    relative.close()
    assert (tmp_path / "some folder" / "ä?#%20.db").stat().st_size > 0
    absolute = open_store(f"sqlite:///{tmp_path}/some folder/ä?#%20.db")
    assert len(absolute.read("deploy-1")) == 1
    absolute.close()


def test_a_file_name_that_is_no_unicode_works(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.db")
    store = open_store(f"sqlite:///{tmp_path}/{name}")
    create(store, "deploy-1")
    assert len(store.read("deploy-1")) == 1
    store.close()
    assert b"caf\xe9.db" in os.listdir(os.fsencode(tmp_path))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite://x",
        "x.db",
        "sqlite:///a/",
        "sqlite:///:memory:",
        "sqlite:///a\0b",
    ],
)
def test_what_names_no_file_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(UsageError, match="sqlite:///relative"):
        open_store(url)


# Privacy


def test_reading_creates_nothing(tmp_path: Path, store: SqliteStore) -> None:
    assert store.find(Query()).rows == []
    assert store.describe().exists is False
    store.write_log("deploy-1", [], drop=[("build", 1, 0, 9)])
    assert list(tmp_path.iterdir()) == []


def test_only_the_owner_can_read_what_is_created(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = open_store(f"sqlite:///{tmp_path}/a/b/c.db")
        create(store, "deploy-1")
        modes = {p.name: oct(stat.S_IMODE(p.stat().st_mode)) for p in tmp_path.rglob("*")}
        store.close()
    finally:
        os.umask(before)
    private = {"c.db": "0o600", "c.db-wal": "0o600", "c.db-shm": "0o600"}
    assert modes == {"a": "0o700", "b": "0o700", **private}


def test_a_link_to_nowhere_is_followed_privately(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "target.db")
    store = open_store(f"sqlite:///{tmp_path}/link.db")
    create(store, "deploy-1")
    store.close()
    assert stat.S_IMODE((tmp_path / "target.db").stat().st_mode) == 0o600


# Append-only


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET data = '{}'",
        "UPDATE events SET version = 99 WHERE version = 2",
        "UPDATE OR REPLACE events SET version = 1 WHERE version = 2",
        "DELETE FROM events",
        "DELETE FROM events WHERE version = 2",
        "INSERT OR REPLACE INTO events SELECT execution_id, 1, type, at, '{}', digest FROM events WHERE version = 2",
        "REPLACE INTO events SELECT execution_id, version, 'X', at, data, digest FROM events WHERE version = 2",
        "INSERT INTO events SELECT * FROM events WHERE version = 1 ON CONFLICT DO UPDATE SET data = '{}'",
    ],
)
@pytest.mark.parametrize("module", [sqlite3, library], ids=["python's", "ours"])
def test_events_cannot_be_changed_by_any_program(store: SqliteStore, statement: str, module: Any) -> None:
    entries = log("deploy-1", 2)
    store.append("deploy-1", 0, entries, summary("deploy-1", entries))
    # Two libraries in one process drop each other's locks on a file that both have open.
    store.close()
    other = module.connect(store.path, isolation_level=None)
    try:
        with pytest.raises(module.IntegrityError, match="append-only"):
            other.execute(statement)
        assert other.execute("PRAGMA recursive_triggers").fetchone() == (0,)
    finally:
        other.close()
    again = SqliteStore(store.path)
    assert again.read("deploy-1") == entries
    again.close()


def test_an_event_that_is_there_already_is_not_overwritten_when_the_summary_lies(store: SqliteStore) -> None:
    entries = log("deploy-1", 2)
    store.append("deploy-1", 0, entries, summary("deploy-1", entries))
    other = library.connect(store.path, isolation_level=None)
    other.execute("UPDATE executions SET version = 1")
    other.close()
    with pytest.raises(StoreError, match=r"disagree.*\n.*verify"):
        store.append("deploy-1", 1, [entry("deploy-1", 2, text="{}")], summary("deploy-1", entries))
    assert store.read("deploy-1") == entries


# Durability


def test_events_are_synced_and_output_is_not(store: SqliteStore) -> None:
    create(store, "deploy-1")
    store.write_log("deploy-1", [Chunk("build", 1, 0, "stdout", START, b"x")])
    modes = {}
    for lane in (store._events, store._notes):
        assert lane.connection is not None
        modes[lane] = lane.connection.execute("PRAGMA synchronous").fetchone()[0]
    assert modes == {store._events: 2, store._notes: 1}
    assert store.describe().details["journal_mode"] == "wal"


def test_a_reader_holds_no_snapshot_that_keeps_the_wal_from_shrinking(store: SqliteStore) -> None:
    create(store, "deploy-1")
    store.find(Query(count_to=10))
    store.read("deploy-1")
    store.write_log("deploy-1", [Chunk("build", 1, 0, "stdout", START, b"x" * 100_000)])
    other = library.connect(store.path, isolation_level=None)
    assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    other.close()
    assert store.describe().details["wal_size"] == 0


STRAYS = {
    "deploy-1 has events, but": "DELETE FROM executions",
    "deploy-1 is there, although": "INSERT INTO tombstones VALUES ('deploy-1', 'deploy', 'failed', 0, 0, 1, '', 0)",
    "the index of tags leads to deploy-1": "UPDATE tags SET tag = 'other'",
    "NULL value in executions.digest": "PRAGMA writable_schema = 1",
}


@pytest.mark.parametrize("told", STRAYS)
def test_what_belongs_to_nothing_is_found_by_the_check(store: SqliteStore, told: str) -> None:
    create(store, "deploy-1", tags=("x",))
    connection = library.connect(store.path)
    connection.execute(STRAYS[told])
    if "schema" in STRAYS[told]:
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'digest TEXT NOT NULL', 'digest TEXT')")
        connection.commit()
        connection.close()
        connection = library.connect(store.path)
        connection.execute("UPDATE executions SET digest = NULL")
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'digest TEXT', 'digest TEXT NOT NULL')")
    connection.commit()
    connection.close()
    store.close()
    found = list(open_store(f"sqlite:///{store.path}").check())
    assert found
    assert any(sentence.startswith(told) for sentence in found), found


# Indexes


@pytest.mark.parametrize("name", QUERIES)
def test_every_filter_is_served_by_an_index(store: SqliteStore, name: str) -> None:
    create(store, "deploy-1")
    connection = library.connect(store.path)
    sql, values = selection(QUERIES[name], DIALECT, 21, 0)
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    counting, values = counted(QUERIES[name], 10_000, DIALECT)
    count_plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {counting}", values)]
    connection.close()
    merged = ("SCAN (subquery", "SCAN matches")
    for step in (*plan, *count_plan):
        if step.startswith("SCAN") and not step.startswith(merged) and "json_each" not in step:
            assert name == "everything"
            assert "INDEX executions_by_start" in step
    assert name in SORTED or not any("TEMP B-TREE" in step for step in plan)


def test_who_has_a_tag_and_a_status_is_counted_without_the_executions_themselves(store: SqliteStore) -> None:
    create(store, "deploy-1", tags=("x", "y"))
    connection = library.connect(store.path)
    sql, values = counted(Query(tag=("x", "y"), status=("running",)), 10_000, DIALECT, Lead("x"))
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    assert connection.execute(sql, values).fetchone() == (1,)
    connection.close()
    [of_executions] = [step for step in plan if step.startswith("SEARCH e ")]
    assert "COVERING INDEX executions_by_status" in of_executions


def test_summaries_that_advance_leave_the_indexes_alone(store: SqliteStore) -> None:
    entries = log("deploy-1", 3)
    create(store, "deploy-1", MINE)
    statements: list[str] = []
    assert store._events.connection is not None
    store._events.connection.set_trace_callback(statements.append)
    store.append("deploy-1", 1, entries[1:2], summary("deploy-1", entries[:2], current=("x",)), fence=MINE)
    [update] = [s for s in statements if s.startswith("UPDATE")]
    assert "status" not in update
    # A deferred BEGIN takes the lock only after it has read, and then too late.
    assert statements[0] == "BEGIN IMMEDIATE"
    statements.clear()
    store.append("deploy-1", 2, entries[2:], summary("deploy-1", entries, status="failed"), fence=MINE)
    assert any("status" in s for s in statements)


# Creating and migrating

WRITER = """
import sys
from cerebelum.backends.conformance.kit import create
from cerebelum.backends.sqlite import open_store
store = open_store(sys.argv[1])
sys.stdin.readline()
create(store, sys.argv[2])
store.close()
"""


def test_eight_processes_may_create_a_store_at_the_same_instant(path: Path, store: SqliteStore) -> None:
    writers = [python(WRITER, f"sqlite:///{path}", f"deploy-{number}") for number in range(8)]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("now\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0] * 8
    assert len(store.find(Query()).rows) == 8
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def old_store(path: Path, schema: Path) -> Path:
    """A store as an earlier release left it, with an execution of then."""
    path.parent.mkdir(exist_ok=True)
    connection = library.connect(path)
    connection.executescript(f"PRAGMA journal_mode = WAL; {schema.read_text()}")
    connection.execute("INSERT INTO events VALUES ('old-1', 1, 'ExecutionStarted', 0, '{}', '')")
    values = "'old-1', 'old', 'completed', NULL, 1, '', 0, 0, 0, NULL, '[]', NULL, NULL, 1, 1, '[]', NULL, 1"
    connection.execute(f"INSERT INTO executions VALUES ({values})")
    connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.stem)
def test_an_older_store_becomes_a_fresh_one_by_migrating(tmp_path: Path, store: SqliteStore, schema: Path) -> None:
    create(store, "deploy-1")
    store.close()
    old = old_store(tmp_path / "old.db", schema)
    migrated = open_store(f"sqlite:///{old}")
    create(migrated, "deploy-1")
    assert sorted(row.summary.execution_id for row in migrated.find(Query()).rows) == ["deploy-1", "old-1"]
    migrated.close()
    assert tables(old) == tables(Path(store.path))


def test_an_older_store_is_read_as_it_is_and_migrated_by_whoever_writes_first(path: Path, store: SqliteStore) -> None:
    old_store(path, SCHEMAS[0])
    before = tables(path)
    assert [row.summary.execution_id for row in store.find(Query(count_to=9)).rows] == ["old-1"]
    assert len(store.read("old-1")) == 1
    assert store.tombstones() == store.tombstones("old-1") == []
    assert store.claims() == store.claims("production") == []
    assert (store.totals().events, store.totals().tombstones) == (1, 0)
    assert list(store.check()) == []
    assert store.describe().schema_version == 1
    assert tables(path) == before
    [row] = store.find(Query()).rows
    assert store.own("old-1", None, row.ownership) is not None
    assert store.describe().schema_version == 3
    assert tables(path) != before
    store.prune(tombstone_of(store, "old-1"))
    assert [each.execution_id for each in store.tombstones()] == ["old-1"]


def test_it_tells_which_executions_were_appended_to_unless_rows_were_numbered_anew(
    path: Path, store: SqliteStore
) -> None:
    nothing = store.appended(None)
    assert nothing == store.appended("") == Appended("", ())
    for name in ("a", "b", "c"):
        create(store, name)
    begun = store.appended("")
    assert begun is not None
    assert begun.executions == ("a", "b", "c")
    push(store, "a", 2)
    some = store.appended(begun.mark)
    assert some is not None
    assert some.executions == ("a",)
    # Of others, what is not at the end may go.
    store.prune(tombstone_of(store, "b"))
    assert store.appended(some.mark) == Appended(some.mark, ())
    connection = library.connect(path)
    connection.execute("VACUUM")
    connection.close()
    push(store, "c", 1)
    after = store.appended(some.mark)
    assert after is not None
    assert after.executions in (None, ("c",))
    store.prune(tombstone_of(store, "c"))
    gone = store.appended(after.mark)
    assert gone is not None
    assert gone.executions is None


def test_after_very_many_events_it_may_have_been_any_execution(store: SqliteStore) -> None:
    create(store, "a")
    mark = store.appended(None)
    assert mark is not None
    store.restore([whole("b", 10_001)])
    told = store.appended(mark.mark)
    assert told is not None
    assert told.executions is None


def test_eight_processes_may_migrate_a_store_at_the_same_instant(path: Path, store: SqliteStore) -> None:
    old_store(path, SCHEMAS[0])
    writers = [python(WRITER, f"sqlite:///{path}", f"deploy-{number}") for number in range(8)]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("now\n")
        writer.stdin.flush()
    assert [(writer.communicate()[0], writer.returncode) for writer in writers] == [("", 0)] * 8
    assert len(store.find(Query()).rows) == 9
    connection = library.connect(path)
    names = connection.execute("SELECT name FROM _sqlite_migrations ORDER BY name").fetchall()
    connection.close()
    assert names == [("m001_initial",), ("m002_tombstones",), ("m003_claims",)]


KILLED_MIGRATING = """
import os, sys
from cerebelum.backends.conformance.kit import create
from cerebelum.backends.sqlite import file, open_store
steps = int(sys.argv[2])
def count(statement):
    global steps
    steps -= 1
    if steps == 0:
        os.kill(os.getpid(), 9)
opened = file._open
def watched(*arguments):
    connection = opened(*arguments)
    connection.set_trace_callback(count)
    return connection
file._open = watched
create(open_store(sys.argv[1]), "deploy-1")
"""


def test_whoever_is_killed_while_migrating_leaves_the_old_store_or_the_new_one(path: Path, store: SqliteStore) -> None:
    create(store, "deploy-1")
    store.close()
    new = tables(path)
    seen = set()
    for steps in range(1, 100):
        old = old_store(path.with_name(f"old-{steps}.db"), SCHEMAS[0])
        before = tables(old)
        killed = python(KILLED_MIGRATING, f"sqlite:///{old}", steps)
        killed.communicate()
        if killed.returncode == 0:
            break
        assert tables(old) in (before, new)
        seen.add(tables(old) == new)
        after = open_store(f"sqlite:///{old}")
        after.write_log("old-1", [Chunk("build", 1, 0, "stdout", START, b"x")])
        after.close()
        assert tables(old) == new
    assert seen == {False, True}


def test_a_newer_store_is_refused_and_both_versions_are_named(store: SqliteStore) -> None:
    create(store, "deploy-1")
    store.close()
    connection = sqlite3.connect(store.path)
    connection.execute("PRAGMA user_version = 77")
    connection.close()
    newer = SqliteStore(store.path)
    with pytest.raises(StoreError, match=r"schema version 77; cerebelum \S+ knows versions up to 3"):
        newer.find(Query())
    with pytest.raises(StoreError, match="newer"):
        create(newer, "deploy-2")


def test_an_empty_file_becomes_a_store(path: Path, store: SqliteStore) -> None:
    path.parent.mkdir()
    path.touch()
    assert store.find(Query()).rows == []
    create(store, "deploy-1")
    assert len(store.find(Query()).rows) == 1


# Starting quickly

IMPORTS = """
import sys
from cerebelum.backends.sqlite import open_store
from cerebelum.store import Query
store = open_store(sys.argv[1])
[row] = store.find(Query()).rows
store.own(row.summary.execution_id, "runner-1", row.ownership)
store.close()
heavy = {"sqlite_utils", "asyncio", "importlib.metadata", "yaml", "rich", "pytest", "uuid", "subprocess"}
print(sorted(heavy & set(sys.modules) - set(sys.argv[2].split())))
"""


def test_an_existing_store_is_used_without_heavy_imports(store: SqliteStore) -> None:
    create(store, "deploy-1")
    # What msgspec brings along is not ours to save.
    brought = python("import sys, msgspec; print(*sys.modules)").communicate()[0]
    assert python(IMPORTS, f"sqlite:///{store.path}", brought).communicate()[0] == "[]\n"


NEW = """
import sys
from cerebelum.backends.conformance.kit import create
from cerebelum.backends.sqlite import open_memory, open_store
for store in (open_store(sys.argv[1]), open_memory("memory:")):
    create(store, "deploy-1")
    store.close()
print(sorted({"sqlite_utils", "dateutil"} & set(sys.modules)))
"""


def test_a_new_store_is_made_without_heavy_imports(path: Path) -> None:
    assert python(NEW, f"sqlite:///{path}").communicate()[0] == "[]\n"
    assert path.exists()


OTHER_LIBRARY = """
import sys
sys.modules["pysqlite3"] = None
from cerebelum.backends.conformance.kit import create
from cerebelum.backends.sqlite import open_store, library_name
store = open_store(sys.argv[1])
create(store, "deploy-1", tags=("x",))
print(library_name(), len(store.read("deploy-1")))
store.close()
"""


def test_a_store_works_with_the_sqlite_of_the_interpreter(store: SqliteStore) -> None:
    if sqlite3.sqlite_version_info < (3, 38):
        pytest.skip(f"SQLite {sqlite3.sqlite_version} of this Python is too old")
    assert python(OTHER_LIBRARY, f"sqlite:///{store.path}").communicate()[0] == "sqlite3 1\n"
    assert len(store.read("deploy-1")) == 1


def test_an_sqlite_that_can_damage_a_store_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "sqlite_version_info", (3, 51, 2))
    assert "3.51.3" in "".join(warnings())
    monkeypatch.setattr(library, "sqlite_version_info", (3, 51, 3))
    assert warnings() == []


def test_an_sqlite_that_is_too_old_is_refused(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "sqlite_version_info", (3, 26, 0))
    with pytest.raises(StoreError, match=r"too old, 3\.38\.0 is needed"):
        create(store, "deploy-1")


def test_doctor_is_told_about_library_and_file(store: SqliteStore) -> None:
    create(store, "deploy-1")
    told = store.describe()
    assert (told.kind, told.where, told.path) == ("SQLite", f"sqlite:///{store.path}", store.path)
    assert told.library is not None
    assert library.sqlite_version in told.library
    assert (told.exists, told.schema_version, told.known_schema_version) == (True, 3, 3)
    assert told.size is not None
    assert told.size > 4096


def test_many_executions_are_remembered_in_bounded_memory() -> None:
    written = Written()
    summaries = [summary(f"deploy-{number}", log(f"deploy-{number}", 1)) for number in range(3000)]
    for each in summaries:
        written.remember(each)
    assert written.covers(summaries[-1], 1)
    assert sum(written.covers(each, 1) for each in summaries) <= 1000
    written.forget("deploy-2999")
    assert not written.covers(summaries[-1], 1)


def test_times_far_away_are_stored_exactly(store: SqliteStore) -> None:
    far = START.replace(year=9999, microsecond=999_999)
    create(store, "deploy-1", due_at=far, started_at=far - timedelta(microseconds=1))
    found = store.find(Query()).rows[0].summary
    assert (found.due_at, found.started_at) == (far, far - timedelta(microseconds=1))
