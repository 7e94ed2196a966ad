"""`store export` and `store import`: what comes in is what went out, whole, and nothing that was tampered with."""

from __future__ import annotations

import json
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cerebelum.store import Chunk, Ownership, every_tombstone
from tests.cli.stores import content, count, opened, rows
from tests.executions import START, execution, fill
from tests.lifecycle.world import World, finish, wait_until
from tests.stores import only_sqlite

ODD = r"""
    name: odd
    inputs: {text: {type: string, default: ''}}
    steps:
      - {id: bytes, run: "printf 'h\\303\\244\\377\\000\\033[1mx\\r\\n'; printf 'no newline' >&2"}
      - {id: text, run: 'printf %s "$INPUT_TEXT"', output: text}
      - {id: fail, run: exit 3}
    """
TEXT = "grüße 你好 \U0001f9e0 \u2028 \"quoted\" \\ </script> {'a': 1}\n\ttab"


def parsed(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.split("\n") if line]


def lines(path: Path) -> list[dict[str, Any]]:
    return parsed(path.read_text())


def write(path: Path, values: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


@pytest.fixture
def bundle(world: World) -> Path:
    """Two executions with output, the second of which failed: x begins at line 12 and y at line 2."""
    world.flow(ODD)
    for name in "xy":
        assert world("run", "flow.yaml", "--id", name, "--input", f"text={TEXT}", "--tag", "ü").code == 1
    assert world("store", "export", "--all", "-o", "bundle.jsonl").code == 0
    return world.folder / "bundle.jsonl"


def test_what_was_exported_is_imported_byte_for_byte(world: World, bundle: Path) -> None:
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o600
    done = world("store", "import", "bundle.jsonl", "--store", "other.db")
    assert (done.code, done.err) == (0, "")
    assert "2 executions imported" in done.out
    assert content(world.folder / "other.db") == content(world.url)
    assert b"h\xc3\xa4\xff\0\x1b[1mx\r\n" in [chunk.data for chunk in content(world.folder / "other.db")["x"][1]]
    theirs = {row.summary.execution_id: row for row in rows(world.folder / "other.db")}
    for row in rows(world.url):
        other = theirs[row.summary.execution_id]
        assert (other.summary, other.ownership) == (row.summary, Ownership(None, row.ownership.epoch))
    again = world("store", "export", "--all", "--store", "other.db")
    assert parsed(again.out)[1:] == lines(bundle)[1:]


def test_an_imported_execution_goes_on_where_it_stopped(world: World, bundle: Path) -> None:
    world.flow(ODD.replace("exit 3", "echo mended"))
    world("store", "import", str(bundle), "--store", "other.db")
    assert world("resume", "x", "--store", "other.db").code == 0
    assert world("store", "verify", "--store", "other.db").code == 0


def test_executions_that_are_named_are_exported_alone_and_without_tombstones(world: World, bundle: Path) -> None:
    one = world("store", "export", "x", "x")
    assert [value["id"] for value in parsed(one.out) if value["line"] == "execution"] == ["x"]
    assert parsed(one.out)[-1] == {"line": "bundle_end", "executions": 1, "tombstones": 0}
    piped = world("store", "import", "-", "--store", "other.db", "--json", stdin=one.out)
    assert (piped.code, piped.json()["added"], piped.json()["events"]) == (0, 1, len(world.events("x")))
    for arguments, code in ((("nobody",), 3), ((), 2), (("--all", "x"), 2), (("x", "--json"), 2)):
        assert world("store", "export", *arguments).code == code
    assert world("store", "export", "x", "-o", "bundle.jsonl").code == 2
    assert world("store", "export", "x", "-o", "none/at/all").code == 2


def test_tombstones_travel_with_everything(world: World, bundle: Path) -> None:
    world("store", "prune", "--older-than", "0", "--keep", "1", "--yes")
    everything = world("store", "export", "--all").out
    done = world("store", "import", "-", "--store", "other.db", "--json", stdin=everything)
    assert (done.code, done.json()["added"], done.json()["tombstones"]) == (0, 1, 1)
    with opened(world.url) as here, opened(world.folder / "other.db") as there:
        assert list(every_tombstone(here)) == list(every_tombstone(there)) != []
    # Of an execution that is there, no tombstone is taken.
    world("store", "import", str(bundle), "--store", "third.db")
    third = world("store", "import", "-", "--store", "third.db", "--json", stdin=everything)
    assert (third.code, third.json()["there_already"], third.json()["tombstones"]) == (0, 1, 0)
    assert len(content(world.folder / "third.db")) == 2


def test_importing_again_changes_nothing(world: World, bundle: Path) -> None:
    world("store", "import", str(bundle), "--store", "other.db")
    before = content(world.folder / "other.db")
    again = world("store", "import", str(bundle), "--store", "other.db", "--json")
    assert again.code == 0
    assert (again.json()["added"], again.json()["there_already"], again.json()["events"]) == (0, 2, 0)
    assert content(world.folder / "other.db") == before


def test_an_execution_that_is_in_a_bundle_twice_is_taken_once(world: World, bundle: Path) -> None:
    values = lines(bundle)
    write(world.folder / "twice.jsonl", [*values[:-1], *values[1:-1], {**values[-1], "executions": 4}])
    done = world("store", "import", "twice.jsonl", "--store", "other.db", "--json")
    assert (done.code, done.json()["added"], done.json()["there_already"]) == (0, 2, 2)
    assert content(world.folder / "other.db") == content(world.url)


def test_bundles_may_follow_each_other(world: World, bundle: Path) -> None:
    both = world("store", "export", "x").out + world("store", "export", "y").out
    done = world("store", "import", "-", "--store", "other.db", "--json", stdin=both)
    assert (done.code, done.json()["added"]) == (0, 2)


def test_what_differs_is_refused_and_the_others_are_taken(world: World, bundle: Path) -> None:
    other = world.folder / "other.db"
    world.flow("steps: [{id: a, run: echo else}]")
    assert world("run", "flow.yaml", "--id", "x", "--store", "other.db").code == 0
    before = content(other)["x"]
    done = world("store", "import", "bundle.jsonl", "--store", "other.db")
    assert done.code == 1
    assert f"bundle.jsonl:{begin(bundle, 'x')}: x: refused: another log is there" in done.err
    assert content(other)["x"] == before
    assert content(other)["y"] == content(world.url)["y"]


def test_what_has_gone_on_or_is_behind_is_refused(world: World, bundle: Path) -> None:
    world.flow(ODD.replace("exit 3", "echo mended"))
    assert world("resume", "x").code == 0
    ahead = world("store", "import", str(bundle))
    assert (ahead.code, "it has gone on there" in ahead.err) == (1, True)
    world("store", "import", str(bundle), "--store", "other.db")
    before = content(world.folder / "other.db")
    behind = world("store", "import", "-", "--store", "other.db", stdin=world("store", "export", "x").out)
    assert (behind.code, "with fewer events" in behind.err) == (1, True)
    assert content(world.folder / "other.db") == before


def test_what_was_pruned_does_not_come_back(world: World, bundle: Path) -> None:
    world("store", "prune", "--older-than", "0", "--yes")
    done = world("store", "import", str(bundle))
    assert (done.code, done.err.count("was pruned at"), done.out.startswith("0 executions")) == (1, 2, True)
    assert content(world.url) == {}


@only_sqlite
def test_a_damaged_execution_is_not_exported(world: World, bundle: Path) -> None:
    from tests.lifecycle.test_verify import tamper

    tamper(world, "update events set data = replace(data, 'odd', 'odt') where execution_id = 'x' and version = 1")
    done = world("store", "export", "--all")
    assert done.code == 1
    assert "x: refused: version 1" in done.err
    assert [value["id"] for value in parsed(done.out) if value["line"] == "execution"] == ["y"]
    assert world("store", "import", "-", "--store", "other.db", stdin=done.out).code == 0


# --- bundles that were tampered with ---------------------------------------------------------------------------------

Values = list[dict[str, Any]]


def begin(bundle: Path, name: str) -> int:
    """The number of the line that an execution begins with."""
    return next(n for n, v in enumerate(lines(bundle), 1) if v["line"] == "execution" and v["id"] == name)


def on(kind: str, nth: int = 0, **change: Any) -> Callable[[Values, int], int]:
    """Change the nth line of a kind of the execution that begins there; gives the number of the line."""

    def edit(values: Values, first: int) -> int:
        at = [n for n in range(first - 1, len(values)) if values[n]["line"] == kind][nth]
        for key, value in change.items():
            values[at][key] = value(values[at][key]) if callable(value) else value
        return at + 1

    return edit


def without(kind: str, nth: int = 0, told: int = 0) -> Callable[[Values, int], int]:
    def edit(values: Values, first: int) -> int:
        at = [n for n in range(first - 1, len(values)) if values[n]["line"] == kind][nth]
        del values[at]
        return at + 1 + told

    return edit


def cut(text: str) -> str:
    return text.replace('"attempt":1', '"attempt":2')


TAMPERED: dict[str, tuple[Callable[[Values, int], int], str]] = {
    "a text": (on("event", 1, text=cut), "does not match its digest"),
    "a digest": (on("event", 2, digest="f" * 64), "does not match its digest"),
    "no digest": (on("event", 2, digest="nonsense"), "this line is damaged"),
    "an event that is gone": (without("event", 2), "version 3 is missing"),
    "the last event gone": (without("event", 7), "events are missing"),
    "no event": (on("event", 1, text="{}"), "an event is damaged"),
    "an unknown event": (on("event", 1, text='{"type":"Dream","version":2,"at":"2026-01-01T00:00:00Z"}'), "'Dream'"),
    "output": (on("output", 0, data="AAAA"), "its output is not what it was"),
    "output that is gone": (without("output", 0), "its output is not what it was"),
    "no base64": (on("output", 0, data="*"), "this line is damaged"),
    "an attempt below 0": (on("output", 0, attempt=-1), "this line is damaged"),
    "a number beyond all": (on("output", 0, offset=2**80), "this line is damaged"),
    "a time of nowhere": (on("output", 0, at="2026-01-01T00:00:00"), "this line is damaged"),
    "a NUL": (on("output", 0, step="a\0b"), "this line is damaged"),
    "a step's name": (on("output", 0, step="a b\n"), "this line is damaged"),
    "a long name": (on("output", 0, step="a" * 65), "this line is damaged"),
    "a stream": (on("output", 0, stream="stdlog"), "this line is damaged"),
    "another end": (on("end", 0, id="z"), "this line does not belong here"),
    "no end": (without("end"), "it has no end"),
    "a count": (on("end", 0, events=99), "events are missing"),
    "a head": (on("end", 0, digest="0" * 64), "events are missing"),
    "an epoch": (on("execution", 0, epoch="many"), "this line is damaged"),
    "its beginning": (on("execution", 0, id=None), "this line is damaged"),
    "a wrong id": (on("execution", 0, id="../x"), "cannot be the id"),
    "last": (on("execution", 0, id="last"), "cannot be the id"),
    "another id": (on("execution", 0, id="z"), "does not match its digest"),
}


@pytest.mark.parametrize("what", TAMPERED)
@only_sqlite
def test_what_was_tampered_with_is_refused_with_its_line_and_the_rest_is_taken(
    world: World, bundle: Path, what: str
) -> None:
    edit, told = TAMPERED[what]
    values = lines(bundle)
    number = edit(values, begin(bundle, "y"))
    write(world.folder / "bad.jsonl", values)
    done = world("store", "import", "bad.jsonl", "--store", "other.db")
    assert done.code == 1, done
    assert told in done.err
    first, last = begin(bundle, "y"), len(values)
    places = {line.split(": ")[0] for line in done.err.splitlines()}
    assert places <= {f"bad.jsonl:{at}" for at in range(first, last + 1)}
    if told in ("does not match its digest", "this line is damaged", "an event is damaged"):
        assert f"bad.jsonl:{number + (what == 'another id')}" in places, places
    found = content(world.folder / "other.db")
    assert found == {"x": content(world.url)["x"]}
    with opened(world.folder / "other.db") as store:
        assert store.read_log("y").chunks == store.read_log("z").chunks == []
    # The whole bundle makes up for it.
    assert world("store", "import", str(bundle), "--store", "other.db").code == 0
    assert content(world.folder / "other.db") == content(world.url)


@only_sqlite
def test_a_changed_summary_is_not_believed(world: World, bundle: Path) -> None:
    values = lines(bundle)
    for value in values:
        if value["line"] == "execution":
            value["summary"] = {"status": "completed", "tags": 7, "version": 10**30}
    write(world.folder / "lies.jsonl", values)
    assert world("store", "import", "lies.jsonl", "--store", "other.db").code == 0
    assert [row.summary for row in rows(world.folder / "other.db")] == [row.summary for row in rows(world.url)]


@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
@only_sqlite
def test_of_a_bundle_that_was_cut_off_the_whole_executions_are_taken(world: World, bundle: Path, part: float) -> None:
    data = bundle.read_bytes()
    data = data[: int(len(data) * part)]
    (world.folder / "cut.jsonl").write_bytes(data)
    done = world("store", "import", "cut.jsonl", "--store", "other.db")
    assert done.code == 1
    last = data.count(b"\n") + (not data.endswith(b"\n"))
    assert f"cut.jsonl:{last}: " in done.err
    assert "cut off here" in done.err
    whole = content(world.url)
    there = content(world.folder / "other.db") if (world.folder / "other.db").exists() else {}
    ended = [json.loads(line)["id"] for line in data.splitlines()[:-1] if line.startswith(b'{"line":"end"')]
    assert set(ended) <= set(there)
    assert all(whole[name] == there[name] for name in there)


@only_sqlite
def test_a_bundle_without_its_last_line_is_told_to_be_cut_off(world: World, bundle: Path) -> None:
    write(world.folder / "cut.jsonl", lines(bundle)[:-1])
    done = world("store", "import", "cut.jsonl", "--store", "other.db", "--json")
    assert (done.code, done.json()["added"], done.json()["ok"]) == (1, 2, False)
    [refused] = done.json()["refused"]
    assert (refused["execution_id"], "its last line is missing" in refused["message"]) == (None, True)
    values = lines(bundle)
    write(world.folder / "less.jsonl", [*values[: begin(bundle, "x") - 1], values[-1]])
    less = world("store", "import", "less.jsonl", "--store", "third.db")
    assert (less.code, "of 2 executions and 0 tombstones, 1 and 0 were there" in less.err) == (1, True)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "it is empty"),
        (b"hello\n", "this is not a bundle"),
        (b"\x00\xff\xfe" * 100, "this is not a bundle"),
        (b"[" * 100_000, "this is not a bundle"),
        (b'{"line":"bundle","format":true}\n', "this is not a bundle"),
        (b'{"line":"execution","id":"x","epoch":1,"summary":{}}\n', "this is not a bundle"),
        (b'{"line":"bundle","format":2,"cerebelum":"9.1"}\n', "format 2; cerebelum 0.1.0 knows formats up to 1"),
    ],
)
@only_sqlite
def test_what_is_no_bundle_is_refused_at_once(world: World, data: bytes, told: str) -> None:
    (world.folder / "bad.jsonl").write_bytes(data)
    done = world("store", "import", "bad.jsonl")
    assert (done.code, told in done.err, "Traceback" in done.err) == (2, True, False)
    assert world("store", "import", "none.jsonl").code == 2
    assert world("store", "import", ".").code == 2


