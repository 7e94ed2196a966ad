"""Steps that are shell scripts: `run:`, with bash where it is there, streamed output, and outputs by file or stdout."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from cerebelum.core.errors import CerebelumError
from cerebelum.core.events import StepError
from cerebelum.core.model import Step, Value
from cerebelum.core.outcome import Completed, Failed, Interrupted, Outcome
from cerebelum.host.environment import program_on
from cerebelum.start import plain_command, tricks
from cerebelum.steps.executor import ByHand, Executor, Invocation
from cerebelum.steps.output_values import (
    MAX_OUTPUT,
    OutputError,
    clean,
    one_line,
    parse_json,
    read_output_file,
    to_output,
    too_large,
)
from cerebelum.steps.process import Capture, exit_error, run_process

MAX_ARGUMENT = 100 << 10
"""Bytes of script that are passed as an argument; Linux takes at most 128 KiB in one."""

# The arguments before the script, and the option that takes a script as text.
_SHELLS: dict[str, tuple[list[str], str]] = {
    "bash": (["--noprofile", "--norc", "-eo", "pipefail"], "-c"),
    "zsh": (["-f", "-eo", "pipefail"], "-c"),
    "sh": (["-e"], "-c"),
    "dash": (["-e"], "-c"),
    "ash": (["-e"], "-c"),
    "ksh": (["-e"], "-c"),
    "fish": (["--no-config"], "-c"),
    "node": ([], "-e"),
    "perl": ([], "-e"),
    "ruby": ([], "-e"),
}
_PYTHON = r"python[0-9.]*|pypy[0-9.]*"
_SUFFIXES = {"pwsh": ".ps1", "powershell": ".ps1", "node": ".js", "perl": ".pl", "ruby": ".rb", "fish": ".fish"}
# What makes PowerShell stop at the first error and hand on the exit code of the last program, as a shell would.
_PWSH = """$ErrorActionPreference = 'stop'
{}
if (Test-Path -LiteralPath variable:\\LASTEXITCODE) {{ exit $LASTEXITCODE }}
"""


class ShellOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keys beside `run:`."""

    shell: str | list[str] | None = None
    """A shell's name (`bash`, `sh`, `python3` …), or a command line, where `{0}` stands for the script's file."""


