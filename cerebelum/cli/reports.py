"""What is left behind when an execution was driven: a JUnit report for whoever asks, a summary for the build system."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cerebelum.cli import terminal
from cerebelum.core import errors
from cerebelum.core.errors import UsageError
from cerebelum.render.build_systems import detect

if TYPE_CHECKING:
    from cerebelum.core.state import State

_AGENT_PATIENCE = 10.0


def junit_path(name: str | None) -> Path | None:
    """Where the JUnit report goes, wherever this process may go meanwhile. Raises UsageError if it cannot go there."""
    if name is None:
        return None
    path = Path(os.path.abspath(name))
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else "is in no folder that is there"
        raise UsageError(f"--junit {name!r} {what}", hint="name a file in a folder that is there")
    return path


def write_junit(path: Path, state: State) -> int:
    """Write the report, whole or not at all; returns the exit code that follows from it."""
    from cerebelum.render.junit import junit

    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            draft.write_bytes(junit(state, datetime.now(UTC)))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        terminal.complain(f"cerebelum: error: {path}: the report cannot be written: {error.strerror}")
        return errors.STORE
    return errors.OK


def tell_build_system(state: State, again: Callable[[], str], environ: Mapping[str, str]) -> None:
    """Leave a summary where the build system takes one; `again()` is how to go on. What fails is only warned of."""
    system = detect(environ)
    try:
        match None if system is None else system.name:
            case "GitHub Actions" if place := environ.get("GITHUB_STEP_SUMMARY"):
                with open(place, "a", encoding="utf-8", errors="replace") as out:
                    out.write(_markdown(state, again()))
            case "Azure Pipelines" if place := environ.get("AGENT_TEMPDIRECTORY"):
                file = Path(place, f"cerebelum-{state.execution_id}-{state.version}.md")
                file.write_text(_markdown(state, again()), encoding="utf-8", errors="replace")
                terminal.show(f"##vso[task.uploadsummary]{file}")
            case "Buildkite":
                _annotate(state, again(), environ)
            case _:
                pass
    except OSError as error:
        terminal.warn(f"the summary for the build system cannot be written: {error}")


def _annotate(state: State, again: str, environ: Mapping[str, str]) -> None:
    import shutil
    import subprocess

    agent = shutil.which("buildkite-agent", path=environ.get("PATH"))
    if agent is None:
        return
    style = {"completed": "success", "failed": "error"}.get(state.ended or "", "warning")
    command = [agent, "annotate", "--style", style, "--context", f"cerebelum-{state.execution_id}"]
    text = _markdown(state, again).encode("utf-8", "replace")
    try:
        subprocess.run(command, input=text, timeout=_AGENT_PATIENCE, check=True, capture_output=True, env=dict(environ))
    except subprocess.SubprocessError as error:
        terminal.warn(f"buildkite-agent did not take the summary: {error}")


def _markdown(state: State, again: str) -> str:
    from cerebelum.render.markdown import markdown

    return markdown(state, again)
