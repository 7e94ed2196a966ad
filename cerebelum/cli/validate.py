"""`cerebelum validate`: everything that is wrong with workflow files, without running them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cerebelum.cli import terminal
from cerebelum.cli.options import JSON
from cerebelum.cli.tools import Tools
from cerebelum.core import errors
from cerebelum.core.error_facts import Finding, finding
from cerebelum.core.errors import DefinitionError, UsageError
from cerebelum.render.display import harmless

if TYPE_CHECKING:
    from cerebelum.render import contract


def validate(tools: Tools, files: tuple[str, ...], as_json: bool) -> int:
    """The verb; returns the exit code."""
    executors = tools.executors()
    found = [_checked(file, executors) for file in files]
    if as_json:
        every: contract.Validation = {"files": found}
        terminal.show_json(every)
    else:
        for one in found:
            _show(one)
        count = sum(len(one["problems"]) for one in found)
        if count:
            terminal.complain(f"cerebelum: error: {count} problem{'s' if count != 1 else ''} found")
    return errors.OK if all(one["ok"] for one in found) else errors.USAGE


def _checked(file: str, executors: Any) -> contract.CheckedFile:
    from cerebelum.definition import load, parse
    from cerebelum.definition.sources import MAX_BYTES, text_of
    from cerebelum.host.surroundings import current_folder

    problems: list[Finding]
    shown = file.encode("utf-8", "backslashreplace").decode()
    try:
        if file == "-":
            shown = "<stdin>"
            data = terminal.read_stdin(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise UsageError("it is larger than 16 MiB", where=shown)
            workflow = parse(text_of(data, shown), shown, current_folder(), executors, thorough=True)
        else:
            workflow = load(Path(file), executors, thorough=True).workflow
    except DefinitionError as error:
        problems = [finding(p) for p in error.problems]
    except UsageError as error:
        problems = [{"where": error.where or shown, "path": "", "message": error.message, "hint": error.hint}]
    else:
        return {"file": shown, "ok": True, "workflow": workflow.name, "steps": len(workflow.steps), "problems": []}
    return {"file": shown, "ok": False, "workflow": None, "steps": None, "problems": problems}


def _show(one: contract.CheckedFile) -> None:
    if one["ok"]:
        plural = "" if one["steps"] == 1 else "s"
        terminal.show(harmless(f"{one['file']}: ok: {one['workflow']}, {one['steps']} step{plural}"))
    for problem in one["problems"]:
        terminal.complain(harmless(errors.Problem(**problem).text()))


HELP = """Check workflow files and say everything that is wrong with them, as `file:line:col: path: problem; hint`.

\b
  cerebelum validate release.yaml
  cerebelum validate workflows/*.yaml --json
  generate | cerebelum validate -

Where bash is there, it is asked whether it understands the scripts that it is to perform.

The exit code is 0 if all are in order, 2 if not.
"""

command = click.Command(
    "validate",
    callback=click.pass_obj(validate),
    help=HELP,
    params=[click.Argument(["files"], metavar="FILE...", nargs=-1, required=True), JSON],
)
