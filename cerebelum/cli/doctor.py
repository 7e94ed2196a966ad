"""`cerebelum doctor`: whether this installation and its store are in order, and what to do if not."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import click

from cerebelum import __version__
from cerebelum.cli import terminal
from cerebelum.cli.options import JSON
from cerebelum.cli.tools import Tools
from cerebelum.core import errors
from cerebelum.core.errors import CerebelumError
from cerebelum.render.display import harmless
from cerebelum.render.tables import table
from cerebelum.store import Query

if TYPE_CHECKING:
    from cerebelum.render import contract

_COUNT_TO = 10_000


class Finding(NamedTuple):
    """One thing that was looked at. A `problem` makes the exit code 1; a `warning` does not."""

    topic: str
    grade: Literal["ok", "warning", "problem"]
    text: str
    hint: str | None = None


def doctor(tools: Tools, as_json: bool) -> int:
    """The verb; returns the exit code."""
    found = list(examine(tools))
    if as_json:
        terminal.show_json(shape(found))
    else:
        for line in table([(f.grade, f.topic, f.text + (f"; {f.hint}" if f.hint else "")) for f in found]):
            terminal.show(harmless(line))
    return errors.OK if _sound(found) else errors.EXECUTION_FAILED


def shape(found: Sequence[Finding]) -> contract.Diagnosis:
    """What was found as `--json` shows it."""
    return {
        "ok": _sound(found),
        "version": __version__,
        "findings": [{"topic": f.topic, "grade": f.grade, "text": f.text, "hint": f.hint} for f in found],
    }


def _sound(found: Sequence[Finding]) -> bool:
    return all(f.grade != "problem" for f in found)


def examine(tools: Tools) -> Iterator[Finding]:
    """Everything there is to say."""
    yield Finding("cerebelum", "ok", f"{__version__}, at {os.path.dirname(os.path.dirname(__file__))}")
    yield Finding("python", "ok", f"{platform.python_version()}, {sys.executable}")
    yield Finding("platform", "ok", platform.platform())
    bash = shutil.which("bash")
    if bash:
        yield Finding("shell", "ok", bash)
    else:
        yield Finding("shell", "warning", "bash is not on PATH", "steps run with `sh -e`, without pipefail")
    yield from _looked_at("store", lambda: _store(tools))
    yield from _looked_at("plugins", lambda: _plugins(tools))


def _looked_at(topic: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except CerebelumError as error:
        text = f"{error.where}: {error.message}" if error.where else error.message
        yield Finding(topic, "problem", text, error.hint)


def _store(tools: Tools) -> Iterator[Finding]:
    store = tools.client().store
    told = store.describe()
    topic = told.kind.lower()
    if told.library:
        yield Finding(topic, "ok", told.library)
    if told.server:
        yield Finding(topic, "ok", f"server {told.server}")
    for warning in told.warnings:
        yield Finding(topic, "warning", warning)
    where = told.where or told.kind
    if not told.exists:
        yield Finding("store", "ok", f"{where}, not created yet")
        yield from _writable(_nearest_folder(told.path) if told.path else None)
        return
    total = store.find(Query(limit=1, count_to=_COUNT_TO)).total or 0
    schema = "" if told.schema_version is None else f", schema version {told.schema_version}"
    if schema and told.known_schema_version not in (None, told.schema_version):
        schema += f" (the next writer makes it {told.known_schema_version})"
    many = f"{total}+ executions" if total >= _COUNT_TO else f"{total} execution{'' if total == 1 else 's'}"
    yield Finding("store", "ok", f"{where}{schema}, {many}")
    yield from _writable(told.path)


def _nearest_folder(path: str) -> str:
    folder = os.path.dirname(path)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return folder


def _writable(path: str | None) -> Iterator[Finding]:
    if path and not os.access(path, os.W_OK):
        hint = "make it writable, or choose another place with --store or CEREBELUM_STORE"
        yield Finding("store", "problem", f"{path} cannot be written to", hint)


def _plugins(tools: Tools) -> Iterator[Finding]:
    registry = tools.every_plugin()
    bad = [p for p in registry.plugins if p.problem is not None]
    yield Finding("plugins", "ok", ", ".join(p.name for p in registry.plugins if p.problem is None))
    for plugin in bad:
        assert plugin.problem is not None
        hint = plugin.problem.hint
        yield Finding("plugins", "problem", f"{plugin.name} ({plugin.where}): {plugin.problem.message}", hint)


HELP = """Check this installation: Python, the store and its database, the shell, and plugins.

\b
  cerebelum doctor
  cerebelum doctor --store deploy.db --json

The exit code is 1 if something does not work; a mere warning leaves it 0.
"""

command = click.Command("doctor", callback=click.pass_obj(doctor), help=HELP, params=[JSON])
