"""The one place where an exception becomes a message on standard error and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import click

from cerebelum.cli import terminal
from cerebelum.core import errors
from cerebelum.core.errors import CerebelumError, DefinitionError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def report(
    error: BaseException, arguments: Sequence[str], environ: Mapping[str, str], state_folder: Callable[[], Path]
) -> int:
    """Say what went wrong, in JSON if the command line asks for JSON, and return the exit code."""
    arguments = arguments[: arguments.index("--") if "--" in arguments else None]
    as_json = "--json" in arguments
    stores = [*_stores(arguments), environ.get("CEREBELUM_STORE", "")]
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case SystemExit():
            return error.code if isinstance(error.code, int) else int(error.code is not None)
        case KeyboardInterrupt() | click.Abort() | EOFError():
            return errors.SIGINT
        case BrokenPipeError():
            terminal.silence_stdout()
            return errors.OK
        case CerebelumError():
            _tell(error, as_json, stores)
            return error.exit_code
        case click.exceptions.NoArgsIsHelpError() if error.ctx is not None:
            terminal.show(error.ctx.get_help())
            return errors.USAGE
        case MemoryError():
            terminal.complain(
                "cerebelum: error: there is not enough memory\n  hint: see ulimit -v, and the limits of a container"
            )
            return errors.RESOURCES
        case click.ClickException():
            from cerebelum.cli.usage import usage_error

            _tell(usage_error(error), as_json, stores)
            return errors.USAGE
        case FileNotFoundError() if error.filename is None and _nowhere():
            _tell(UsageError("the current folder is not there any more", hint="change to another one"), as_json, stores)
            return errors.USAGE
        case OSError() if error.filename is None and _is_output(error):
            terminal.silence_stdout()
            terminal.complain(f"cerebelum: error: the output cannot be written: {error.strerror}")
            return errors.STORE
        case _:
            terminal.complain(_bug(error, arguments, environ, state_folder, stores))
            return errors.BUG


def text(error: CerebelumError) -> str:
    """An error as it is printed; the problems of a definition one per line, then their count."""
    from cerebelum.render.display import harmless

    if isinstance(error, DefinitionError):
        count = len(error.problems)
        noun = "problem" if count == 1 else "problems"
        return harmless("\n".join([*(p.text() for p in error.problems), f"cerebelum: error: {count} {noun} found"]))
    return harmless(f"cerebelum: error: {error.text()}")


def _tell(error: CerebelumError, as_json: bool, stores: Sequence[str]) -> None:
    from cerebelum.host.addresses import without_passwords

    if as_json:
        import json

        from cerebelum.core.error_facts import facts

        terminal.complain(without_passwords(json.dumps({"error": facts(error)}), stores))
    else:
        terminal.complain(without_passwords(text(error), stores))


def _stores(arguments: Sequence[str]) -> Iterator[str]:
    """What the command line names as stores."""
    yield from (after for option, after in pairwise(arguments) if option == "--store")
    yield from (word.removeprefix("--store=") for word in arguments if word.startswith("--store="))


def _nowhere() -> bool:
    """Whether the folder that this process works in is gone."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _is_output(error: OSError) -> bool:
    import errno

    return error.errno in (errno.ENOSPC, errno.EIO, errno.EBADF)


def _bug(
    error: BaseException,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    state_folder: Callable[[], Path],
    stores: Sequence[str],
) -> str:
    import platform
    import traceback

    from cerebelum import __version__
    from cerebelum.host.addresses import without_passwords

    trace = without_passwords("".join(traceback.format_exception(error)), stores)
    head = f"cerebelum: this is a bug of cerebelum, not of your workflow: {type(error).__name__}: {error}"
    head = without_passwords(head, stores)
    about = f"cerebelum {__version__}, Python {platform.python_version()}, {platform.platform()}"
    if environ.get("CEREBELUM_DEBUG"):
        return f"{trace}{head}\n  {about}"
    verb = next((a for a in arguments if not a.startswith("-") and a not in stores), "")
    try:
        folder = state_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = folder / f"bug-{os.getpid()}.txt"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as out:
            out.write(f"{about}\nverb: {verb}\nexecutable: {sys.executable}\n\n{trace}")
    except (OSError, CerebelumError):
        return f"{trace}{head}\n  {about}\n  please report it with the lines above"
    return f"{head}\n  {about}\n  please report it with the file {file}; CEREBELUM_DEBUG=1 shows it here"
