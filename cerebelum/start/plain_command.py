"""Scripts that need no shell: one program with plain arguments, which is most of what steps are.

Starting bash for it takes longer than all else about a step; `make` does without it in the same way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

# A script of plain words, the first of which is no assignment.
_PLAIN = r"[ \t]*[A-Za-z0-9_@%+:,./][A-Za-z0-9_@%+:,./-]*([ \t]+[A-Za-z0-9_@%+=:,./-]+)*[ \t\n]*"
_NEEDS_SHELL = (
    " . : alias bg bind break builtin caller case cd command compgen complete compopt continue coproc declare dirs"
    " disown do done echo elif else enable esac eval exec exit export fc fg fi for function getopts hash help"
    " history if in jobs kill let local logout mapfile popd printf pushd pwd read readarray readonly return select"
    " set shift shopt source suspend test then time times trap type typeset ulimit umask unalias unset until wait"
    " while "
)
_SHELL_VARIABLES = frozenset({"BASH_ENV", "SHELLOPTS", "BASHOPTS", "POSIXLY_CORRECT"})


def words(script: str, env: Mapping[str, str]) -> list[str] | None:
    """The words of a script that is one command with plain arguments; None if a shell has to read it.

    If the first one is a program, a shell would only replace itself with that.
    """
    found = script.split()
    if (
        not re.fullmatch(_PLAIN, script)
        or f" {found[0]} " in _NEEDS_SHELL
        or (found[0] in ("true", "false") and found[1:])
    ):
        return None
    # Functions that bash takes from the environment are called BASH_FUNC_name%%.
    changed = not _SHELL_VARIABLES.isdisjoint(env) or "BASH_FUNC_" in " ".join(env)
    return None if changed else found


def is_program(file: str) -> bool:
    """Whether the file can be executed and is machine code: others are for the shell."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.access(file, os.X_OK) and os.read(fd, 4) == b"\x7fELF"
    except OSError:
        return False
    finally:
        os.close(fd)


def logical(before: str, cwd: Path) -> str:
    """What a shell makes of the PWD it is given."""
    try:
        return before if os.path.isabs(before) and os.path.samefile(before, cwd) else os.path.realpath(cwd)
    except OSError:
        return str(cwd)
