"""Every command, option and make target that a page names is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cerebelum.cli.group import VERBS, build, with_shared_options

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
_PLUGINS_OWN = {"count", "hello"}
"""Verbs that a page has just added by a plugin."""


def command_lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The words after each `cerebelum` that is called, in blocks and in between, with the number of its line."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        fenced ^= line.lstrip().startswith("```")
        if not fenced and not line.startswith(("    ", "$ ")):
            # Prose: only what stands in backticks.
            line = "\n".join(re.findall(r"`([^`]+)`", line))
        shell = re.sub(r"#.*| &&? | \|\|? ", "\n", line.replace("\\\n", " "))
        for part in re.split(r"[\n`;]|\$\(|\)", shell):
            words = part.split()
            for at, word in enumerate(words):
                if word == "cerebelum" and (at == 0 or words[at - 1] in ("$", "exec", "nohup", "then", "do", "if")):
                    yield number, words[at + 1 :]
                    break


def problem(group: click.Group, words: list[str]) -> str | None:
    """What is wrong with the words after `cerebelum`; None if there is nothing."""
    command: click.Command = group
    context = click.Context(group)
    for word in words:
        name = word.partition("=")[0].strip("[],.:|…'\"")
        if name.startswith("--") and len(name) > 2:
            options = {option for param in command.params for option in param.opts}
            if name not in options | {"--help", "--version", "--licenses", "--store", "--plugin", "--json"}:
                return f"{command.name} has no option {name}"
            if isinstance(command, click.Group) and command is not group:
                # A verb with parts, called by itself: what follows are its options.
                command = click.Command(command.name, params=command.params)
        elif isinstance(command, click.Group) and re.fullmatch(r"[a-z][a-z-]*", name):
            if name in _PLUGINS_OWN:
                return None
            found = command.get_command(context, name)
            if found is None:
                return f"there is no verb {name!r}"
            command = found
        elif isinstance(command, click.Group):
            return None
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_names_is_there(page: Path) -> None:
    group = build(VERBS, lambda group: None)
    for name in VERBS:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        with_shared_options(command)
    found = [
        f"{page.name}:{number}: cerebelum {' '.join(words)}: {wrong}"
        for number, words in command_lines(page.read_text("utf-8"))
        if (wrong := problem(group, words))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_that_a_page_names_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = re.findall(r"(?:^\$ |^|`)make (?:[A-Z_]+=\S+ )*([a-z][a-z-]*)", page.read_text("utf-8"), re.MULTILINE)
    assert not set(named) - targets - {"deploy"}, "other people's Makefiles have `deploy`"


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("back it up: `cerebelum store shrink`", "there is no verb 'shrink'"),
        ("$ cerebelum ls", "there is no verb 'ls'"),
        ("$ TOKEN=x; cerebelum run a.yaml --id x --bogus", "run has no option --bogus"),
        ("    cerebelum resume ID --from STEP --plan", None),
    ],
)
def test_what_is_not_there_is_found(line: str, wrong: str | None) -> None:
    [(_, words)] = command_lines(line)
    assert problem(build(VERBS, lambda group: None), words) == wrong
