"""`store copy` and `store backup`: everything is there, byte for byte, whatever goes on and whoever is killed."""

from __future__ import annotations

import signal
import stat
from contextlib import closing
from pathlib import Path

import pytest

from cerebelum.engine.ownership import Registration
from cerebelum.host.clock import SystemClock
from cerebelum.store import Chunk, Ownership, Query, Tombstone, every_tombstone
from tests.cli.screens import Window
from tests.cli.stores import PLAIN, content, count, opened, rows
from tests.executions import START, execution, fill
from tests.lifecycle.test_verify import tamper
from tests.lifecycle.world import World, finish, wait_until
from tests.stores import only_sqlite

FLAKY = "steps: [{id: a, run: 'echo a; echo b >&2'}, {id: b, run: 'echo more; test -e mended'}]"
WORK = "steps: [{id: a, run: echo a}, {id: work, run: 'echo up >> up; sleep 600'}]"


# --- copying ---------------------------------------------------------------------------------------------------------


@only_sqlite
def test_there_and_back_everything_is_as_it_was(world: World) -> None:
    with opened(world.folder / "here.db") as store:
        fill(store, 70, steps=3)
        long = [Chunk("s1", 1, n, "stderr", START, bytes([n % 256])) for n in range(1000)]
        store.write_log("made-0000007", long)
    for path in (("here.db", "plain://there.db"), ("plain://there.db", "back.db")):
        done = world("store", "copy", *path, "--json", "--plugin", str(world.write("plain.py", PLAIN)))
        assert done.code == 0, done
        assert (done.json()["added"], done.json()["events"]) == (70, 70 * 8)
    assert content(world.folder / "back.db") == content(world.folder / "here.db")
    assert rows(world.folder / "back.db") == rows(world.folder / "here.db")
    again = world("store", "copy", "here.db", "back.db")
    assert (again.code, again.out) == (0, "0 executions copied, 70 there already, 0 events\n")


@only_sqlite
def test_to_a_server_and_back_everything_is_as_it_was(world: World, postgres_url: str) -> None:
    world.run(FLAKY)
    with opened(world.url) as store:
        fill(store, 300, steps=3)
        store.write_log("made-0000007", [Chunk("s1", 1, n, "stderr", START, bytes([n % 256])) for n in range(1000)])
        store.prune(Tombstone("gone", "w\0", "failed", START, None, 7, "0" * 64, START))
    killed = world.start("store", "copy", world.url, postgres_url)
    wait_until(lambda: world("store", "info", "--store", postgres_url, "--json").json()["events"] or killed.poll() == 0)
    killed.kill()
    finish(killed)
    done = world("store", "copy", world.url, postgres_url, "--json")
    assert (done.code, done.json()["added"] + done.json()["there_already"]) == (0, 301), done
    world.write("mended", "")
    assert world("resume", "x").code == 0
    again = world("store", "copy", world.url, postgres_url, "--json").json()
    assert (again["carried_forward"], again["there_already"], again["tombstones"]) == (1, 300, 0)
    assert world("store", "verify", "--store", postgres_url).code == 0
    assert world("store", "copy", postgres_url, "back.db").code == 0
    assert world("store", "backup", "kept.db", "--store", postgres_url).code == 0
    for name in ("back.db", "kept.db"):
        assert content(world.folder / name) == content(world.url)
        with opened(world.url) as here, opened(world.folder / name) as there:
            assert list(every_tombstone(here)) == list(every_tombstone(there)) != []
    exported = world("store", "export", "--all", "--store", postgres_url)
    assert world("store", "import", "-", "--store", "third.db", stdin=exported.out).code == 0
    assert content(world.folder / "third.db") == content(world.url)
    assert world("store", "prune", "--older-than", "0", "--yes", "--store", postgres_url).code == 0
    assert "was pruned at" in world("status", "x", "--store", postgres_url).err


def test_what_has_gone_on_is_carried_forward_with_its_output(world: World) -> None:
    world.run(FLAKY)
    assert world("store", "copy", world.url, "there.db").code == 0
    before = content(world.folder / "there.db")["x"]
    world.write("mended", "")
    assert world("resume", "x").code == 0
    done = world("store", "copy", world.url, "there.db", "--json")
    assert (done.code, done.json()["carried_forward"], done.json()["added"]) == (0, 1, 0)
    assert done.json()["events"] == len(world.events("x")) - len(before[0])
    assert content(world.folder / "there.db") == content(world.url)
    assert rows(world.folder / "there.db")[0].ownership.owner is None
    # What went on there instead is ahead, and there already.
    back = world("store", "copy", "there.db", world.url)
    assert (back.code, back.out) == (0, "0 executions copied, 1 there already, 0 events\n")


