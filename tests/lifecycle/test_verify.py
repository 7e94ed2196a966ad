"""`store verify` finds what was changed behind our back, and names the execution and the version."""

import json
from typing import Any

import psycopg
import pytest

from cerebelum.backends.postgres.schema import literally
from cerebelum.backends.sqlite.library import sqlite3
from cerebelum.store.verify import verify
from tests.lifecycle.world import World
from tests.servers.postgres import schema_of, without_schema
from tests.stores import only_sqlite

FLOW = "steps: [{id: a, run: 'true'}, {id: b, run: 'true'}]"


def tamper(world: World, *statements: str) -> None:
    """What somebody with a shell of the database could do."""
    world.client.close()
    if world.url.startswith("postgresql:"):
        with psycopg.connect(without_schema(world.url), options=f"-c search_path={schema_of(world.url)}") as server:
            server.execute("alter table events disable trigger user")
            for statement in statements:
                assert server.execute(literally(statement)).rowcount > 0, statement
        return
    connection = sqlite3.connect(world.store)
    try:
        for (name,) in connection.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            connection.execute(f"drop trigger {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount > 0, statement
        connection.commit()
    finally:
        connection.close()


def test_a_sound_store_verifies(world: World) -> None:
    world.run(FLOW)
    world.run("steps: [{id: go, approval: {message: m}}]", "--park", name="y")
    done = world("store", "verify")
    assert done.code == 0
    assert "2 executions" in done.out
    found = world("store", "verify", "x", "--json").json()
    assert (found["executions"], found["ok"], found["flaws"]) == (1, True, [])
    assert found["events"] == len(world.events())
    assert world("store", "verify", "nope").code == 3


def test_an_empty_store_verifies(world: World) -> None:
    assert world("store", "verify").code == 0


WRONGS = {
    "a text": ("update events set data = replace(data, '\"attempt\":1', '\"attempt\":2') where {x} and version = 3", 3),
    "a digest": ("update events set digest = '" + "0" * 64 + "' where {x} and version = 2", 2),
    "a gap": ("delete from events where {x} and version = 3", 3),
    "the beginning": ("delete from events where {x} and version = 1", 1),
    "the tail": ("delete from events where {x} and version >= 6", 6),
    "everything": ("delete from events where {x}", 1),
    "a type": ("update events set type = 'StepSkipped' where {x} and version = 4", 4),
    "nonsense": ("update events set data = 'nonsense' where {x} and version = 5", 5),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_damage_is_found_and_placed(world: World, wrong: str) -> None:
    world.run(FLOW)
    world.run(FLOW, name="y")
    statement, where = WRONGS[wrong]
    tamper(world, statement.format(x="execution_id = 'x'"))
    done = world("store", "verify")
    assert done.code == 1, done
    assert f"x version {where}" in done.out
    assert "1 damaged" in done.out
    found = world("store", "verify", "--json")
    assert found.code == 1
    (flaw,) = found.json()["flaws"]
    assert (flaw["execution_id"], flaw["version"]) == ("x", where)
    assert flaw["message"]
    assert found.json()["ok"] is False
    assert world("store", "verify", "y").code == 0
    assert world("store", "verify", "x").code == 1


@pytest.mark.parametrize("change", ["status = 'failed'", "workflow = 'other'", "steps_done = 0"])
def test_a_summary_that_is_not_what_the_events_add_up_to_is_found(world: World, change: str) -> None:
    world.run(FLOW)
    tamper(world, f"update executions set {change} where id = 'x'")
    done = world("store", "verify")
    assert done.code == 1, done
    assert f"the summary's {change.partition(' ')[0]}" in done.out


@only_sqlite
def test_a_log_that_lost_its_end_is_sound_in_itself_and_found_by_its_head(world: World) -> None:
    """As when the -wal file is cut off after a crash: what is left is an earlier state of the store."""
    world.run(FLOW)
    world.client.close()
    connection = sqlite3.connect(world.store)
    connection.execute("pragma wal_checkpoint(truncate)").fetchall()
    connection.close()
    before = world.store.read_bytes()
    world.run("steps: [{id: z, run: 'true'}]", name="y")
    world.run("steps: [{id: z, run: 'true'}]", name="w")
    for verb in (["list"], ["status", "y"], ["history", "y"]):
        (world.folder / f"{verb[0]}.json").write_text(world(*verb, "--json").out)
    whole = world("store", "verify", "--heads", "list.json")
    assert (whole.code, whole.out) == (0, "3 executions, 14 events: all sound\n"), whole
    world.client.close()
    for suffix in ("-wal", "-shm"):
        world.store.with_name(world.store.name + suffix).unlink(missing_ok=True)
    world.store.write_bytes(before)
    assert world("store", "verify").code == 0, "nothing inside the store can tell"
    for name in ("list", "status", "history"):
        found = world("store", "verify", "--heads", f"{name}.json")
        assert (found.code, "y version " in found.out) == (1, True), found
        assert "it is not there; its log had 4 events" in found.out
    piped = world("store", "verify", "--heads", "-", "--json", stdin=(world.folder / "list.json").read_text())
    assert {flaw["execution_id"] for flaw in piped.json()["flaws"]} == {"w", "y"}


def test_a_log_that_was_cut_or_replaced_differs_from_its_head_and_one_that_grew_does_not(world: World) -> None:
    world.run("steps: [{id: go, approval: {message: m}}, {id: b, run: 'true'}]", "--park")
    early = world("status", "x", "--json").out
    world.write("early.json", early)
    assert world("approve", "x").code == 0
    assert world("resume", "x").code == 0
    assert world("store", "verify", "x", "--heads", "early.json").code == 0
    world.write("late.json", early + world("status", "x", "--json").out)
    version = world.state().version
    other = world("status", "x", "--json").json() | {"digest": "0" * 64}
    world.write("other.json", json.dumps([other]))
    found = world("store", "verify", "--heads", "other.json")
    assert (found.code, f"x version {version}: it is not the log that it was" in found.out) == (1, True)
    assert world("store", "verify", "--heads", "late.json").code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no head in it"),
        ("{}\n[1", "heads:2: what begins here is not JSON"),
        ("{}", "there is no head in it"),
    ],
)
def test_a_file_without_heads_is_refused(world: World, text: str, said: str) -> None:
    world.run(FLOW)
    world.write("heads", text)
    refused = world("store", "verify", "--heads", "heads")
    assert (refused.code, said in refused.err) == (2, True), refused
    assert world("store", "verify", "--heads", "nowhere").code == 2


def test_a_log_that_grows_while_it_is_looked_at_is_not_taken_for_damaged(world: World) -> None:
    world.run("steps: [{id: go, approval: {message: m}}]", "--park")

    class Busy:
        """The store, in which somebody approves between two looks."""

        def __getattr__(self, name: str) -> Any:
            return getattr(world.client.store, name)

        def read(self, execution_id: str, after: int = 0) -> Any:
            world("approve", "x")
            return world.client.store.read(execution_id, after)

    [verified] = verify(Busy())
    assert verified.flaws == ()
