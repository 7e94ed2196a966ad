"""The roles of docs/postgres.md, exactly as the page has them: what each may do, and may not."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from docs.generate import ROOT, blocks
from tests.examples.program import in_folder
from tests.servers.postgres import NAME, Postgres

FLOW = """
name: flow
steps:
  - {id: a, run: echo a | tee -a effects}
  - {id: b, run: echo b >> effects; test -e mended}
  - {id: d, approval: {message: go on?}}
on_success:
  - {id: e, run: echo e >> effects}
"""
PASSWORDS = {"owner": "one-for-upgrades", "runner": "one-for-agents", "reader": "one-for-looking"}


def statements() -> list[str]:
    """The blocks of SQL: as superuser, as owner, more for pruning, and a reader."""
    page = (ROOT / "docs" / "postgres.md").read_text()
    found = [block.text for block in blocks(page) if block.language == "sql"]
    assert len(found) == 4
    return found


def execute(url: str, text: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text.encode())


class Agents:
    """The program under the names of the roles, with passwords in a file."""

    def __init__(self, server: Postgres, folder: Path) -> None:
        self.server = server
        self.program = in_folder(folder)
        passwords = folder / "passwords"
        passwords.write_text("".join(f"*:*:*:cerebelum_{role}:{word}\n" for role, word in PASSWORDS.items()))
        passwords.chmod(0o600)
        self.program.env["PGPASSFILE"] = str(passwords)
        (self.program.folder / "flow.yaml").write_text(FLOW)

    def url(self, role: str) -> str:
        return f"postgresql://cerebelum_{role}@127.0.0.1:{self.server.port}/{NAME}"

    def direct(self, role: str) -> str:
        return self.url(role).replace("@", f":{PASSWORDS[role]}@")

    def __call__(self, role: str, *arguments: str, code: int = 0) -> str:
        return self.program(*arguments, "--store", self.url(role), code=code).text


@pytest.fixture
def agents(own_server: Postgres, tmp_path: Path) -> Agents:
    """A store that the owner has made, with the rights of the page."""
    agents = Agents(own_server, tmp_path)
    first, granted, _, reading = statements()
    execute(own_server.admin, first)
    (agents.program.folder / "any.yaml").write_text("name: any\nsteps: [{id: a, run: echo a}]\n")
    agents("owner", "run", "any.yaml", "--id", "any-1")
    execute(agents.direct("owner"), granted)
    role, *grants = reading.splitlines()
    execute(own_server.admin, role)
    execute(agents.direct("owner"), "\n".join(grants))
    return agents


def test_a_runner_does_everything_but_prune_and_migrate(agents: Agents) -> None:
    agents("runner", "run", "flow.yaml", "--id", "flow-1", "--tag", "x", "--lock", "flow", code=1)
    (agents.program.folder / "mended").touch()
    agents("runner", "resume", "flow-1", "--park", code=75)
    agents("runner", "approve", "flow-1")
    agents("runner", "supervise", "--once")
    assert (agents.program.folder / "effects").read_text().split() == ["a", "b", "b", "e"]
    assert "completed" in agents("runner", "status", "flow-1")
    assert "flow-1" in agents("runner", "list", "--tag", "x")
    agents("runner", "fork", "flow-1", "--from", "a", "--id", "flow-2", "--park", code=75)
    agents("runner", "cancel", "flow-2")
    agents("runner", "store", "verify")
    agents("runner", "doctor")
    said = agents("runner", "store", "prune", "--older-than", "0s", "--yes", code=74)
    assert "has not the right" in said
    assert "docs/postgres.md" in said
    assert "completed" in agents("runner", "status", "flow-1")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cerebelum.events SET data = '{}'",
        "DELETE FROM cerebelum.events",
        "TRUNCATE cerebelum.events",
        "DELETE FROM cerebelum.executions",
        "UPDATE cerebelum.store SET schema_version = 99",
        "ALTER TABLE cerebelum.events DISABLE TRIGGER ALL",
        "DROP SCHEMA cerebelum CASCADE",
        "CREATE TABLE cerebelum.mine (id integer)",
    ],
)
def test_a_runner_cannot_change_what_was_recorded(agents: Agents, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(agents.direct("runner"), statement)


def test_whoever_is_granted_that_prunes(agents: Agents) -> None:
    execute(agents.direct("owner"), statements()[2])
    agents("runner", "store", "prune", "--older-than", "0s", "--yes")
    assert "pruned" in agents("runner", "status", "any-1", code=3)
    # The triggers stand also against one who may delete.
    agents("runner", "run", "any.yaml", "--id", "any-2")
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        execute(agents.direct("runner"), "DELETE FROM cerebelum.events")


def test_a_reader_looks_and_writes_nothing(agents: Agents) -> None:
    assert "any-1" in agents("reader", "list")
    assert "completed" in agents("reader", "status", "any-1")
    assert "a" in agents("reader", "logs", "any-1")
    agents("reader", "history", "any-1")
    agents("reader", "store", "verify")
    agents("reader", "store", "backup", "kept.db")
    said = agents("reader", "run", "any.yaml", "--id", "any-2", code=74)
    assert "has not the right" in said
    assert "any-2" not in agents("owner", "list")


def test_each_right_of_a_runner_is_needed(agents: Agents) -> None:
    """Without any one of them, running, failing, resuming and approving does not go through."""

    def goes_through(name: str) -> bool:
        (agents.program.folder / "mended").unlink(missing_ok=True)
        url = ("--store", agents.url("runner"))
        program = agents.program
        if program("run", "flow.yaml", "--id", name, "--tag", "x", "--lock", name, *url, code=None).code != 1:
            return False
        (program.folder / "mended").touch()
        return (
            program("resume", name, "--park", *url, code=None).code == 75
            and program("approve", name, *url, code=None).code == 0
            and program("supervise", "--once", *url, code=None).code == 0
            and "completed" in program("status", name, *url).out
        )

    # What is dropped from the output of a step, and a process that is noted twice, is too rare to be tried here; a tag
    # goes when the summary's start does, which is never.
    rare = {("DELETE", "tags"), ("DELETE", "log_chunks"), ("UPDATE", "processes")}
    tried = 0
    for line in statements()[1].splitlines():
        rights, _, tables = line.removeprefix("GRANT ").partition(" ON ")
        for right in rights.split(", "):
            for table in tables.partition(" TO ")[0].split(", "):
                if (right, table.removeprefix("cerebelum.")) in rare:
                    continue
                tried += 1
                execute(agents.direct("owner"), f"REVOKE {right} ON {table} FROM cerebelum_runner")
                assert not goes_through(f"without-{tried}"), f"{right} on {table}"
                execute(agents.direct("owner"), f"GRANT {right} ON {table} TO cerebelum_runner")
    assert tried > 9
    assert goes_through("with-all")


def test_what_libpq_knows_passes_through(agents: Agents, tmp_path: Path) -> None:
    service = tmp_path / "services"
    service.write_text(f"[deploys]\nhost=127.0.0.1\nport={agents.server.port}\nuser=cerebelum_reader\ndbname={NAME}\n")
    agents.program.env["PGSERVICEFILE"] = str(service)
    assert "any-1" in agents.program("list", "--store", "postgresql:///?service=deploys").out
    several = agents.url("reader").replace("@127.0.0.1:", "@127.0.0.1:9,127.0.0.1:")
    assert "any-1" in agents.program("list", "--store", f"{several}?target_session_attrs=read-write").out
    passfile = agents.program.env.pop("PGPASSFILE")
    assert "any-1" in agents.program("list", "--store", f"{agents.url('reader')}?passfile={passfile}").out
    shown = agents.program("store", "info", "--store", agents.direct("reader")).text
    assert urlsplit(agents.url("reader")).netloc in shown
    assert PASSWORDS["reader"] not in shown
    refused = agents.program("list", "--store", agents.direct("reader").replace("looking", "nothing"), code=74)
    assert "one-for-nothing" not in refused.text
    assert os.fspath(passfile) not in refused.text


def test_a_runner_submits_and_works_with_the_rights_of_the_page_on_pools(agents: Agents) -> None:
    agents("owner", "worker", "--queue", "build", "--once")
    granted = [b.text for b in blocks((ROOT / "docs" / "pool.md").read_text()) if b.language == "sql"]
    assert len(granted) == 2
    execute(agents.direct("owner"), "".join(granted))
    agents("runner", "submit", "any.yaml", "--queue", "build", "--id", "pool-1")
    agents("runner", "worker", "--queue", "build", "--once")
    assert "completed" in agents("reader", "status", "pool-1")
    assert "no queues and no workers" in agents("reader", "worker", "list")
