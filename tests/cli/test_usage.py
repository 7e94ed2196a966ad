"""Command lines that are wrong: one style of message, with what is wrong and what might have been meant."""

import pytest

from tests.cli.conftest import Home


@pytest.mark.parametrize(
    ("words", "expected", "hint"),
    [
        (["lits"], "there is no verb 'lits'", "did you mean list?"),
        (["ps"], "there is no verb 'ps'", "did you mean list?"),
        (["run", "a.yaml", "--quite"], "there is no option --quite", "did you mean --quiet"),
        (["run"], "FILE is missing", "see: cerebelum run --help"),
        (["list", "more"], "more is more than cerebelum list takes", "see: cerebelum list --help"),
        (["list", "--limit", "many"], "--limit takes a whole number, from 1 to 10000, not 'many'", "see: "),
        (["list", "--limit", "0"], "--limit takes a whole number, from 1 to 10000, not 0", "see: "),
        (
            ["run", "a.yaml", "--output", "loud"],
            "--output takes one of live, stream, grouped, failed, not 'loud'",
            "see: cerebelum run --help",
        ),
        (["run", "a.yaml", "--log-limit", "q"], "--log-limit: 'q' is no size", "see: cerebelum run --help"),
        (["status", "deploy-2"], "there is no execution 'deploy-2'", "did you mean deploy-1?"),
        (["status", "nothing-like-it"], "there is no execution 'nothing-like-it'", "see: cerebelum list"),
        (["status", "deploy-1", "bulid"], "deploy-1 has no step 'bulid'", "did you mean build?"),
    ],
)
def test_what_is_wrong_is_said_with_what_might_have_been_meant(
    cli: Home, words: list[str], expected: str, hint: str
) -> None:
    cli.write("a.yaml", "steps: [{id: build, run: 'true'}]\n")
    cli("run", "a.yaml", "--id", "deploy-1")
    said = cli(*words)
    assert said.code in (2, 3)
    lines = said.err.splitlines()
    assert lines[0].startswith(f"cerebelum: error: {expected}"), said.err
    assert lines[1].startswith(f"  hint: {hint}"), said.err
    assert len(lines) == 2


def test_an_option_without_its_value_is_named(cli: Home) -> None:
    assert "--limit needs a value" in cli("list", "--limit").err
