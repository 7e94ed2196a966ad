"""What a short command costs: it imports nothing it does not use."""

from collections.abc import Callable

import pytest
from click import Context, Group, Option

from cerebelum.cli.group import VERBS, build
from tests.binary.program import BINARY, TRICKS
from tests.cli.conftest import Home

# Whole families of modules, by what importing any of them costs.
NEVER = {
    *("asyncio", "yaml", "rich", "jinja2", "sqlite_utils", "psycopg", "simpleeval", "psutil", "platformdirs", "pluggy"),
    *("importlib.metadata", "jsonschema", "http", "email", "concurrent", "multiprocessing"),
    *("cerebelum.plugins", "cerebelum.registry", "cerebelum.definition.workflows"),
    *("cerebelum.render.contract", "cerebelum.render.output_schema"),
}


def imported(stderr: str) -> set[str]:
    """Every module that `-X importtime` reports."""
    return {line.rpartition("|")[2].strip() for line in stderr.splitlines() if line.startswith("import time:")}


def unwanted(modules: set[str]) -> set[str]:
    return {m for m in modules if any(m == name or m.startswith(f"{name}.") for name in NEVER)}


@pytest.mark.skipif(BINARY is not None, reason="the binary takes no options of the interpreter")
@pytest.mark.skipif(not TRICKS, reason="it is the tricks that keep them from it")
def test_short_commands_import_nothing_they_do_not_use(cli: Home, flaky: Callable[[], None]) -> None:
    execution_id = cli("run", "flaky.yaml").id()
    for arguments in (["--version"], ["list"], ["status", execution_id]):
        with cli.start(*arguments, python=["-X", "importtime"]) as process:
            out, err = process.communicate()
        assert process.returncode == 0
        assert out
        modules = imported(err.decode())
        assert "cerebelum" in modules
        assert not unwanted(modules), arguments
        if arguments == ["--version"]:
            assert "click" not in modules
            assert out.decode() == "cerebelum 0.1.0\n"


def test_the_program_says_what_it_is_made_of_without_a_home(cli: Home) -> None:
    told = cli("--version", "--json", env={"HOME": ""})
    assert told.code == 0, told.err
    assert {"version", "commit", "build", "form", "python", "sqlite", "psycopg", "libpq", "file"} == set(told.json())
    assert told.json() == cli("--json", "--version").json()
    assert "MIT" in cli("--licenses").out
    assert cli("--store", "elsewhere.db", "--version").out == cli("--version").out


@pytest.mark.parametrize(
    "arguments",
    [["--json"], ["--json", "list"], ["--version", "list"], ["--licenses", "--json"], ["--licenses", "run"]],
)
def test_an_option_that_would_be_passed_over_is_refused(cli: Home, arguments: list[str]) -> None:
    refused = cli(*arguments)
    assert (refused.code, refused.out) == (2, "")
    assert any(word in refused.err for word in arguments if word.startswith("--"))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(verb: str) -> None:
    group = build(VERBS, lambda group: None)
    command = group.get_command(Context(group), verb)
    assert command is not None
    explained = {f"cerebelum {verb}": command}
    if isinstance(command, Group):
        explained = {f"cerebelum {verb} {name}": part for name, part in command.commands.items()}
    for name, part in explained.items():
        text = part.get_help(Context(part, info_name=verb, help_option_names=["-h", "--help"]))
        assert name in text
        assert "--store" in text
        assert "--help" in text
        assert all(param.help for param in part.params if isinstance(param, Option))


def test_the_help_lists_every_verb_and_those_of_plugins(cli: Home) -> None:
    plugin = """
import click
from cerebelum import hookimpl

@hookimpl
def cerebelum_commands(group, client):
    @group.command()
    @click.argument("word")
    def shout(word):
        "Say it loud."
        from cerebelum.store import Query
        click.echo(word.upper() + str(len(client().list(Query()).rows)))
"""
    path = str(cli.write("shout.py", plugin))

    assert "Say it loud." in cli("--plugin", path, "--help").out
    assert cli("--plugin", path, "shout", "hello").out == "HELLO0\n"
    assert cli("shout", "hello", "--plugin", path).out == "HELLO0\n"

    unknown = cli("lsit")
    assert unknown.code == 2
    assert "did you mean list?" in unknown.err
    assert cli().code == 2


def test_a_shell_can_complete_verbs_and_options(cli: Home) -> None:
    def completed(words: str, at: int) -> set[str]:
        asked = {"_CEREBELUM_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        return {line.partition(",")[2] for line in cli(env=asked).out.split()}

    assert completed("cerebelum res", 1) == {"resume"}
    assert {"--plan", "--from", "--store"} <= completed("cerebelum resume --", 2)
