"""`store info`, `heads`, `verify` and `prune`: what is in a store, and what is removed is gone, but not forgotten."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cerebelum.backends.sqlite.library import sqlite3
from cerebelum.engine.ownership import Registration
from cerebelum.host.clock import SystemClock
from cerebelum.store import Chunk, Query, every, every_tombstone
from cerebelum.store.pruning import Rule, prune
from tests.cli.conftest import Done
from tests.cli.screens import Window
from tests.cli.stores import content, opened, rows
from tests.executions import START, fill
from tests.lifecycle.world import World, finish, wait_until
from tests.stores import is_there, only_sqlite

OK = "steps: [{id: a, run: echo a}]"
FAILS = "steps: [{id: a, run: echo a}, {id: b, run: test -e mended}]"
ASKS = "steps: [{id: go, approval: {message: m}}]"


def pruned(world: World, *arguments: str) -> Done:
    return world("store", "prune", "--older-than", "0", *arguments)


def names(place: Path | str) -> list[str]:
    return sorted(row.summary.execution_id for row in rows(place))


# --- looking ---------------------------------------------------------------------------------------------------------


def test_info_tells_what_is_there(world: World) -> None:
    nothing = world("store", "info", "--json")
    assert (nothing.code, nothing.json()["exists"], nothing.json()["executions"]) == (0, False, {})
    assert "not created yet" in world("store", "info").out
    assert not is_there(world.url)
    world.run(OK)
    world.run(FAILS, name="y")
    pruned(world, "--status", "completed", "--yes")
    told = world("store", "info", "--json").json()
    assert told["schema_version"] == told["known_schema_version"]
    assert (told["executions"], told["tombstones"]) == ({"failed": 1}, 1)
    assert told["events"] == len(world.events("y"))
    assert told["log_bytes"] == 2
    assert told["oldest"] == told["newest"]
    assert told["size"] > 0
    text = world("store", "info").out
    for part in ("1: 1 failed", told["kind"], told["library"], told["where"]):
        assert part in text


@only_sqlite
def test_info_names_the_file_and_its_free_space(world: World) -> None:
    world.run(OK)
    told = world("store", "info", "--json").json()
    assert (told["kind"], told["server"], told["where"]) == ("SQLite", None, f"sqlite:///{world.store}")
    assert told["size"] >= world.store.stat().st_size
    assert told["details"]["free_bytes"] == 0
    assert "free " in world("store", "info").out


@only_sqlite
def test_pruning_makes_room_inside_the_file_and_a_backup_leaves_it_behind(world: World) -> None:
    with opened(world.url) as store:
        fill(store, 300)
    before = world("store", "info", "--json").json()
    pruned(world, "--keep", "1", "--yes")
    after = world("store", "info", "--json").json()
    assert after["details"]["free_bytes"] > before["details"]["free_bytes"] + before["size"] // 2
    assert world("store", "backup", "small.db").code == 0
    assert (world.folder / "small.db").stat().st_size < before["size"] // 4


def test_heads_are_those_of_what_ended_and_of_what_was_pruned_and_verify_takes_them(world: World) -> None:
    for name, text in (("x", OK), ("y", FAILS), ("z", OK)):
        world.run(text, name=name)
    world.run(ASKS, "--park", name="w")
    kept = world("store", "heads")
    assert kept.code == 0
    assert [head["execution_id"] for head in kept.lines()] == ["z", "y", "x"]
    assert world("store", "heads", "--json").out == kept.out
    world.write("heads.jsonl", kept.out)
    assert world("store", "verify", "--heads", "heads.jsonl").code == 0
    pruned(world, "--keep", "1", "--status", "completed", "--yes")
    after = world("store", "heads").lines()
    assert [(h["execution_id"], h["pruned_at"] is None) for h in after] == [("z", True), ("y", True), ("x", False)]
    assert {(h["version"], h["digest"]) for h in after} == {(h["version"], h["digest"]) for h in kept.lines()}
    done = world("store", "verify", "--heads", "heads.jsonl")
    assert (done.code, "all sound" in done.out) == (0, True)


def test_a_pruned_execution_is_sound_only_if_its_tombstone_has_that_head_or_a_later_one(world: World) -> None:
    world.run(OK)
    head = world("store", "heads").lines()[0]
    early = json.loads(world("history", "x", "--json").out.splitlines()[1])
    pruned(world, "--yes")
    for change, code, told in (
        ({}, 0, "all sound"),
        ({"digest": "f" * 64}, 1, "the digest is another one"),
        ({"version": head["version"] + 3}, 1, f"pruned with {head['version']} events; its log had"),
        ({"version": 2, "digest": early["digest"]}, 0, "all sound"),
    ):
        world.write("heads.jsonl", json.dumps({**head, **change}))
        done = world("store", "verify", "--heads", "heads.jsonl")
        assert (done.code, told in done.out) == (code, True), (change, done)


@only_sqlite
def test_verify_runs_the_check_of_the_database(world: World) -> None:
    world.run(OK, "--tag", "a")
    world.client.close()
    connection = sqlite3.connect(world.store)
    connection.execute("update tags set tag = 'b'")
    connection.commit()
    connection.close()
    done = world("store", "verify")
    assert done.code == 1
    assert done.out.startswith("the database: the index of tags")
    assert "1 execution," in done.out
    found = world("store", "verify", "--json").json()
    assert (found["executions"], found["ok"], found["flaws"][0]["execution_id"]) == (1, False, None)
    assert world("store", "verify", "x").code == 0


# --- pruning ---------------------------------------------------------------------------------------------------------


def test_only_what_ended_long_ago_is_removed_and_only_when_it_is_said(world: World) -> None:
    for name, text in (("x", OK), ("y", FAILS)):
        world.run(text, name=name)
    world.run(ASKS, "--park", name="w")
    world.run(ASKS, "--park", name="v")
    world("cancel", "v")
    everything = names(world.url)
    dry = pruned(world, "--dry-run")
    assert (dry.code, "3 executions with" in dry.out, "would be removed" in dry.out) == (0, True, True)
    refused = pruned(world)
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert pruned(world, "--dry-run", "--yes").code == 0
    assert world("store", "prune", "--older-than", "1h", "--yes").out == "removed 0 executions with 0 events\n"
    assert names(world.url) == everything
    done = pruned(world, "--yes", "--json").json()
    assert sorted(each["execution_id"] for each in done["executions"]) == ["v", "x", "y"]
    assert (done["dry_run"], done["taken_up"]) == (False, [])
    assert names(world.url) == ["w"]
    with opened(world.url) as store:
        assert [stone.execution_id for stone in every_tombstone(store)] == ["v", "x", "y"]
        assert all(store.read_log(name).chunks == [] for name in "vxy")
    assert pruned(world, "--yes").out == "removed 0 executions with 0 events\n"


def test_the_newest_of_each_workflow_and_other_statuses_stay(world: World) -> None:
    with opened(world.url) as store:
        fill(store, 21, steps=1)
    world.run(FAILS, name="y")
    assert pruned(world, "--keep", "2", "--status", "completed", "--yes").code == 0
    # Seven workflows; of each the last two.
    assert names(world.url) == [*(f"made-{n:07}" for n in range(7, 21)), "y"]
    assert pruned(world, "--status", "failed,cancelled", "--yes").code == 0
    assert "y" not in names(world.url)
    for arguments in (("--status", "running"), ("--status", "nonsense"), ("--keep", "-1")):
        assert pruned(world, *arguments).code == 2
    assert world("store", "prune").code == 2
    assert world("store", "prune", "--older-than", "soon").code == 2


def test_a_pruned_execution_is_told_to_be_pruned_whatever_is_asked_of_it(world: World) -> None:
    world.run(FAILS)
    pruned(world, "--yes")
    for verb in ("status", "logs", "history", "resume", "watch", "cancel", "report"):
        done = world(verb, "x")
        assert (done.code, "x was pruned at 20" in done.err) == (3, True), done
    for arguments in (("fork", "x", "--from", "a"), ("store", "export", "x"), ("store", "verify", "x")):
        done = world(*arguments)
        assert (done.code, "x was pruned at 20" in done.err) == (3, True), done
    for more in ((), ("--or-resume",)):
        again = world.run(OK, *more)
        assert (again.code, "x was pruned at 20" in again.err, "choose another" in again.err) == (2, True, True)
    world.run(FAILS, name="xy")
    fork = world("fork", "xy", "--from", "b", "--id", "x")
    assert (fork.code, "x was pruned at 20" in fork.err) == (2, True)
    # The beginning of another id is not taken for that one any more.
    assert world("cancel", "x").code == 3
    assert world.status("xy") == "failed"
    pruned(world, "--yes")
    assert "xy was pruned" in world("status", "xy").err
    assert "there is no execution 'nobody'" in world("status", "nobody").err


def test_a_terminal_is_asked(world: World) -> None:
    world.run(OK)
    for answer, code, left in (("n\n", 2, ["x"]), ("\n", 2, ["x"]), ("y\n", 0, [])):
        with closing(Window(world, "store", "prune", "--older-than", "0", columns=100)) as window:
            window.until(lambda lines: any("for good? [y/N]" in line for line in lines))
            window.type(answer)
            assert window.finish()[0] == code
        assert names(world.url) == left


def test_what_somebody_drives_or_has_taken_up_meanwhile_stays(world: World) -> None:
    for name in "xy":
        world.run(FAILS, name=name)
    with opened(world.url) as store, Registration(store, SystemClock(), world.environ) as registration:
        seen = {row.summary.execution_id: row for row in every(store)}
        owned = store.own("x", registration.runner.id, seen["x"].ownership)
        assert owned is not None
        for row in (seen["x"], store.find(Query(id="x")).rows[0]):
            assert prune(store, row, datetime.now(UTC)) is None
        done = pruned(world, "--yes")
        assert (done.code, "x: somebody has taken it up again" in done.err) == (0, True)
        assert names(world.url) == ["x"]
        assert store.own("x", None, owned)
    world.write("mended", "")
    assert world("resume", "x").code == 0
    with opened(world.url) as store:
        assert prune(store, seen["x"], datetime.now(UTC)) is None
        assert len(store.read("x")) > seen["x"].summary.version


def test_what_a_runner_still_owns_that_died_is_removed(world: World) -> None:
    world.run(FAILS)
    with opened(world.url) as store:
        registration = Registration(store, SystemClock(), world.environ)
        [row] = every(store)
        assert store.own("x", registration.runner.id, row.ownership)
        registration.close(keep_file=True)
        assert pruned(world, "--yes").code == 0
        assert [stone.execution_id for stone in store.tombstones()] == ["x"]


@pytest.mark.parametrize("lead", [0.0, 0.15, 0.3, 0.45])
def test_of_pruning_and_resuming_at_once_one_happens(world: World, lead: float) -> None:
    world.run(FAILS)
    failed = len(world.events())
    world.write("mended", "")
    resuming = world.start("resume", "x")
    with suppress(subprocess.TimeoutExpired):
        resuming.wait(lead)
    removing = world.start("store", "prune", "--older-than", "0", "--yes")
    resumed, removed = finish(resuming), finish(removing)
    assert (removed.code, "Traceback" in resumed.err) == (0, False)
    assert resumed.code in (0, 3)
    if resumed.code == 3:
        assert "x was pruned at" in resumed.err
        assert names(world.url) == []
    else:
        # It may have been pruned once it was over, but then as what it became.
        with opened(world.url) as store:
            versions = [stone.version for stone in store.tombstones()] or [len(store.read("x"))]
        assert versions[0] > failed
    assert world("store", "verify").code == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_prune_that_is_ended_leaves_each_execution_whole_or_gone(world: World, number: signal.Signals) -> None:
    with opened(world.url) as store:
        fill(store, 500, steps=3)
    before = content(world.url)
    removing = world.start("store", "prune", "--older-than", "0", "--yes")

    def begun() -> bool:
        with opened(world.url) as store:
            return bool(store.tombstones(limit=1))

    wait_until(begun)
    removing.send_signal(number)
    done = finish(removing)
    assert done.code == (130 if number == signal.SIGINT else -number)
    assert "Traceback" not in done.err
    left = content(world.url)
    with opened(world.url) as store:
        gone = {stone.execution_id for stone in every_tombstone(store)}
    assert 0 < len(gone) < 500
    assert left.keys() | gone == before.keys()
    assert not left.keys() & gone
    assert all(left[name] == before[name] for name in left)
    assert pruned(world, "--yes").code == 0
    assert names(world.url) == []


def test_a_rule_leaves_what_ended_at_that_moment_or_later(world: World) -> None:
    with opened(world.url) as store:
        fill(store, 3, steps=1)
        rule = Rule(START + timedelta(seconds=1))
        assert [row.summary.execution_id for row in world.client.prunable(rule)] == ["made-0000000"]
        store.write_log("made-0000000", [Chunk("late", 1, 0, "stdout", START, b"x")])
        [row] = world.client.prunable(rule)
        stone = world.client.prune(row)
        assert stone is not None
        assert store.read_log("made-0000000").chunks == []
