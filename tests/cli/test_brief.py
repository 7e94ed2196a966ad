"""What is answered without reading the command line in full is answered as if it had been."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import click
import pytest

from cerebelum.app import App
from cerebelum.cli.group import VERBS, build
from cerebelum.start import brief
from tests.binary.program import TRICKS
from tests.cli.conftest import Home


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (["list"], ["list", "--limit", "20"]),
        (["list", "--json"], ["list", "--limit", "20", "--json"]),
        (["status"], ["status", "--", "last"]),
        (["status", "--json"], ["status", "--json", "--", "last"]),
        (["status", "one"], ["status", "--", "one"]),
        (["status", "on"], ["status", "--", "on"]),
        (["status", "one", "--json"], ["status", "--json", "--", "one"]),
        (["status", "--json", "one"], ["status", "--json", "--", "one"]),
        (["status", "nobody"], ["status", "--", "nobody"]),
        (["status", "nobody", "--json"], ["status", "--json", "--", "nobody"]),
        (["status", ""], ["status", "--", ""]),
    ],
    ids=" ".join,
)
def test_the_short_way_gives_the_answer_of_the_long_one(
    cli: Home, flaky: Callable[[], None], short: list[str], long: list[str]
) -> None:
    flaky()
    cli("run", "flow.yaml", "--id", "one")
    assert cli(*short) == cli(*long)


def test_the_long_way_is_left_to_all_else() -> None:
    nobody = App({})
    for arguments in (
        *(
            [],
            [""],
            ["list", "x"],
            ["list", "--limit", "1"],
            ["list", "--json", "--json"],
            ["--json", "list"],
            ["lists"],
        ),
        *(["status", "a", "b"], ["status", "-h"], ["status", "--help"], ["status", "\udcff"], ["status", "ü"]),
        *(["--store", "x", "list"], ["status", "--", "a"], ["run"], ["run", "a", "b"], ["run", "-h"], ["run", "ü"]),
        *(["run", "a", "--tag", "x"], ["run", "a", "--input=x=y"], ["run", "a", "-i"], ["run", "a", "-ix=y"]),
        *(["run", "a", "-i", "-x=y"], ["run", "a", "--id"], ["run", "a", "--id", "-x"], ["run", "--", "a"]),
        *(["run", "a", "--id", "x", "--id", "y"], ["run", "a", "--store", "x"], ["run", "-"], ["run", "a", "-qv"]),
    ):
        assert brief.perform(arguments, nobody, lambda: None) is None


@pytest.mark.parametrize(
    "rest",
    [
        ["a.yaml"],
        ["", "--json"],
        ["-q", "a.yaml"],
        ["a.yaml", "--quiet", "--json", "--json"],
        ["-i", "x=1", "a.py:b", "--input", "y=", "-i", "odd"],
        ["--id", "one", "--or-resume", "a.yaml"],
        ["a.yaml", "--or-resume"],
        ["a.yaml", "-i", "x", "--id", ""],
    ],
    ids=" ".join,
)
def test_a_run_is_told_what_click_would_tell_it(rest: list[str]) -> None:
    group = build(VERBS, lambda group: None)
    above = click.Context(group, obj=App({}))
    command = group.get_command(above, "run")
    assert command is not None
    assert brief.run_options(rest) == command.make_context("run", [*rest], parent=above).params


@pytest.mark.skipif(not TRICKS, reason="it is a trick")
@pytest.mark.parametrize("arguments", [["list"], ["run", "flaky.yaml", "-q"]], ids=" ".join)
def test_click_is_not_loaded_for_it(cli: Home, flaky: Callable[[], None], arguments: list[str]) -> None:
    flaky()
    code = f"import sys; from cerebelum.app import main; main({arguments}); print('click' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=cli.folder, env=cli.environ, capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[-1] == "False"


WORDS = """
from gettext import ngettext
from cerebelum import step, workflow

@step
def words():
    return ngettext.__module__

@workflow
def said(wf):
    wf.timeline(words)
"""


def test_a_step_gets_what_it_imports_and_not_what_stands_in_for_it(cli: Home) -> None:
    cli.write("words.py", WORDS)
    ran = cli("run", "words.py:said", "--json")
    assert ran.code == 0, ran
    assert ran.lines()[-1]["output"] == "gettext"


def test_a_trick_that_nobody_knows_is_refused(cli: Home) -> None:
    said = cli("list", env={"CEREBELUM_WITHOUT": "leen"})
    assert said.code == 2
    assert "names 'leen'; known: all, gc, lean" in said.err
