"""The servers that other tests rely on: really there, really apart, really killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.servers import keeper
from tests.servers.fixtures import drop
from tests.servers.postgres import NOBODY, Postgres, programs, schema_of, with_schema, without_schema


def connect(url: str) -> psycopg.Connection:
    return psycopg.connect(without_schema(url), autocommit=True, connect_timeout=10)


def one(connection: psycopg.Connection, sql: str) -> object:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return row[0]


def test_the_user_of_the_tests_is_no_superuser_and_may_make_schemas(postgres_url: str) -> None:
    schema = schema_of(postgres_url)
    with connect(postgres_url) as connection:
        assert one(connection, "SHOW is_superuser") == "off"
        assert one(connection, "SHOW server_encoding") == "UTF8"
        assert one(connection, "SHOW fsync") == "on"
        connection.execute(f"CREATE SCHEMA {schema}")
        connection.execute(f"CREATE TABLE {schema}.t (x text)")


def test_a_wrong_password_is_refused(postgres_url: str) -> None:
    user, _, rest = postgres_url.partition("@")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(f"{user}x@{rest}")


def test_a_schema_is_dropped_although_a_session_holds_on_to_it(postgres_url: str) -> None:
    admin = keeper.ask("postgres").admin
    with connect(postgres_url) as holding:
        holding.execute("CREATE SCHEMA t_held")
        holding.execute("CREATE TABLE t_held.t (x text)")
        holding.autocommit = False
        holding.execute("SELECT * FROM t_held.t")
        drop(admin, "t_held")
        with pytest.raises(psycopg.OperationalError, match="terminating connection"):
            holding.execute("SELECT 1")
    with connect(postgres_url) as connection:
        assert one(connection, "SELECT count(*) FROM pg_namespace WHERE nspname = 't_held'") == 0


def test_pgbouncer_gives_a_session_away_between_two_transactions(pgbouncer_url: str) -> None:
    with connect(pgbouncer_url) as first, connect(pgbouncer_url) as second:
        first.execute("SET search_path TO mine")
        assert one(second, "SHOW search_path") == "mine"


def test_a_killed_server_keeps_what_it_has_committed(own_server: Postgres) -> None:
    with connect(own_server.url) as connection:
        connection.execute("CREATE TABLE t (x int)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.autocommit = False
        connection.execute("INSERT INTO t VALUES (2)")
        own_server.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="refused"):
        connect(own_server.url)
    own_server.start()
    with connect(own_server.url) as connection:
        assert connection.execute("SELECT x FROM t").fetchall() == [(1,)]
        own_server.restart()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    connect(own_server.url).close()


def test_a_frozen_server_goes_on_where_it_was(own_server: Postgres) -> None:
    with connect(own_server.url) as connection:
        own_server.freeze()
        with pytest.raises(psycopg.OperationalError, match="timeout"):
            psycopg.connect(own_server.url, connect_timeout=2)
        own_server.thaw()
        assert one(connection, "SELECT 1") == 1


ASKS = """
import signal, sys
from tests.servers import keeper
kept = keeper.start()
print(keeper.os.environ[keeper.FOLDER], kept.pid, keeper.ask("postgres").url, flush=True)
sys.stdin.read()
"""


def test_the_servers_of_a_run_that_is_killed_end_with_it() -> None:
    environ = {k: v for k, v in os.environ.items() if k != keeper.FOLDER}
    if "://" in environ.get("CEREBELUM_TEST_POSTGRES", "") or programs() is None:
        pytest.skip("no server of our own is run here")
    run = subprocess.Popen([sys.executable, "-c", ASKS], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert run.stdout is not None
    assert run.stdin is not None
    folder, pid, url = run.stdout.readline().decode().split()
    postmaster = int((Path(folder) / "postgres/data/postmaster.pid").read_text().split()[0])
    if os.getuid() == 0:
        assert Path(f"/proc/{postmaster}").stat().st_uid == NOBODY
    left = subprocess.Popen(
        [sys.executable, "-c", LEAVES], env={**environ, keeper.FOLDER: folder}, stdout=subprocess.PIPE
    )
    said, _ = left.communicate(timeout=30)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    # The keeper is a child of ours now: the one that started it is gone.
    os.waitpid(int(pid), 0)
    for each in (url, said.decode().strip()):
        with pytest.raises(psycopg.OperationalError, match="refused"):
            connect(each)
    assert not Path(folder).exists()


LEAVES = """
import os
from pathlib import Path
from tests.servers import keeper
from tests.servers.postgres import Postgres, programs
server = Postgres(Path(os.environ[keeper.FOLDER]) / "own-left", programs())
server.start()
server.freeze()
print(server.url)
"""


def test_a_url_with_a_schema_keeps_what_else_is_in_it() -> None:
    assert with_schema("postgresql://h/d", "s") == "postgresql://h/d?schema=s"
    assert with_schema("postgresql://h/d?sslmode=disable", "s") == "postgresql://h/d?sslmode=disable&schema=s"


def test_binaries_that_nobody_can_reach_are_copied(tmp_path: Path) -> None:
    binaries = programs()
    if os.getuid() != 0 or binaries is None:
        pytest.skip("only root runs servers as somebody else")
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    shutil.copytree(binaries.parent, hidden / "there", symlinks=True)
    if not (hidden / "there/share").exists() and not (hidden / "there/lib").exists():
        pytest.skip("these binaries do not work elsewhere")
    folder = tmp_path / "folder"
    folder.mkdir()
    server = Postgres(folder / "server", hidden / "there/bin")
    assert server._programs == folder / "programs/bin"
    assert subprocess.run([server._programs / "postgres", "--version"], check=True, capture_output=True).stdout