@only_sqlite
def test_lines_between_executions_that_make_no_sense_are_named_and_passed_over(world: World, bundle: Path) -> None:
    text = bundle.read_text().split("\n")[:-1]
    first = begin(bundle, "x") - 1
    nonsense = ["", "{", '{"line":"output"}', '{"line":"poem"}', "[" * 50_000, json.dumps(text[0])]
    (world.folder / "odd.jsonl").write_text("\n".join([*text[:first], *nonsense, *text[first:]]) + "\n")
    done = world("store", "import", "odd.jsonl", "--store", "other.db", "--json")
    assert done.code == 1
    assert done.json()["added"] == 2
    assert [each["where"] for each in done.json()["refused"]] == [f"odd.jsonl:{first + n}" for n in range(2, 7)]


# --- being interrupted -----------------------------------------------------------------------------------------------


@only_sqlite
def test_an_import_that_is_killed_leaves_whole_executions_and_is_completed_by_another(world: World) -> None:
    with opened(world.folder / "origin.db") as store:
        fill(store, 450)
        big = [Chunk("s1", 1, n * 10, "stdout", START, b"0123456789") for n in range(1000)]
        store.write_log("made-0000001", big)
    assert world("store", "export", "--all", "-o", "all.jsonl", "--store", "origin.db").code == 0
    data = (world.folder / "all.jsonl").read_bytes()
    other = world.folder / "other.db"
    for part in (0.7, 0.95):
        importing = world.start("store", "import", "-", "--store", "other.db", stdin=-1)
        assert importing.stdin is not None
        importing.stdin.write(data[: int(len(data) * part)])
        importing.stdin.flush()
        wait_until(lambda: count(other) > 0, "a batch")
        importing.send_signal(signal.SIGKILL)
        assert finish(importing).code == -signal.SIGKILL
        whole, there = content(world.folder / "origin.db"), content(other)
        assert 0 < len(there) < 450
        assert all(there[name] == whole[name] for name in there)
    done = world("store", "import", "all.jsonl", "--store", "other.db", "--json")
    assert done.code == 0
    assert done.json()["added"] + done.json()["there_already"] == 450
    assert content(other) == content(world.folder / "origin.db")


