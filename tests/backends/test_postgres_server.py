"""What is asked of a server, and what its refusals come to: no password in a message, no acknowledgement too early."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg import sql

from cerebelum.backends.conformance.kit import log, summary
from cerebelum.backends.postgres import open_store
from cerebelum.backends.postgres.address import parse
from cerebelum.core.errors import StoreError, UsageError
from cerebelum.store import EventStore
from tests.backends.shared import admin
from tests.servers.postgres import Postgres, without_schema

# Who may read what


SECRET = "hush-hush/1@x"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hush-hush%2F1%40x@127.0.0.1:1/db",
        "postgresql://me@127.0.0.1:1/db?password=hush-hush%2F1%40x",
        "postgresql://me:hush-hush%2F1%40x@127.0.0.1:1/db?nonsense=1",
        "postgresql://me:hush-hush%2F1%40x@127.0.0.1:port/db",
        "postgresql://me:hush-hush/1@x@127.0.0.1:1/db",
        "postgresql://me:hush-hush%2F1%40x@[::1/db",
        "postgres://me:hush-hush%2F1%40x@127.0.0.1:1,127.0.0.1:2/db?connect_timeout=1",
    ],
)
def test_no_error_has_a_password_in_it(url: str) -> None:
    with pytest.raises((StoreError, UsageError)) as caught:
        open_store(url).read("x")
    for text in (caught.value.text(), repr(caught.value), str(caught.value.__cause__)):
        for form in (SECRET, "hush-hush"):
            assert form not in text


def test_a_wrong_password_a_missing_database_and_a_missing_right_are_said(postgres_url: str) -> None:
    address = parse(postgres_url)
    plain = f"postgresql://{{}}@{address.parameters['host']}:{address.parameters['port']}/{{}}?schema=x"
    user, password = address.parameters["user"], address.parameters["password"]
    with pytest.raises(StoreError, match="refuses this user or password") as caught:
        open_store(plain.format(f"{user}:{quote(SECRET, safe='')}", "postgres")).read("x")
    assert SECRET not in caught.value.text()
    with pytest.raises(StoreError, match="refuses this user"):
        open_store(plain.format("nobody-we-know:x", "postgres")).read("x")
    with pytest.raises(StoreError, match="no such database") as caught:
        open_store(plain.format(f"{user}:{quote(password, safe='')}", "nowhere")).read("x")
    assert "createdb" in (caught.value.hint or "")
    assert password not in caught.value.text()


def test_a_database_that_is_not_utf8_is_refused(own_server: Postgres) -> None:
    with admin(own_server.admin) as connection:
        connection.execute("CREATE DATABASE old ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    url = without_schema(own_server.url).rpartition("/")[0] + "/old"
    with pytest.raises(StoreError, match="encoded as LATIN1"):
        open_store(url).read("x")


def test_what_is_acknowledged_is_on_the_disk_whatever_the_database_says(
    own_server: Postgres, opened: Callable[[str], EventStore]
) -> None:
    with admin(own_server.admin) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_commit = off")
        connection.execute("SELECT pg_reload_conf()")
    store = opened(own_server.url)
    entries = log("deploy-1", 30)
    for at in range(30):
        store.append("deploy-1", at, [entries[at]], summary("deploy-1", entries[: at + 1]))
    own_server.kill()
    own_server.restart()
    assert store.read("deploy-1") == entries
    assert store.describe().warnings == ()


SELF_SIGNED = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost")


@pytest.mark.needs_tool("openssl")
def test_what_tls_asks_for_is_passed_on(
    own_server: Postgres, opened: Callable[[str], EventStore], tmp_path: Path
) -> None:
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    subprocess.run(
        [*SELF_SIGNED, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    with admin(own_server.admin) as connection:
        for name, path in (("ssl_cert_file", certificate), ("ssl_key_file", key)):
            # The server runs as another user, and takes no key that others can read.
            place = own_server.data / path.name
            place.write_bytes(path.read_bytes())
            os.chown(place, own_server.data.stat().st_uid, own_server.data.stat().st_gid)
            place.chmod(0o600)
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.SQL(name), sql.Literal(path.name)))
        connection.execute("ALTER SYSTEM SET ssl = on")
        connection.execute("SELECT pg_reload_conf()")
    mark = "&" if "?" in own_server.url else "?"
    told = opened(f"{own_server.url}{mark}sslmode=verify-full&sslrootcert={certificate}").describe()
    assert told.details["encrypted"] is True
    assert opened(f"{own_server.url}{mark}sslmode=disable").describe().details["encrypted"] is False
    other = tmp_path / "other.crt"
    subprocess.run([*SELF_SIGNED, "-keyout", "/dev/null", "-out", other], check=True, capture_output=True)
    with pytest.raises(StoreError, match="certificate"):
        opened(f"{own_server.url}{mark}sslmode=verify-full&sslrootcert={other}").read("x")
