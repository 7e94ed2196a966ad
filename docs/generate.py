"""Keeps the pages true: runs the commands they show, puts in what was printed, and writes cli.md from the help texts,
output.schema.json from the types of what is printed, openapi.json from the addresses of the service, and performance.md
from the results of the benchmarks.

    .venv/bin/python -m docs.generate              every page, and what is written from types
    .venv/bin/python -m docs.generate README.md    this one

A page is a sequence of code blocks that share one empty folder. A block whose first line is `# name.ext` is a file of
that name. A `console` block is a shell session, run in order with the other ones of its page: lines that begin with
`$ ` are commands (`> ` continues one), the others are what they print. tests/test_docs.py runs all of it, too.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
CLI = ROOT / "docs" / "cli.md"
SCHEMA = ROOT / "docs" / "output.schema.json"
OPENAPI = ROOT / "docs" / "openapi.json"
PERFORMANCE = ROOT / "docs" / "performance.md"
PAGES = (*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *sorted(CLI.parent.glob("*.md")))

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w./-]+\.\w+)\n")
_MARK = "@@ended"
_SECONDS = 60
_WORK = "/home/me/work"
"""What the pages show instead of the temporary folder."""
_ENDED = re.compile(rf"(?:\n|^){_MARK} (\d+)\n")


class Block(NamedTuple):
    """A code block of a page."""

    language: str
    text: str
    start: int
    """Where `text` stands in the page, in characters."""
    line: int

    @property
    def file(self) -> str | None:
        """The name of the file it is, if it is one."""
        found = _FILE.match(self.text)
        return found[1] if found and self.language != "console" else None


class Command(NamedTuple):
    """A command of a `console` block, and what the page says that it prints."""

    text: str
    printed: str


class Ran(NamedTuple):
    """What a command really did."""

    command: Command
    printed: str
    code: int


def blocks(page: str) -> list[Block]:
    """The code blocks of a page, in order."""
    return [
        Block(found[2], found[3], found.start(3), page.count("\n", 0, found.start(3)) + 1)
        for found in _FENCE.finditer(page)
    ]


def commands(block: Block) -> list[Command]:
    """The commands of a `console` block. Raises ValueError if it begins with something else."""
    found: list[tuple[list[str], list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(([line[2:]], []))
        elif not found:
            raise ValueError(f"line {block.line}: a console block begins with a command")
        elif line.startswith("> ") and not found[-1][1]:
            found[-1][0].append(line[2:])
        else:
            found[-1][1].append(line)
    return [Command("\n".join(said), "\n".join(printed).strip("\n")) for said, printed in found]


def environment(home: Path) -> dict[str, str]:
    """Variables for a shell in which `cerebelum` is this one, with a home of its own."""
    foreign = ("CEREBELUM_", "XDG_", "PYTHON", "PYTEST_", "INPUT_", "LC_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    path = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    return env | {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}


def perform(page: str, folder: Path) -> list[list[Ran]]:
    """Make the page's files in `folder/work` and run its console blocks there, in one shell: for each, what happened.

    Raises AssertionError if the shell does not come to the end.
    """
    work, home = folder / "work", folder / "home"
    work.mkdir()
    home.mkdir()
    sessions: list[list[Command]] = []
    script = ["exec 2>&1 < /dev/null"]
    for number, block in enumerate(blocks(page)):
        if block.file is not None:
            # Put in place when the story gets there: a later block may be another version of the same file.
            (folder / str(number)).write_text(block.text)
            script.append(f"mkdir -p '{Path(block.file).parent}'; cp '{folder / str(number)}' '{block.file}'")
        elif block.language == "console":
            sessions.append(commands(block))
            script += [f'{command.text}\ncode=$?; echo; echo "{_MARK} $code"; (exit $code)' for command in sessions[-1]]
    shell = subprocess.Popen(
        ["bash", "-c", "\n".join(script)],
        cwd=work,
        env=environment(home),
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output = shell.communicate(timeout=_SECONDS)[0]
    except subprocess.TimeoutExpired:
        # Gently first: whatever drives an execution then ends its steps, which are in sessions of their own.
        os.killpg(shell.pid, signal.SIGTERM)
        try:
            output = shell.communicate(timeout=10)[0]
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            output = shell.communicate()[0]
    parts = _ENDED.split(output.replace(str(work), _WORK))
    every = [command for session in sessions for command in session]
    assert len(parts) == 2 * len(every) + 1, f"the shell did not come to its end:\n{output}"
    ran = iter(Ran(command, _without_jobs(parts[2 * at]), int(parts[2 * at + 1])) for at, command in enumerate(every))
    return [[next(ran) for _ in session] for session in sessions]


def _without_jobs(printed: str) -> str:
    """What was printed, without what the shell says of its background jobs."""
    lines = [line for line in printed.splitlines() if not re.match(r"bash: line \d+: +\d+ ", line)]
    return "\n".join(lines).strip("\n")


_VARIABLE = (
    (r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|\+\d\d:\d\d)?", "TIME"),
    (r"^\d\d:\d\d:\d\d ", ""),
    (r" on \d{4}-\d\d-\d\d \(\S+\)", ""),
    (r"\b\d+(\.\d)? (s|min|h)\b( \d+ s)?", "LENGTH"),
    (r'"(total_)?duration": ?[\d.e-]+', '"duration": LENGTH'),
    (r"\b[0-9a-f]{64}\b", "DIGEST"),
    (r'("runner": )"[0-9a-f]{16}"', r'\1"RUNNER"'),
    (r'"(host|user)": ?"[^"]*"', r'"\1": "WHO"'),
    (r'"(platform|git_commit)": ?("[^"]*"|null)', r'"\1": "WHERE"'),
    (r'"pid": ?\d+', '"pid": PID'),
    (r"\bprocess \d+\b", "process PID"),
    (r"on \S+ since", "on HOST since"),
    (r"\b(by|on) [\w.-]+@[\w.-]+", r"\1 WHO"),
    (r"^[\w.-]+@[\w.-]+ (asks|cancels)", r"WHO \1"),
    (r"\b([a-z]+(?:-[a-z]+)*)-[0-9a-hjkmnp-tv-z]{10}\b", r"\1-ID"),
)


def essence(printed: str) -> list[str]:
    """The lines of what a command printed, without ids, times, lengths of time, and the machine's own names.

    In a defined order, since steps that run side by side print in any.
    """
    for pattern, word in _VARIABLE:
        printed = re.sub(pattern, word, printed, flags=re.MULTILINE)
    return sorted(re.sub(r"  +", "  ", line).strip() for line in printed.splitlines() if line.strip())


def renewed(page: str, sessions: Sequence[Sequence[Ran]]) -> str:
    """The page with what its commands really printed, where that differs in essence."""
    console = [block for block in blocks(page) if block.language == "console"]
    for block, session in reversed(list(zip(console, sessions, strict=True))):
        page = page[: block.start] + "".join(_shown(session)) + page[block.start + len(block.text) :]
    return page


def _shown(session: Sequence[Ran]) -> Iterator[str]:
    for number, (command, printed, _) in enumerate(session):
        if essence(printed) == essence(command.printed):
            printed = command.printed
        # A line of air before a command that follows output.
        yield "\n" if number and session[number - 1].printed else ""
        yield "$ " + command.text.replace("\n", "\n> ") + "\n" + (f"{printed}\n" if printed else "")


def cli_page() -> str:
    """The text of cli.md: every verb's help."""
    import click

    from cerebelum.app import App
    from cerebelum.cli.group import VERBS, build

    app = App({})
    group = build(VERBS, app.add_commands)
    sections: list[str] = []

    def add(command: click.Command, context: click.Context) -> None:
        level = "##" if context.parent and context.parent.parent is None else "###"
        heading = f"{level} {context.command_path}\n\n" if context.parent else ""
        sections.append(f"{heading}```text\n{command.get_help(context).rstrip()}\n```\n")
        if isinstance(command, click.Group) and context.parent:
            for name, verb in command.commands.items():
                add(verb, click.Context(verb, info_name=name, parent=context, help_option_names=["-h", "--help"]))

    options = {"terminal_width": 100, "max_content_width": 100, "help_option_names": ["-h", "--help"]}
    with click.Context(group, info_name="cerebelum", obj=app, **options) as root:  # type: ignore[arg-type]
        add(group, root)
        for name in VERBS:
            command = group.get_command(root, name)
            assert command is not None
            add(command, click.Context(command, info_name=name, parent=root, **options))  # type: ignore[arg-type]
    return _CLI_HEAD + "\n" + "\n".join(sections)


