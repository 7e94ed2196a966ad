"""Where and as what an execution starts: its id, and the facts about this machine that are worth keeping."""

from __future__ import annotations

import os
from pathlib import Path

from cerebelum import __version__
from cerebelum.core.errors import UsageError
from cerebelum.core.events import Environment
from cerebelum.host.process_tree import host_name


def current_folder() -> Path:
    """The folder this process works in. Raises UsageError if it is gone."""
    try:
        return Path.cwd()
    except OSError:
        raise UsageError("the current folder is not there any more", hint="change to another one") from None


def surroundings(cwd: Path) -> Environment:
    """What is recorded about this machine and folder."""
    machine = os.uname()
    return Environment(
        host=host_name(),
        cwd=str(cwd),
        platform=f"{machine.sysname.lower()}-{machine.machine}",
        version=__version__,
        git_commit=git_commit(cwd),
        user=user(),
    )


def user() -> str:
    """Name of the user this process runs as."""
    # In the order of the standard library's getpass, which loads what it needs to read passwords.
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        if os.environ.get(name):
            return os.environ[name]
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def who() -> str:
    """Who asks from here: this user, with the host."""
    return f"{user()}@{host_name()}"


def git_commit(folder: Path) -> str | None:
    """The commit (hex) checked out in the repository that holds `folder`, read without running git."""
    for place in (folder, *folder.parents):
        git = place / ".git"
        try:
            if git.is_file():
                git = (place / git.read_text().removeprefix("gitdir:").strip()).resolve()
            if (git / "HEAD").is_file():
                return _head(git)
        except (OSError, UnicodeDecodeError):
            return None
    return None


def _head(git: Path) -> str | None:
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref: "):
        return head or None
    ref = head.removeprefix("ref: ")
    pointer = git / "commondir"
    common = (git / pointer.read_text().strip()).resolve() if pointer.is_file() else git
    for place in (git / ref, common / ref):
        if place.is_file():
            return place.read_text().strip()
    packed = common / "packed-refs"
    if packed.is_file():
        for line in packed.read_text().splitlines():
            if line.endswith(f" {ref}"):
                return line.split()[0]
    return None
