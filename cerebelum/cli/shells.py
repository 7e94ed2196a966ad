"""Which shell to open, and what it is told at its start so that its user sees a shell of a step and not just any."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from cerebelum.core.errors import UsageError

_POSIX = ("sh", "dash", "ash", "ksh", "mksh")
_NOT_SHELLS = ("false", "true", "nologin")
_SHELLS_OWN = ("_", "PWD", "OLDPWD", "SHLVL", "PPID", "UID", "EUID", "SHELLOPTS", "BASHOPTS")


class Opening(msgspec.Struct, frozen=True):
    """How a shell is started."""

    argv: Sequence[str]
    env: Mapping[str, str]


def find(named: str | None, env: Mapping[str, str], mine: str | None) -> str:
    """The path of the shell: the one `named`, else `mine` if it can be used, else bash, else sh. Raises UsageError."""
    path = env.get("PATH", os.defpath)
    if named is not None:
        found = shutil.which(named, path=path)
        if found is None:
            raise UsageError(f"there is no shell {named!r} that can be executed", hint="give its path, or bash, or sh")
        return os.path.abspath(found)
    if mine and os.path.isabs(mine) and os.path.basename(mine) not in _NOT_SHELLS and shutil.which(mine):
        return mine
    return shutil.which("bash", path=path) or shutil.which("sh", path=path) or "/bin/sh"


def performing(shell: str, command: str, env: Mapping[str, str]) -> Opening:
    """`shell` with one command."""
    return Opening([shell, "-c", command], env)


def prompting(
    shell: str, env: Mapping[str, str], *, folder: Path, cwd: Path, prompt: str, home: str, secret: Sequence[str]
) -> Opening:
    """`shell` with its user's own settings, and `prompt` in front of what it asks with, where it is known how.

    What the settings change of `env` is put back, except for the variables `secret`, which are written to no file.
    """
    name = os.path.basename(shell)
    given = exports({k: v for k, v in env.items() if k not in (*secret, "PS1")})
    after = [f"cd -- {shlex.quote(str(cwd))}", f"PS1={shlex.quote(prompt)}$PS1", *given]
    start = folder / "start"
    if name == "bash":
        settings = shlex.quote(os.path.join(home, ".bashrc"))
        _write(start, [f"[ ! -r {settings} ] || . {settings}", *after])
        return Opening([shell, "--rcfile", str(start), "-i"], env)
    if name in _POSIX:
        before = ["unset ENV"]
        if "ENV" in env:
            before = [f"ENV={shlex.quote(env['ENV'])}", 'eval "[ ! -r \\"$ENV\\" ] || . \\"$ENV\\""']
        _write(start, [*before, *after])
        return Opening([shell, "-i"], {**env, "ENV": str(start)})
    return Opening([shell], env)


def exports(env: Mapping[str, str]) -> list[str]:
    """Lines by which a shell takes over `env`, without what a shell sets itself."""
    return [
        f"export {name}={shlex.quote(value)}"
        for name, value in env.items()
        if name not in _SHELLS_OWN and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
    ]


def _write(file: Path, lines: Sequence[str]) -> None:
    file.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
