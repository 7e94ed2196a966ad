"""`list` and `status` on a terminal: they fit it, say in colour what they say in words, and show one step in full."""

import re
import signal
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerebelum.render import width
from cerebelum.render.display import UNICODE
from cerebelum.render.tables import table
from cerebelum.render.width import clipped, columns
from tests.cli.conftest import Home
from tests.cli.screens import Opens, windows

FLOW = """
name: a-rather-long-name-for-a-workflow
steps:
  - id: build
    description: Make it.
    run: echo "file=$(pwd)/a/path/that/goes/on/and/on/artefact.tar" >> "$CEREBELUM_OUTPUT"
  - {id: again, retry: {attempts: 2, delay: 0}, run: 'echo said; exit 3'}
  - {id: never, run: 'true'}
"""


@pytest.fixture
def window(cli: Home) -> Iterator[Opens]:
    with windows(cli) as opens:
        yield opens


@given(st.lists(st.lists(st.text(max_size=30), min_size=4, max_size=4), min_size=1, max_size=5), st.integers(20, 100))
def test_a_table_is_not_wider_than_asked(rows: list[list[str]], width: int) -> None:
    fitted = table(rows, width=width, giving=(3, 2, 1, 0))
    assert all(columns(line) <= width for line in fitted)
    assert table(rows, width=1000, giving=(3, 2, 1, 0)) == table(rows)


def test_what_we_draw_ourselves_takes_the_columns_that_unicode_says() -> None:
    drawn = {character for symbol in UNICODE.__struct_fields__ for character in getattr(UNICODE, symbol)} | {"→"}
    assert drawn <= {*width._OURS}
    assert all(unicodedata.east_asian_width(character) not in "WF" for character in width._OURS)
    assert all(unicodedata.category(character)[0] in "SP" for character in width._OURS)


@pytest.mark.parametrize(("text", "width"), [("日本語", 6), ("e\u0301", 1), ("plain", 5), ("🎉", 2)])
def test_wide_and_combining_characters_take_what_a_terminal_gives_them(text: str, width: int) -> None:
    assert columns(text) == width
    assert clipped(text, width) == text
    assert columns(clipped(text * 3, width * 2)) <= width * 2


@pytest.mark.parametrize("width", [20, 40, 80, 160])
def test_list_and_status_fit_the_terminal(cli: Home, window: Opens, width: int) -> None:
    cli.write("flow.yaml", FLOW)
    assert cli("run", "flow.yaml", "--id", "x").code == 1
    code, lines = window("list", columns=width).finish()
    assert (code, len(lines)) == (0, 3)
    assert lines[1].startswith("x ")
    code, lines = window("status", "x", columns=width).finish()
    assert code == 0
    assert any(line.startswith("  ✓ build") for line in lines)
    if width >= 80:
        assert any("✗ again  exit code 3" in line for line in lines)


def test_colours_say_what_the_words_say_and_go_where_nobody_wants_them(cli: Home, window: Opens) -> None:
    cli.write("flow.yaml", FLOW)
    assert cli("run", "flow.yaml", "--id", "x").code == 1
    shown = window("list", columns=120)
    shown.finish()
    assert "\x1b[31m✗ failed".encode() in shown.raw
    shown = window("status", "x", columns=120)
    shown.finish()
    assert re.search(rb"\x1b\[32m  \xe2\x9c\x93 build", shown.raw)
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        shown = window("status", "x", **env)
        shown.finish()
        assert b"\x1b[" not in shown.raw
    assert "\x1b" not in cli("status", "x").out


def test_status_says_where_it_ran_what_came_of_it_and_what_to_do_next(cli: Home) -> None:
    cli.write("flow.yaml", FLOW)
    assert cli("run", "flow.yaml", "--id", "x").code == 1
    out = cli("status", "x").out
    assert f"ran in    {cli.folder} as " in out
    assert re.search(r'✓ build +\d\.\d s +→ \{"file":"', out)
    assert out.endswith("resume with: cerebelum resume x\n")
    cli.write("ask.yaml", "steps: [{id: go, approval: {message: 'Go?'}}]")
    assert cli("run", "ask.yaml", "--id", "y", "--park").code == 75
    assert cli("status", "y").out.endswith("decide with: cerebelum approve y go, or reject\n")


def test_one_step_is_shown_in_full(cli: Home) -> None:
    cli.write("flow.yaml", FLOW)
    assert cli("run", "flow.yaml", "--id", "x").code == 1
    build = cli("status", "x", "build").out
    assert "about     Make it." in build
    assert f'"file": "{cli.folder}/a/path/that/goes/on/and/on/artefact.tar"' in build
    again = cli("status", "x", "again").out
    for said in ("status        failed", "attempts      2", "needs         build", "exit code 3", "│ said"):
        assert said in again, again
    assert cli("status", "x", "again", "--json").json()["attempt"] == 2
    missing = cli("status", "x", "agian")
    assert (missing.code, "did you mean again?" in missing.err) == (3, True)


def test_a_list_that_is_watched_is_drawn_anew_when_something_happens(cli: Home) -> None:
    cli.write("one.yaml", "steps: [{id: one, run: 'true'}]\n")
    cli("run", "one.yaml", "--id", "first")
    with windows(cli) as opens:
        shown = opens("list", "--watch", "--interval", "100ms")
        shown.until(lambda lines: any("first" in line for line in lines))
        cli("run", "one.yaml", "--id", "second")
        lines = shown.until(lambda lines: any("second" in line for line in lines))
        assert sum("first" in line for line in lines) == 1, "nothing is left of the table before"
        shown.process.send_signal(signal.SIGINT)
        assert shown.finish()[0] == 130


def test_only_a_terminal_can_show_a_list_that_is_watched(cli: Home) -> None:
    assert cli("list", "--watch").code == 2
    assert cli("list", "--watch", "--json").code == 2


@pytest.mark.parametrize(
    ("env", "linked"),
    [
        ({}, False),
        ({"VTE_VERSION": "7200"}, True),
        ({"VTE_VERSION": "4600"}, False),
        ({"TERM_PROGRAM": "vscode"}, True),
        ({"TERM_PROGRAM": "vscode", "FORCE_HYPERLINK": "0"}, False),
        ({"FORCE_HYPERLINK": "1"}, True),
    ],
)
def test_the_workflow_file_is_a_link_where_the_terminal_knows_them(
    cli: Home, env: dict[str, str], linked: bool
) -> None:
    cli.write("one.yaml", "steps: [{id: one, run: 'true'}]\n")
    cli("run", "one.yaml", "--id", "x")
    with windows(cli) as opens:
        shown = opens("status", "x", columns=200, **env)
        _, lines = shown.finish()
    assert any(f"({cli.folder}/one.yaml)" in line for line in lines)
    assert (b"\x1b]8;;file://" in shown.raw) is linked


def test_a_list_and_a_status_have_a_symbol_beside_the_word_and_both_kinds_of_time(cli: Home) -> None:
    cli.write("one.yaml", "steps: [{id: one, run: 'false'}]\n")
    cli("run", "one.yaml", "--id", "x")
    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.search(rf"^x   ✗ failed  one  +0/1    {moment}  \d+(\.\d)? s ago", cli("list").out, re.MULTILINE)
    assert re.search(rf"^x  ✗ failed\n(.*\n)*started +{moment} \(\d+(\.\d)? s ago\), ", cli("status", "x").out)