class Shell:
    """Runs a script; `output: text|json` takes its stdout, otherwise what it wrote to `$CEREBELUM_OUTPUT` counts.

    A step with `output:` that writes to `$CEREBELUM_OUTPUT` too fails: one of the two would be lost.
    """

    key = "run"
    summary = "a shell script"
    body = str
    options = ShellOptions
    literal: tuple[str, ...] = ("run", "shell")
    captures_output = True

    def run(self, call: Invocation) -> Outcome:
        # A name of its own: a daemon that an earlier step left may still write to that step's file. Beside the scratch
        # folder, so that one which nobody has touched can serve the next attempt.
        output = call.scratch.with_name(f"output-{call.step.id}-{call.attempt}")
        try:
            return self._run(call, output)
        finally:
            with suppress(OSError):
                output.unlink()

    def _run(self, call: Invocation, output: Path) -> Outcome:
        env = {**call.env, "CEREBELUM_OUTPUT": str(output)}
        shell = call.options.get("shell")
        direct = shell is None and tricks.on("plain-command")
        plain = without_shell(call.body, call.env, call.cwd) if direct else None
        if plain is not None:
            env["PWD"] = plain_command.logical(call.env.get("PWD", ""), call.cwd)
        try:
            os.close(os.open(output, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            argv, program = plain or (command(call.body, shell, call.env, call.scratch), None)
        except OSError as error:
            return Failed(StepError(kind="spawn", message=clean(f"the step cannot be prepared: {error}")))
        capture = Capture(MAX_OUTPUT + 1) if call.step.output != "none" else None
        ended = run_process(
            argv,
            program=program,
            env=env,
            cwd=call.cwd,
            stop=call.stop,
            sink=call.sink,
            tracker=call.tracker,
            capture=capture,
        )
        if isinstance(ended, Failed):
            return ended
        if ended.stopped:
            return Interrupted()
        if not ended.ok:
            return Failed(exit_error(ended, call.sink.tail()))
        try:
            return Completed(_output(call.step, output, capture))
        except OutputError as error:
            return Failed(StepError(kind="output", message=one_line(error), tail=call.sink.tail() or None))

    def flaws(self, bodies: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[int, str] | None]:
        """What bash does not understand, for each script that it is to perform: the script's line, and why."""
        from cerebelum.plugins.shell.bash_syntax import flaws

        found = flaws([body if options.get("shell") in (None, "bash") else "" for body, options in bodies])
        return [None if flaw is None else (flaw[0], f"bash does not understand this: {flaw[1]}") for flaw in found]

    def by_hand(self, body: str, options: Mapping[str, Any], env: Mapping[str, str], scratch: Path) -> ByHand:
        """The script in a file, and the arguments that run it like `run` does."""
        words = command(body, options.get("shell"), env, scratch, most=0)
        [file] = scratch.iterdir()
        return ByHand(file, words)

    def fingerprint(self, step: Step, folder: Path) -> str | None:
        _words(step.options.get("shell"))
        return None


def command(
    script: str, shell: str | list[str] | None, env: Mapping[str, str], scratch: Path, *, most: int = MAX_ARGUMENT
) -> list[str]:
    """The arguments that run `script` with `shell`.

    A script of more than `most` bytes, and one for `{0}`, is written to `scratch`.
    Raises CerebelumError if `shell` cannot be split into words.
    """
    words = _words(shell) or ["bash" if _on_path("bash", env.get("PATH", os.defpath)) else "sh"]
    name = Path(words[0]).name
    if name in ("pwsh", "powershell"):
        script = _PWSH.format(script)
    if any("{0}" in word for word in words):
        path = _script_file(script, name, scratch)
        return [word.replace("{0}", path) for word in words]
    if len(words) == 1:
        before, flag = ([], "-c") if re.fullmatch(_PYTHON, name) else _SHELLS.get(name, ([], ""))
        words = words + before
    else:
        # `bash -lc`, `docker run image sh -c`: the last word says that a script follows as text.
        flag = words.pop() if re.fullmatch(r"-[a-zA-Z]*c", words[-1]) else ""
    if flag and len(script.encode("utf-8", "surrogateescape")) <= most:
        return [*words, flag, script]
    if len(flag) > 2:
        words = [*words, flag.removesuffix("c")]
    return [*words, _script_file(script, name, scratch)]


def without_shell(script: str, env: Mapping[str, str], cwd: Path) -> tuple[list[str], str] | None:
    """The words of a script that needs no shell, and the file of its program; None if it needs one."""
    words = plain_command.words(script, env)
    if words is None:
        return None
    given = words[0]
    file = os.path.join(cwd, given) if "/" in given else program_on(env.get("PATH", os.defpath), given)
    return (words, file) if file is not None and plain_command.is_program(file) else None


def _output(step: Step, file: Path, capture: Capture | None) -> Value:
    keys = read_output_file(file)
    if capture is None:
        return None if keys is None else to_output(keys)
    if keys is not None:
        raise OutputError(
            f"the step wrote {', '.join(sorted(keys))} to $CEREBELUM_OUTPUT, but has `output: {step.output}`",
            hint="use one of them",
        )
    if capture.total > MAX_OUTPUT:
        raise too_large(capture.total)
    if step.output == "json":
        return parse_json(bytes(capture.data))
    return to_output(capture.data.decode("utf-8", "replace").rstrip("\r\n"))


def _words(shell: str | list[str] | None) -> list[str]:
    if shell is None:
        return []
    try:
        words = shlex.split(shell) if isinstance(shell, str) else list(shell)
    except ValueError as error:
        raise CerebelumError(f"`shell: {shell}` cannot be split into words: {error}") from None
    if not words or not words[0]:
        raise CerebelumError("`shell` is empty", hint="leave it out for bash (or sh), or name a shell")
    return words


def _on_path(name: str, path: str) -> bool:
    # Asked for every step, so without the cost of Path.
    files = (f"{folder}/{name}" for folder in path.split(os.pathsep) if folder)
    return any(os.access(file, os.X_OK) and os.path.isfile(file) for file in files)


def _script_file(script: str, shell: str, scratch: Path) -> str:
    path = scratch / f"script{'.py' if re.fullmatch(_PYTHON, shell) else _SUFFIXES.get(shell, '.sh')}"
    path.write_bytes(script.encode("utf-8", "surrogateescape"))
    return str(path)


def cerebelum_executors() -> Iterable[Executor]:
    return [Shell()]