def test_what_is_ahead_in_the_other_store_is_left_alone(world: World) -> None:
    world.run(FLAKY)
    world("store", "copy", world.url, "there.db")
    world.write("mended", "")
    assert world("resume", "x", "--store", "there.db").code == 0
    after = content(world.folder / "there.db")
    done = world("store", "copy", world.url, "there.db")
    assert (done.code, done.out) == (0, "0 executions copied, 1 there already, 0 events\n")
    assert content(world.folder / "there.db") == after


def test_two_logs_with_one_id_are_never_mixed(world: World) -> None:
    world.run(FLAKY)
    assert world("store", "copy", world.url, "there.db").code == 0
    for arguments in ((), ("--store", "there.db"), ("--store", "there.db")):
        world("resume", "x", *arguments)
    # And one that has nothing in common but its id, and started at another time.
    for store, word in ((world.url, "one"), ("there.db", "other")):
        world.run(f"steps: [{{id: {word}, run: echo {word}}}]", "--store", store, name="y")
    world.run("steps: [{id: a, run: echo a}]", name="z")
    before = content(world.folder / "there.db")
    done = world("store", "copy", world.url, "there.db")
    assert done.code == 1
    assert "x: refused: another log is there under this id" in done.err
    assert "y: refused: another log is there under this id" in done.err
    there = content(world.folder / "there.db")
    assert there == {**before, "z": content(world.url)["z"]}


def test_what_a_process_drives_is_left_out_and_named_and_comes_later(world: World) -> None:
    runner = world.begin(WORK)
    world.wait_for_line("up")
    world.run(FLAKY, name="y")
    done = world("store", "copy", world.url, "there.db")
    assert (done.code, "x: left out: a process drives it" in done.err) == (1, True)
    assert content(world.folder / "there.db").keys() == {"y"}
    as_json = world("store", "copy", world.url, "there.db", "--json")
    assert (as_json.code, as_json.json()["left_out"], as_json.json()["ok"]) == (1, ["x"], False)
    world("pause", "x")
    finish(runner)
    assert world("store", "copy", world.url, "there.db").code == 0
    assert content(world.folder / "there.db") == content(world.url)


@only_sqlite
def test_what_not_every_store_takes_is_taken_by_none(world: World) -> None:
    with opened(world.folder / "here.db") as store:
        store.restore([execution(0, 1, ("x" * 256,)), execution(1, 1, ("x" * 255,))])
    done = world("store", "copy", "here.db", "there.db")
    assert (done.code, "made-0000000: refused: version 1: a tag has 256 characters" in done.err) == (1, True)
    assert list(content(world.folder / "there.db")) == ["made-0000001"]


def test_what_is_driven_there_is_not_carried_forward(world: World) -> None:
    world.run(FLAKY)
    world("store", "copy", world.url, "there.db")
    world.write("mended", "")
    world("resume", "x")
    before = content(world.folder / "there.db")
    with opened(world.folder / "there.db") as store:
        registration = Registration(store, SystemClock(), world.environ)
        [row] = store.find(Query()).rows
        assert store.own("x", registration.runner.id, row.ownership)
        done = world("store", "copy", world.url, "there.db")
        assert (done.code, "x: refused: it has gone on here, and a process drives it there" in done.err) == (1, True)
        assert content(world.folder / "there.db") == before
        # As a runner whose process has died leaves it.
        registration.close(keep_file=True)
    assert world("store", "copy", world.url, "there.db").code == 0
    assert content(world.folder / "there.db") == content(world.url)


def test_tombstones_are_copied_but_bury_nothing(world: World) -> None:
    for name in "xyz":
        world.run(FLAKY, name=name)
    assert world("store", "copy", world.url, "kept.db").code == 0
    assert world("store", "prune", "--older-than", "0", "--keep", "1", "--yes").code == 0
    kept = content(world.folder / "kept.db")
    assert world("store", "copy", world.url, "kept.db").code == 0
    assert content(world.folder / "kept.db") == kept
    done = world("store", "copy", world.url, "fresh.db", "--json")
    assert (done.code, done.json()["added"], done.json()["tombstones"]) == (0, 1, 2)
    with opened(world.url) as here, opened(world.folder / "fresh.db") as there:
        assert list(every_tombstone(here)) == list(every_tombstone(there))
    assert world("store", "copy", world.url, "fresh.db", "--json").json()["tombstones"] == 0
    pruned = world("store", "copy", "kept.db", world.url)
    assert (pruned.code, pruned.err.count("was pruned at")) == (1, 2)


