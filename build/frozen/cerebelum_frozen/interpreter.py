"""The one-file form as an interpreter: user code that starts `sys.executable` gets Python.

It takes the options of `python3`. Those that the frozen program cannot follow, because its interpreter is running
already, are accepted and change nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

_FLAGS = "bBdEhiIOPqRsSuvVx?"
_WITH_VALUE = "WX"


@dataclass
class CommandLine:
    """A command line of `python3`, taken apart."""

    how: str = ""
    """`-c`, `-m`, `file`, `-` (standard input), `--version`, `--help`; empty: interactive, or standard input."""
    what: str = ""
    """Code, module or path."""
    rest: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    xoptions: dict[str, str | bool] = field(default_factory=dict)


class WrongOption(Exception):
    """What is wrong with a command line."""


def parse(arguments: Sequence[str]) -> CommandLine:
    """Take the arguments behind `python3` apart. Raises WrongOption."""
    line, rest = CommandLine(), list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument in ("--version", "--help"):
            return CommandLine(argument)
        if argument == "--check-hash-based-pycs":
            rest[:1] = []
        elif argument == "-" or not argument.startswith("-"):
            line.how, line.what, line.rest = ("-" if argument == "-" else "file"), argument, rest
            return line
        elif argument.startswith("--"):
            raise WrongOption(f"unknown option {argument}")
        elif _cluster(line, argument[1:], rest):
            return line
    return line


def _cluster(line: CommandLine, letters: str, rest: list[str]) -> bool:
    """Options in one argument, such as `-Pc`; True when what follows is no longer the interpreter's."""
    for at, letter in enumerate(letters):
        if letter in "cm" or letter in _WITH_VALUE:
            value = letters[at + 1 :] or (rest.pop(0) if rest else None)
            if value is None:
                raise WrongOption(f"argument expected for the -{letter} option")
            if letter in "cm":
                line.how, line.what, line.rest = f"-{letter}", value, rest
                return True
            if letter == "W":
                line.warnings.append(value)
            else:
                name, equals, text = value.partition("=")
                line.xoptions[name] = text if equals else True
            return False
        if letter not in _FLAGS:
            raise WrongOption(f"unknown option -{letter}")
        line.flags.add(letter)
    return False


def run(arguments: Sequence[str]) -> None:
    """Do what `python3` does with these arguments; raises what the code raises."""
    try:
        line = parse(arguments)
    except WrongOption as wrong:
        sys.stderr.write(f"{wrong}\nusage: python3 [option] ... [-c cmd | -m mod | file | -] [arg] ...\n")
        sys.exit(2)
    if line.how == "--version" or "V" in line.flags:
        print("Python " + sys.version.split()[0])
    elif line.how == "--help" or line.flags & {"h", "?"}:
        print("usage: python3 [option] ... [-c cmd | -m mod | file | -] [arg] ...\nThe interpreter inside cerebelum.")
    else:
        _settle(line)
        _perform(line)


def _settle(line: CommandLine) -> None:
    sys.orig_argv = [sys.executable, *sys.orig_argv[1:]]
    sys._xoptions.update(line.xoptions)
    if "B" in line.flags:
        sys.dont_write_bytecode = True
    if not line.flags & {"E", "I"}:
        sys.path[:0] = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
        line.warnings[:0] = [w for w in os.environ.get("PYTHONWARNINGS", "").split(",") if w]
    if line.warnings:
        import warnings

        sys.warnoptions.extend(line.warnings)
        warnings._processoptions(line.warnings)  # type: ignore[attr-defined]
    if "u" in line.flags or os.environ.get("PYTHONUNBUFFERED"):
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(write_through=True)  # type: ignore[union-attr]
    if "faulthandler" in line.xoptions:
        import faulthandler

        faulthandler.enable()


def _perform(line: CommandLine) -> None:
    safe_path = bool(line.flags & {"P", "I"}) or bool(os.environ.get("PYTHONSAFEPATH"))
    if line.how == "-c":
        sys.argv = ["-c", *line.rest]
        _search("", safe_path)
        exec(compile(line.what, "<string>", "exec"), _fresh_main())
    elif line.how == "-m":
        import runpy

        sys.argv = ["-m", *line.rest]
        _search(os.getcwd(), safe_path)
        _fresh_main()
        runpy._run_module_as_main(line.what)  # type: ignore[attr-defined]
    elif line.how == "file":
        sys.argv = [line.what, *line.rest]
        _run_file(line.what, safe_path)
    else:
        sys.argv = [line.how, *line.rest]
        _search("", safe_path)
        if not line.how and sys.stdin.isatty():
            import code

            code.interact(local=_fresh_main(), exitmsg="")
        else:
            exec(compile(sys.stdin.buffer.read(), "<stdin>", "exec"), _fresh_main())


def _search(folder: str, safe_path: bool) -> None:
    if not safe_path:
        sys.path.insert(0, folder)


def _run_file(path: str, safe_path: bool) -> None:
    if os.path.isdir(path) or path.endswith((".zip", ".pyz", ".whl")):
        import runpy

        runpy.run_path(path, run_name="__main__")
        return
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        sys.stderr.write(f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}\n")
        sys.exit(2)
    _search(os.path.dirname(os.path.realpath(path)), safe_path)
    full = os.path.abspath(path)
    exec(compile(source, full, "exec"), _fresh_main(full))


def _fresh_main(path: str | None = None) -> dict[str, Any]:
    """An empty `__main__`, as pickle and multiprocessing look for it."""
    module = ModuleType("__main__")
    module.__dict__["__builtins__"] = sys.modules["builtins"]
    if path is not None:
        module.__file__ = path
    sys.modules["__main__"] = module
    return module.__dict__
