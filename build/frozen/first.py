"""Runs before anything else in the one-file form and takes back what PyInstaller does to the process.

Every start pays for what is imported here, so nothing is that the interpreter has not loaded anyway.
"""

import os
import sys

from cerebelum_frozen import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping


def give_back_environment(env: "MutableMapping[str, str]") -> None:
    """Make `env` what the user had: steps and other children inherit it. The dynamic linker has read its part."""
    before = env.pop("LD_LIBRARY_PATH_ORIG", None)
    env.pop("LD_LIBRARY_PATH", None)
    if before is not None:
        env["LD_LIBRARY_PATH"] = before
    for name in [name for name in env if name.startswith(("_PYI", "_MEI"))]:
        del env[name]
    # PyInstaller's start deletes it; the kernel still has the environment that the process was started with.
    try:
        with open("/proc/self/environ", "rb", buffering=0) as file:
            started_with = file.read(1 << 21).split(b"\0")
    except OSError:
        return
    for variable in started_with:
        if variable.startswith(b"VIRTUAL_ENV="):
            env["VIRTUAL_ENV"] = os.fsdecode(variable[12:])


def act_as_interpreter() -> None:
    """Make the process look like an interpreter; `sys.executable` takes the arguments of one, see entry.py."""
    sys.cerebelum_file = sys.executable  # type: ignore[attr-defined]
    names.offer()
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))


def follow_parent() -> None:
    """In the one-file form our parent is the process that was started: if it is killed, we end as if told to."""
    if sys.platform != "linux":
        return
    import ctypes
    import signal

    set_death_signal = 1
    parent = os.getppid()
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


give_back_environment(os.environ)
act_as_interpreter()
follow_parent()
