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


def words(script: str, env: Mapping[str, str], cwd: Path) -> list[str] | None:
    """The words of a script that is one command a shell would only replace itself with; None if it needs a shell."""
    found = script.split()
    if (
        not re.fullmatch(_PLAIN, script)
        or f" {found[0]} " in _NEEDS_SHELL
        or (found[0] in ("true", "false") and found[1:])
    ):
        return None
    if any(name in _SHELL_VARIABLES or name.startswith("BASH_FUNC_") for name in env):
        return None
    # A relative folder on the PATH, and a file that is no program of machine code, are for the shell.
    folders = env.get("PATH", os.defpath).split(os.pathsep) if "/" not in found[0] else [str(cwd)]
    if not all(map(os.path.isabs, folders)):
        return None
    files = (os.path.join(folder, found[0]) for folder in folders)
    file = next((file for file in files if os.access(file, os.X_OK) and os.path.isfile(file)), None)
    return found if file is not None and _is_program(file) else None


def _is_program(file: str) -> bool:
    try:
        with open(file, "rb", buffering=0) as start:
            return start.read(4) == b"\x7fELF"
    except OSError:
        return False


def logical(before: str, cwd: Path) -> str:
    """What a shell makes of the PWD it is given."""
    try:
        return before if os.path.isabs(before) and os.path.samefile(before, cwd) else os.path.realpath(cwd)
    except OSError:
        return str(cwd)
