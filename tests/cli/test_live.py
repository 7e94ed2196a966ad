"""What `run` shows on a terminal, read from the screen of a terminal."""

import re
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Home
from tests.cli.screens import Opens, windows

FLOW = """
name: show
steps:
  - {id: build, run: 'echo compiling; echo done'}
  - parallel:
      - {id: left, run: 'echo left is busy; until test -e go; do :; done'}
      - {id: right, run: 'echo right is busy; until test -e go; do :; done'}
  - {id: nap, sleep: 200ms}
  - {id: check, run: 'for n in 1 2 3; do echo line $n; done; test -e mended'}
  - {id: end, run: 'echo end'}
"""


@pytest.fixture
def window(cli: Home) -> Iterator[Opens]:
    with windows(cli) as opens:
        yield opens


def running(lines: list[str]) -> list[str]:
    return [line for line in lines if re.match("[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] ", line)]


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_a_line_lives_for_each_step_that_runs_and_stays_for_each_that_is_over(
    cli: Home, window: Opens, columns: int
) -> None:
    cli.write("show.yaml", FLOW)
    shown = window("run", "show.yaml", "--id", "x", columns=columns)
    lines = shown.until(lambda lines: len(running(lines)) == 2 and all("busy" in line for line in running(lines)))
    assert [line.split()[1] for line in running(lines)] == ["left", "right"]
    assert any(re.search(r"━+─+  1/6  ", line) for line in lines)
    assert any(re.fullmatch(r"✓ build  \d\.\d s", line) for line in lines)
    assert all(len(line) < columns for line in lines)
    (cli.folder / "go").touch()
    code, lines = shown.finish()
    assert code == 1
    assert not running(lines)
    assert not any("━" in line for line in lines), "what lived is gone"
    text = "\n".join(lines)
    assert [text.count(f"line {n}") for n in (1, 2, 3)] == [1, 1, 1], "the failing step's lines are shown once"
    assert "✗ check  exit code 1" in text
    assert "resume with: cerebelum resume x" in text.replace("\n", " ")


def test_a_window_that_becomes_narrower_and_wider_shows_nothing_twice(cli: Home, window: Opens) -> None:
    cli.write("show.yaml", FLOW)
    shown = window("run", "show.yaml", "--id", "x", "--no-summary", columns=100)
    shown.until(lambda lines: len(running(lines)) == 2)
    for columns in (30, 120, 50):
        shown.resize(columns, 24)
        shown.until(lambda lines: len(running(lines)) == 2)
        assert max(map(len, shown.lines())) <= columns
    (cli.folder / "go").touch()
    (cli.folder / "mended").touch()
    code, lines = shown.finish()
    assert code == 0, lines
    assert [sum(f"✓ {step} " in line for line in lines) for step in ("build", "left", "right", "end")] == [1, 1, 1, 1]


def test_more_steps_than_rows_are_counted(cli: Home, window: Opens) -> None:
    steps = "".join(f"      - {{id: s{n}, run: 'until test -e go; do sleep 0.01; done'}}\n" for n in range(12))
    cli.write("many.yaml", f"name: many\nsteps:\n  - parallel:\n{steps}")
    shown = window("run", "many.yaml", "--no-summary", rows=8)
    lines = shown.until(lambda lines: any("and 7 more" in line for line in lines))
    assert len(running(lines)) == 5
    (cli.folder / "go").touch()
    code, lines = shown.finish()
    assert code == 0
    assert sum(line.startswith("✓ s") for line in lines) == 12


def test_waits_are_counted_down_and_a_question_names_the_command(cli: Home, window: Opens) -> None:
    cli.write(
        "wait.yaml",
        "steps: [{parallel: [{id: nap, sleep: 1h}, {id: go, approval: {message: 'Ship it?'}}]}]\n",
    )
    shown = window("run", "wait.yaml", "--id", "x")
    lines = shown.until(lambda lines: any("sleeps, 1 h left" in line or "min" in line for line in lines))
    lines = shown.until(lambda lines: sum("Ship it?" in line for line in lines) == 2)
    assert "  cerebelum approve x go" in lines
    assert cli("cancel", "x").code == 0
    assert shown.finish()[0] == 6


def test_what_is_usual_is_learnt_from_earlier_executions(cli: Home, window: Opens) -> None:
    cli.write("show.yaml", FLOW)
    (cli.folder / "go").touch()
    (cli.folder / "mended").touch()
    assert cli("run", "show.yaml").code == 0
    (cli.folder / "go").unlink()
    shown = window("run", "show.yaml")
    shown.until(lambda lines: any(re.search(r"1/6 .*(about .* left|usually)", line) for line in lines))
    (cli.folder / "go").touch()
    assert shown.finish()[0] == 0


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"CI": "true"}])
def test_where_nothing_can_be_drawn_anew_lines_are_printed(cli: Home, window: Opens, env: dict[str, str]) -> None:
    cli.write("one.yaml", "steps: [{id: one, run: 'echo said'}]")
    shown = window("run", "one.yaml", **env)
    code, lines = shown.finish()
    assert code == 0
    assert "one │ said" in lines
    assert not re.search(rb"\x1b\[\d*[AJ]", shown.raw)


def test_no_colour_is_heeded_and_verbose_shows_everything(cli: Home, window: Opens) -> None:
    cli.write("one.yaml", "steps: [{id: one, run: 'echo first; echo second; sleep 0.3'}]")
    shown = window("run", "one.yaml", "--verbose", NO_COLOR="1")
    code, lines = shown.finish()
    assert code == 0
    assert {"one │ first", "one │ second"} <= set(lines)
    assert not re.search(rb"\x1b\[[0-9;]+m", shown.raw)


def test_nothing_in_names_or_output_commands_the_terminal(cli: Home, window: Opens) -> None:
    cli.write(
        "evil.yaml",
        r"""
steps:
  - id: evil
    run: |
      printf '\033]0;title\007\033[2J\033[H wide: 日本語 rtl: \342\200\256abc\n'; until test -e go; do :; done
""",
    )
    shown = window("run", "evil.yaml", columns=40)
    lines = shown.until(lambda lines: any("wide" in line for line in running(lines)))
    assert any("␛" in line for line in running(lines))
    assert b"\x1b[2J" not in shown.raw
    (cli.folder / "go").touch()
    assert shown.finish()[0] == 0


def test_ctrl_c_says_what_is_being_ended_and_leaves_a_clean_screen(cli: Home, window: Opens) -> None:
    cli.write("long.yaml", "name: long\nsteps: [{id: long, run: 'trap \"sleep 0.3\" TERM; sleep 600 & wait'}]")
    shown = window("run", "long.yaml", "--id", "x")
    shown.until(lambda lines: len(running(lines)) == 1)
    shown.process.send_signal(2)
    code, lines = shown.finish()
    assert code == 130
    text = " ".join(lines)
    assert "ending long, for at most 6 s; once more (Ctrl-C) kills at once" in text
    assert "resume with: cerebelum resume x" in text
    assert not running(lines)


def test_twenty_columns_are_enough(cli: Home, window: Opens) -> None:
    cli.write("show.yaml", FLOW.replace("left,", f"{'l' * 64},"))
    shown = window("run", "show.yaml", columns=20, rows=6)
    shown.until(lambda lines: len(running(lines)) >= 1)
    (cli.folder / "go").touch()
    (cli.folder / "mended").touch()
    assert shown.finish()[0] == 0