@only_sqlite
def test_what_is_damaged_is_not_copied(world: World) -> None:
    world.run(FLAKY)
    world.run(FLAKY, name="y")
    world.run(FLAKY, name="z")
    changed = "replace(data, '\"attempt\":1', '\"attempt\":2')"
    tamper(
        world,
        f"update events set data = {changed} where execution_id = 'x' and version = 3",
        "delete from events where execution_id = 'y' and version > 3",
    )
    done = world("store", "copy", world.url, "there.db")
    assert done.code == 1
    assert "x: refused: version 3: its text does not match" in done.err
    assert "y: refused: version 4: events are missing at the end" in done.err
    assert content(world.folder / "there.db").keys() == {"z"}


@only_sqlite
def test_stores_that_cannot_be_copied_are_told_apart(world: World) -> None:
    world.run(FLAKY)
    (world.folder / "link.db").symlink_to(world.store)
    world.write("plain.py", PLAIN)
    for paths, told in (
        (("none.db", "there.db"), "there is no store to copy from"),
        ((world.url, world.url), "both are the same store"),
        ((world.url, "link.db"), "both are the same store"),
        (("nosuch://x", "there.db"), "nosuch://"),
        (("", "there.db"), "names no store"),
        ((world.url, "password=hunter2 host=x"), "names no store"),
    ):
        done = world("store", "copy", *paths)
        assert (done.code, told in done.err) == (2, True), done
    assert not (world.folder / "there.db").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@only_sqlite
def test_whoever_ends_a_copy_leaves_whole_executions(world: World, number: signal.Signals) -> None:
    with opened(world.folder / "here.db") as store:
        fill(store, 700)
    there = world.folder / "there.db"
    copying = world.start("store", "copy", "here.db", "there.db")
    wait_until(lambda: count(there) > 0, "a batch")
    copying.send_signal(number)
    done = finish(copying)
    assert done.code == (130 if number == signal.SIGINT else -number)
    assert "Traceback" not in done.err
    assert number == signal.SIGKILL or "the same command again" in done.err
    whole, part = content(world.folder / "here.db"), content(there)
    assert 0 < len(part) < 700
    assert all(part[name] == whole[name] for name in part)
    assert world("store", "copy", "here.db", "there.db").code == 0
    assert content(there) == whole


@only_sqlite
def test_output_that_is_there_in_part_is_completed_and_wrong_output_replaced(world: World) -> None:
    with opened(world.folder / "here.db") as store, opened(world.folder / "there.db") as other:
        fill(store, 3, steps=2)
        for number in range(3):
            store.write_log(execution(number).summary.execution_id, [Chunk("s1", 1, 0, "stderr", START, b"second")])
        left = Chunk("q", 3, 0, "stdout", START, b"")
        other.write_log("made-0000000", store.read_log("made-0000000").chunks[:1])
        other.write_log("made-0000001", [Chunk("s0", 1, 0, "stdout", START, b"wrong"), left])
        other.write_log("made-0000002", [*store.read_log("made-0000002").chunks, left])
    assert world("store", "copy", "here.db", "there.db").code == 0
    assert content(world.folder / "there.db") == content(world.folder / "here.db")


@only_sqlite
def test_a_terminal_shows_how_far_it_has_come_and_others_see_nothing_of_it(world: World) -> None:
    with opened(world.folder / "here.db") as store:
        fill(store, 400)
    with closing(Window(world, "store", "copy", "here.db", "there.db", columns=100)) as window:
        code, lines = window.finish()
    assert (code, lines) == (0, ["400 executions copied, 12,000 events"])
    assert b"copying" in window.raw
    assert b"/400" in window.raw
    assert world("store", "copy", "here.db", "again.db").err == ""


# --- backing up ------------------------------------------------------------------------------------------------------


def test_a_backup_is_a_store_that_only_its_owner_reads(world: World) -> None:
    world.run(FLAKY)
    world.run(FLAKY, name="y")
    world("store", "prune", "--older-than", "0", "--keep", "1", "--yes")
    done = world("store", "backup", "kept.db", "--json")
    assert (done.code, done.json()["ok"], done.json()["file"]) == (0, True, "kept.db")
    kept = world.folder / "kept.db"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept.stat().st_size == done.json()["size"]
    assert content(kept) == content(world.url)
    with opened(world.url) as here, opened(kept) as there:
        assert list(every_tombstone(here)) == list(every_tombstone(there)) != []
        assert there.describe().details["journal_mode"] == "wal"
    world.write("mended", "")
    assert world("resume", "y", "--store", "kept.db").code == 0


