"""What README and docs say is what happens: their commands, files, Python, links, options, and the list of events."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from cerebelum.app import App
from cerebelum.cli.group import VERBS, build
from cerebelum.core import errors
from cerebelum.core.events import AnyEvent, Event, StepError
from cerebelum.steps import Invocation
from docs.generate import CLI, PAGES, ROOT, Block, Ran, blocks, cli_page, commands, environment, essence, perform

NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
RUN = [name for name in NAMES if "```console" in (ROOT / name).read_text()]
# What is on the page of the service needs one: tests/rpc/test_service_page.py.
WITH_PYTHON = [name for name in NAMES if "```python" in (ROOT / name).read_text() and name != "docs/service.md"]


def page(name: str) -> str:
    return (ROOT / name).read_text()


def written(name: str, folder: Path) -> list[Block]:
    """The blocks of a page, those that are files written to `folder`."""
    found = blocks(page(name))
    for block in found:
        if block.file is not None and not block.file.startswith("/"):
            (folder / block.file).write_text(block.text)
    return found


def run(folder: Path, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(a) for a in argv],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# --- what is shown is what happens -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in RUN if name != "README.md"])
def test_commands_print_what_the_page_shows(name: str, tmp_path: Path) -> None:
    check(performed(name, tmp_path))


def performed(name: str, folder: Path) -> list[Ran]:
    """What the commands of a page did."""
    return [ran for session in perform(page(name), folder) for ran in session]


def check(every: list[Ran]) -> None:
    for ran in every:
        assert essence(ran.printed) == essence(ran.command.printed), f"$ {ran.command.text}\n{ran.printed}"


def test_the_readme_shows_a_failure_a_resume_and_a_kill_as_they_happen(tmp_path: Path) -> None:
    ran = performed("README.md", tmp_path)
    check(ran)
    codes = {each.command.text.split(" >")[0]: each.code for each in ran}
    assert codes["cerebelum run deploy.yaml --input version=1.4.0"] == errors.EXECUTION_FAILED
    assert codes["cerebelum resume last"] == codes["cerebelum resume nightly-1"] == errors.OK
    assert codes["kill -9 $!"] == 0
    resumed = next(each.printed for each in ran if each.command.text == "cerebelum resume last")
    assert "upload" in resumed
    assert not {"build", "lint", "test"} & {line.split()[1] for line in resumed.splitlines() if line.startswith("▶")}
    history = next(each.printed for each in ran if each.command.text == "cerebelum history nightly-1")
    assert "StepInterrupted  crunch  runner died" in history


def test_the_demo_prints_what_the_readme_shows_of_it(tmp_path: Path) -> None:
    shown = next(b.text for b in blocks(page("README.md")) if "greeter" in b.text)
    done = run(tmp_path, ROOT / "examples" / "deploy" / "demo.sh")
    assert done.returncode == 0, done.stderr
    assert set(essence(shown)) <= set(essence(done.stdout))


@pytest.mark.parametrize("name", NAMES)
def test_workflows_are_valid(name: str, tmp_path: Path) -> None:
    found = written(name, tmp_path)
    plugins = [b.file for b in found if b.language == "python" and b.file and "def cerebelum_executors" in b.text]
    workflows = [b for b in found if b.language == "yaml" and re.search(r"^steps:", b.text, re.MULTILINE)]
    for block in workflows:
        file = tmp_path / (block.file or f"line-{block.line}.yaml")
        file.write_text(block.text)
        options = [word for plugin in plugins for word in ("--plugin", plugin)]
        done = run(tmp_path, sys.executable, "-m", "cerebelum", "validate", *options, file)
        assert done.returncode == 0, f"{name}:{block.line}\n{done.stderr}"


@pytest.mark.parametrize("name", WITH_PYTHON)
def test_python_runs(name: str, tmp_path: Path) -> None:
    for block in written(name, tmp_path):
        if block.language != "python":
            continue
        compile(block.text, f"{name}:{block.line}", "exec")
        if block.file is None:
            done = run(tmp_path, sys.executable, "-W", "error", "-c", block.text)
            assert done.returncode == 0, f"{name}:{block.line}\n{done.stderr}"


def test_the_conformance_suite_runs_as_the_page_says(tmp_path: Path) -> None:
    written("docs/backends.md", tmp_path)
    (tmp_path / "conftest.py").write_text("")
    few = ["-q", "-p", "no:cacheprovider", "-k", "never_written or conflict or fence"]
    done = run(tmp_path, sys.executable, "-m", "pytest", *few, "test_folder_store.py")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_the_tests_of_a_workflow_pass_as_the_page_says(tmp_path: Path) -> None:
    written("docs/python.md", tmp_path)
    done = run(tmp_path, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_release.py")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_json_and_toml_are_well_formed(name: str) -> None:
    for block in blocks(page(name)):
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)


# --- nothing is named that is not there ------------------------------------------------------------------------------


def test_cli_md_holds_the_help_texts() -> None:
    assert CLI.read_text() == cli_page(), "run: .venv/bin/python -m docs.generate docs/cli.md"


def heading_anchors(text: str) -> set[str]:
    """The anchors that the headings of a page get."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", [*NAMES, *(f"examples/{name}README.md" for name in ("", "plugin/", "backend/"))])
