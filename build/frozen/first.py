"""Runs before anything else in the frozen program and takes back what PyInstaller does to the process.

Every start pays for what is imported here, so nothing is that the interpreter has not loaded anyway.
"""

import builtins
import os
import sys
from typing import Any


def give_back_environment(env: Any) -> None:
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


def note_launcher(env: Any) -> None:
    """Take over what the launcher says: the descriptor that keeps the unpacked copy locked, and the user's file."""
    told = env.pop("_CEREBELUM_LAUNCHED", "")
    lock, _, file = told.partition(":")
    sys.cerebelum_file = file or sys.executable  # type: ignore[attr-defined]
    if lock.isdigit():
        try:  # noqa: SIM105, contextlib would have to be imported
            os.set_inheritable(int(lock), False)
        except OSError:
            pass


def act_as_interpreter() -> None:
    """Make `sys.executable` something that user code can start as Python, and the process look like one."""
    link = os.path.join(os.path.dirname(sys.executable), "bin", "python3")
    if os.path.lexists(link):
        sys.executable = sys._base_executable = link  # type: ignore[attr-defined]
        # With an executable that takes `-c`, multiprocessing and others need no special way of starting children.
        del sys.frozen  # type: ignore[attr-defined]
    # The frozen interpreter starts isolated, without `site`: user code may expect what that adds.
    import _sitebuiltins

    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")
    builtins.help = _sitebuiltins._Helper()
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))


def follow_parent() -> None:
    """In the one-file form our parent is the process that was started: if it is killed, we end as if told to."""
    if sys.platform != "linux" or not hasattr(sys, "_MEIPASS") or not hasattr(sys, "frozen"):
        return
    import ctypes
    import signal

    set_death_signal = 1
    parent = os.getppid()
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


give_back_environment(os.environ)
note_launcher(os.environ)
act_as_interpreter()
follow_parent()
