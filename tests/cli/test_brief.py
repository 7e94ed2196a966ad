"""What is answered without reading the command line in full is answered as if it had been."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from cerebelum.app import App
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
        *(["--store", "x", "list"], ["status", "--", "a"], ["run", "list"]),
    ):
        assert brief.perform(arguments, nobody) is None


@pytest.mark.skipif(not TRICKS, reason="it is a trick")
def test_click_is_not_loaded_for_it(cli: Home) -> None:
    code = "import sys; from cerebelum.app import main; main(['list']); print('click' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], env=cli.environ, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "False"


def test_a_trick_that_nobody_knows_is_refused(cli: Home) -> None:
    said = cli("list", env={"CEREBELUM_WITHOUT": "leen"})
    assert said.code == 2
    assert "names 'leen'; known: all, gc, lean" in said.err