def test_links_lead_somewhere(name: str) -> None:
    text = re.sub(r"^```.*?^```", "", page(name), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), f"{name}: {target}"
        if anchor:
            assert anchor in heading_anchors(file.read_text()), f"{name}: {target}"


def options_of(words: list[str]) -> tuple[str, set[str], list[str]]:
    """The verb of a command line (`store verify` is one), its options, and those that are written there."""
    group: Any = build(VERBS, lambda group: None)
    with click.Context(group, info_name="cerebelum", obj=App({})) as context:
        command: click.Command = group
        known = {option for param in group.params for option in param.opts} | {"-h", "--help"}
        verb: list[str] = []
        for word in words:
            if word.startswith("-") or not isinstance(command, click.Group):
                continue
            found = command.get_command(context, word)
            if found is not None:
                command = found
                verb.append(word)
                known |= {option for param in command.params for option in param.opts}
    return " ".join(verb), known, [word.partition("=")[0] for word in words if re.fullmatch(r"--?[a-z][\w-]*.*", word)]


def command_lines(name: str) -> list[str]:
    """Everything on a page that calls cerebelum, in blocks and in the text."""
    text = page(name)
    lines = [c.text for b in blocks(text) if b.language == "console" for c in commands(b)]
    lines += [line for b in blocks(text) if b.language in ("sh", "crontab") for line in b.text.splitlines()]
    lines += [line for b in blocks(text) for line in re.findall(r"^ExecStart=(.*)$", b.text, re.MULTILINE)]
    lines += re.findall(r"`(cerebelum [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [found[0] for line in lines for found in re.findall(r"\b(cerebelum( [^|&;#>\n]+))", line)]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "docs/cli.md"])
def test_verbs_and_options_exist(name: str) -> None:
    of_plugins = {"count"}
    for line in command_lines(name):
        words = shlex.split(line)[1:]
        if words[0] in of_plugins:
            continue
        verb, known, options = options_of(words)
        assert verb or words[0].startswith("-"), f"{name}: {line}: there is no such verb"
        assert set(options) <= known, f"{name}: {line}: there is no {set(options) - known}"


def test_every_option_in_the_text_belongs_to_some_verb() -> None:
    known = set(re.findall(r"--[a-z][a-z-]+", CLI.read_text()))
    known |= set(re.findall(r"--[a-z][a-z-]+", (ROOT / "build" / "install.sh").read_text()))
    foreign = {"--noprofile", "--norc", "--force", "--repo", "--many", "--strict"}
    for name in NAMES:
        text = re.sub(r"^```.*?^```", "", page(name), flags=re.MULTILINE | re.DOTALL)
        assert set(re.findall(r"`[^`\n]*?(--[a-z][a-z-]+)", text)) - foreign <= known, name


def test_json_md_names_every_event_and_its_fields() -> None:
    rows = dict[str, str]()
    for kinds, fields in re.findall(
        r"^\| (`[A-Z]\w+`(?:, `[A-Z]\w+`)*) \| (.*) \|$", page("docs/json.md"), re.MULTILINE
    ):
        rows |= dict.fromkeys(re.findall(r"`(\w+)`", kinds), fields)
    shared = set(Event.__struct_fields__)
    real = {kind.__name__: set(kind.__struct_fields__) - shared for kind in AnyEvent.__args__}
    assert rows.keys() == real.keys()
    for kind, fields in real.items():
        assert fields <= set(re.findall(r"`(\w+)`", rows[kind])), kind


def exit_codes() -> dict[int, str]:
    return {value: name for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)}


@pytest.mark.parametrize("name", ["README.md", "docs/operations.md"])
def test_every_exit_code_is_in_the_table(name: str) -> None:
    cells = re.findall(r"^\| ([\d, ]+) \|", page(name), re.MULTILINE)
    told = {int(code) for cell in cells for code in re.findall(r"\d+", cell)}
    assert told == exit_codes().keys() | set(errors.SIGNALS.values())


def test_every_key_of_steps_and_workflows_is_described() -> None:
    from cerebelum.definition import schema

    text = page("docs/workflow-files.md")
    described = set(re.findall(r"`([a-z_]+)`|\b([a-z_]+):", text))
    keys = _keys(schema(App({}).executors()))
    assert {"steps", "needs", "backoff"} <= keys
    assert keys <= {word for pair in described for word in pair}


def _keys(value: object) -> set[str]:
    """Every name of a property anywhere in a JSON Schema."""
    if isinstance(value, dict):
        own = set(value["properties"]) if isinstance(value.get("properties"), dict) else set()
        return own.union(*(_keys(item) for item in value.values()))
    return set().union(*(_keys(item) for item in value)) if isinstance(value, list) else set()


def test_what_makes_output_comparable_hides_no_difference_that_matters() -> None:
    shown = "deploy-k3f9q2xm7p  failed\n✓ build  0.1 s\n✗ upload  exit code 1"
    assert essence(shown) == essence(shown.replace("k3f9q2xm7p", "aaaaaaaaaa").replace("0.1 s", "2.0 s"))
    for before, after in (("failed", "completed"), ("code 1", "code 2"), ("build", "lint"), ("✓", "✗")):
        assert essence(shown) != essence(shown.replace(before, after))


@pytest.mark.parametrize("kind", [Invocation, StepError])
def test_the_page_on_plugins_names_every_field(kind: type[msgspec.Struct]) -> None:
    text = page("docs/plugins.md")
    start = text.index("| field | meaning |", text.index(f"`{kind.__name__}`", text.index("| attribute | meaning |")))
    table = text[start:].split("\n\n")[0]
    named = re.findall(r"`([a-z_]+)`", " ".join(row.split("|")[1] for row in table.splitlines()[2:]))
    # What is only made when it is asked for is a property.
    made = {name.removeprefix("make_") for name in kind.__struct_fields__}
    assert sorted(named) == sorted(made)


@pytest.mark.parametrize("name", ["docs/design.md", "CONTRIBUTING.md"])
def test_every_file_and_folder_that_the_design_names_is_there(name: str) -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+(?:/|\.py))`", page(name)))
    assert named
    places = [ROOT, ROOT / "cerebelum"]
    assert not {n for n in named if not any((place / n).exists() for place in places)}


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_has_an_example(verb: str) -> None:
    section = CLI.read_text().split(f"\n## cerebelum {verb}\n")[1].split("\n## ")[0]
    examples = [line for line in section.splitlines() if re.search(rf"^  .*\bcerebelum {verb}\b", line)]
    assert examples, f"cerebelum {verb} --help shows nobody how it is used"