def schema_file() -> str:
    """The text of output.schema.json: what `cerebelum schema --output` prints."""
    from cerebelum.cli import terminal
    from cerebelum.render import output_schema

    return terminal.as_json(output_schema.schema()).decode() + "\n"


def openapi_file() -> str:
    """The text of openapi.json: what the service answers at that address."""
    from cerebelum.service.web import openapi

    return openapi.text()


def performance_page() -> str:
    """The text of performance.md: what the newest results of `make bench` say."""
    from benchmarks import report

    return report.page()


_CLI_HEAD = """\
# The command line

<!-- Written by `python -m docs.generate` from the help texts; edit those. -->

What `--help` says, verb by verb. `--store` and `--plugin` are taken before and after the verb. Exit codes, files and
environment variables are in [operations.md](operations.md), the JSON in [json.md](json.md).
"""


def main(names: Sequence[str]) -> None:
    """Bring the named pages (all, and what is written from types, if none is named) up to date."""
    for path in [Path(name).resolve() for name in names] or (*PAGES, SCHEMA, OPENAPI):
        page = path.read_text() if path.exists() else ""
        new = page
        if path == CLI:
            new = cli_page()
        elif path == SCHEMA:
            new = schema_file()
        elif path == OPENAPI:
            new = openapi_file()
        elif path == PERFORMANCE:
            new = performance_page()
        elif "```console" in page:
            with tempfile.TemporaryDirectory(prefix="cerebelum-docs-") as folder:
                new = renewed(page, perform(page, Path(folder)))
        if new != page:
            path.write_text(new)
            sys.stdout.write(f"{path.relative_to(ROOT)}: changed\n")


if __name__ == "__main__":
    main(sys.argv[1:])
