"""`cerebelum run`: start a workflow and see it through."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import click

from cerebelum.cli import terminal
from cerebelum.cli.drive import MANNER, see_through
from cerebelum.cli.options import unicode_text
from cerebelum.cli.tools import Tools
from cerebelum.core.errors import UsageError

if TYPE_CHECKING:
    from cerebelum.cli.manner import Manner
    from cerebelum.engine.session import Result
    from cerebelum.sdk.course import How

_MOST_INPUTS = 64 << 20


def read_inputs(pairs: tuple[str, ...], file: str | None) -> dict[str, Any]:
    """Inputs of the file, and over them those of the command line. Raises UsageError."""
    from cerebelum.definition import Text

    inputs: dict[str, Any] = {} if file is None else _from_file(file)
    seen: set[str] = set()
    for pair in pairs:
        name, equals, text = unicode_text(pair, "the input").partition("=")
        if not equals or not name:
            raise UsageError(f"--input {pair!r} has no name and value", hint="write it like --input name=value")
        if name in seen:
            raise UsageError(f"the input {name} is given twice")
        seen.add(name)
        inputs[name] = Text(text)
    return inputs


def _from_file(file: str) -> dict[str, Any]:
    from cerebelum.definition import parse_inputs_file

    try:
        if file == "-":
            data = sys.stdin.buffer.read(_MOST_INPUTS + 1)
        else:
            with Path(file).open("rb") as source:
                data = source.read(_MOST_INPUTS + 1)
    except (OSError, ValueError, AttributeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"the inputs cannot be read: {why}", where=file) from None
    name = "standard input" if file == "-" else file
    if len(data) > _MOST_INPUTS:
        raise UsageError("this is too large for inputs", where=name, hint="pass the path of a file instead")
    try:
        return parse_inputs_file(data.decode(), name)
    except UnicodeDecodeError as error:
        raise UsageError(f"this is not UTF-8 (byte {error.start})", where=name) from None


def run(
    tools: Tools,
    file: str,
    input_pairs: tuple[str, ...],
    inputs_file: str | None,
    execution_id: str | None,
    or_resume: bool,
    tags: tuple[str, ...],
    correlation_id: str | None,
    lock: str | None,
    dry_run: bool,
    **manner: Unpack[Manner],
) -> int:
    """The verb; returns the exit code."""
    path = Path(unicode_text(file, "the file"))
    inputs = read_inputs(input_pairs, inputs_file)
    tags = tuple(unicode_text(tag, "the tag") for tag in tags)
    correlation = None if correlation_id is None else unicode_text(correlation_id, "the correlation id")
    lock = None if lock is None else unicode_text(lock, "the lock")
    client = tools.client()
    if dry_run:
        from cerebelum import render

        preview = client.preview(path, inputs, lock)
        if manner["as_json"]:
            terminal.show_json(render.preview_shape(preview))
        else:
            terminal.show(render.preview_text(preview))
        return 0

    def start(how: How) -> Result:
        how["correlation_id"] = correlation
        return client.run(path, inputs, execution_id=execution_id, or_resume=or_resume, tags=tags, lock=lock, **how)

    return see_through(tools, start, manner)


INPUT = click.Option(
    ["-i", "--input", "input_pairs"], metavar="NAME=VALUE", multiple=True, help="An input of the workflow."
)
TAG = click.Option(["-t", "--tag", "tags"], metavar="TAG", multiple=True, help="A tag to find it by.")
LOCK = click.Option(["--lock"], metavar="NAME", help="Wait until no other execution has the lock of this name.")
INPUTS_FILE = click.Option(
    ["--inputs-file"], metavar="FILE", help="Inputs as a JSON object or YAML mapping; - is standard input."
)

HELP = """Start the workflow in FILE, of YAML or of Python, show what happens, and exit with its result.

\b
  cerebelum run release.yaml --input version=1.4.0
  cerebelum run deploy.yaml --id deploy-$CI_JOB_ID --or-resume
  cerebelum run jobs.py:nightly
  echo '{"version": "1.4.0"}' | cerebelum run release.yaml --inputs-file -

The exit code is 0 when it completed, 1 when it failed and can be resumed, 2 when nothing was started because the file
or an input is wrong, 6 when it was cancelled or rejected, 75 when it waits and nobody drives it, 130 or 143 when it was
stopped by a signal.
"""

command = click.Command(
    "run",
    callback=click.pass_obj(run),
    help=HELP,
    params=[
        click.Argument(["file"], type=click.Path(), shell_complete=None),
        INPUT,
        INPUTS_FILE,
        click.Option(["--id", "execution_id"], metavar="ID", help="The execution's id; made up if not given."),
        click.Option(["--or-resume"], is_flag=True, help="With --id: go on with it if it is there; done if completed."),
        TAG,
        click.Option(["--correlation-id"], metavar="TEXT", help="What another system knows it by."),
        LOCK,
        click.Option(["--dry-run"], is_flag=True, help="Check everything, show what would run, and stop."),
        *MANNER,
    ],
)