@pytest.mark.parametrize("kind", ["", "plain://"])
@only_sqlite
def test_a_backup_while_runners_write_is_sound_and_a_part_of_what_came_after(world: World, kind: str) -> None:
    store = f"{kind}{world.folder}/busy.db"
    plugin = ("--plugin", str(world.write("plain.py", PLAIN)))
    steps = ", ".join(f"{{id: s{n}, run: 'echo {n}; echo {n} >&2'}}" for n in range(150))
    busy = world.begin(f"steps: [{steps}]", "--store", store, *plugin)
    path = world.folder / "busy.db"
    wait_until(lambda: path.exists() and rows(path) and rows(path)[0].summary.version > 10)
    for number in range(2):
        done = world("store", "backup", f"kept-{number}.db", "--store", store, *plugin)
        assert done.code == 0, done
    assert finish(busy).code == 0
    late = content(path)["x"]
    for number in range(2):
        early = content(world.folder / f"kept-{number}.db")["x"]
        assert early[0] == late[0][: len(early[0])]
        assert early[1] == late[1][: len(early[1])]
    assert not list(world.folder.glob("*.partial-*"))


@only_sqlite
def test_nothing_is_overwritten_and_nothing_is_left_of_what_cannot_be_written(world: World) -> None:
    nothing = world("store", "backup", "kept.db")
    assert (nothing.code, "has not been created yet" in nothing.err) == (2, True)
    world.run(FLAKY)
    world.write("kept.db", "mine")
    (world.folder / "dangling.db").symlink_to("nowhere")
    for name in ("kept.db", "dangling.db", ".", "none/kept.db"):
        done = world("store", "backup", name)
        assert (done.code, "Traceback" in done.err) == (2, False), done
    assert (world.folder / "kept.db").read_text() == "mine"
    assert not list(world.folder.glob("*.partial-*"))


def test_what_a_killed_backup_left_is_removed_by_the_next(world: World) -> None:
    world.run(FLAKY)
    for name in ("kept.db.partial-0123abcd", "kept.db.partial-0123abcd-wal", "kept.db.partial-mine.txt"):
        world.write(name, "x" * 100)
    assert world("store", "backup", "kept.db").code == 0
    assert sorted(path.name for path in world.folder.glob("kept.db*")) == ["kept.db", "kept.db.partial-mine.txt"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_backup_that_is_ended_is_not_there(world: World, number: signal.Signals) -> None:
    with opened(world.url) as store:
        fill(store, 1500)
    ended = world.start("store", "backup", "kept.db")
    wait_until(lambda: list(world.folder.glob("kept.db*")) or ended.poll() is not None)
    ended.send_signal(number)
    done = finish(ended)
    assert "Traceback" not in done.err
    if done.code == 0:
        assert content(world.folder / "kept.db") == content(world.url)
        return
    assert done.code == (130 if number == signal.SIGINT else -number)
    assert not (world.folder / "kept.db").exists()
    assert number == signal.SIGKILL or not list(world.folder.glob("kept.db*"))
    assert world("store", "backup", "kept.db").code == 0
    assert content(world.folder / "kept.db") == content(world.url)


@only_sqlite
def test_the_backup_of_another_kind_of_store_has_what_is_driven_as_it_stood(world: World) -> None:
    plugin = ("--plugin", str(world.write("plain.py", PLAIN)))
    runner = world.begin(WORK, "--store", "plain://busy.db", *plugin)
    world.wait_for_line("up")
    done = world("store", "backup", "kept.db", "--store", "plain://busy.db", *plugin)
    assert done.code == 0, done
    runner.kill()
    finish(runner)
    [row] = rows(world.folder / "kept.db")
    assert (row.summary.status, row.ownership) == ("running", Ownership(None, 1))
    assert content(world.folder / "kept.db")["x"][0] == content(world.folder / "busy.db")["x"][0]


@only_sqlite
def test_a_full_disk_is_no_traceback(world: World, tmp_path: Path) -> None:
    with opened(world.url) as store:
        fill(store, 200)
    done = world("store", "backup", "kept.db", preexec_fn=_small_files)
    assert (done.code, "Traceback" in done.err, "bug" in done.err) == (74, False, False), done
    assert not list(world.folder.glob("kept.db*"))


def _small_files() -> None:
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