@only_sqlite
def test_output_that_somebody_left_who_was_killed_is_replaced(world: World) -> None:
    with opened(world.folder / "origin.db") as store:
        fill(store, 1)
    name = execution(0).summary.execution_id
    with opened(world.folder / "other.db") as store:
        store.write_log(name, [Chunk("s0", 1, 0, "stdout", START, b"half"), Chunk("gone", 7, 0, "stderr", START, b"x")])
    bundle = world("store", "export", "--all", "--store", "origin.db").out
    assert world("store", "import", "-", "--store", "other.db", stdin=bundle).code == 0
    assert content(world.folder / "other.db") == content(world.folder / "origin.db")


def test_ctrl_c_ends_an_import_and_says_how_to_go_on(world: World) -> None:
    with opened(world.url) as store:
        fill(store, 300)
    assert world("store", "export", "--all", "-o", "all.jsonl").code == 0
    importing = world.start("store", "import", "-", "--store", "other.db", stdin=-1)
    assert importing.stdin is not None
    importing.stdin.write((world.folder / "all.jsonl").read_bytes()[:-100])
    importing.stdin.flush()
    wait_until(lambda: count(world.folder / "other.db") > 0, "a batch")
    importing.send_signal(signal.SIGINT)
    done = finish(importing)
    assert (done.code, "the same command again" in done.err, "Traceback" in done.err) == (130, True, False)
    assert world("store", "import", "all.jsonl", "--store", "other.db").code == 0
    assert content(world.folder / "other.db") == content(world.url)


def test_an_export_that_is_interrupted_leaves_no_file(world: World) -> None:
    with opened(world.url) as store:
        fill(store, 600)
    exporting = world.start("store", "export", "--all", "-o", "all.jsonl")

    def left() -> list[Path]:
        return list(world.folder.glob("all.jsonl*"))

    wait_until(lambda: left() or exporting.poll() is not None)
    exporting.send_signal(signal.SIGKILL)
    exporting.communicate()
    assert not (world.folder / "all.jsonl").exists()
    assert world("store", "export", "--all", "-o", "all.jsonl").code == 0
    assert [path.name for path in left()] == ["all.jsonl"]
