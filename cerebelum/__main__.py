"""The way in from a shell: `cerebelum …` and `python -m cerebelum …`. What is asked most often is answered first."""

from __future__ import annotations

import sys

from cerebelum import __version__

_PATIENCE = 2.0
"""Seconds for what was registered with `atexit`, if there are other threads."""


def main() -> None:
    """Run the command line of this process and end the process with its exit code."""
    if sys.argv[1:] in (["--version"], ["-V"]) and sys.stdout is not None:
        try:
            sys.stdout.write(f"cerebelum {__version__}\n")
        except OSError as error:
            leave(_unwritten(error))
        leave(0)
    import gc

    from cerebelum.start import lean, tricks

    # In the binary it is off already. app.py turns it on for what may take longer.
    (gc.disable if tricks.on("gc") else gc.enable)()
    if tricks.on("lean"):
        lean.prepare()
    from cerebelum.app import main as run

    leave(run(sys.argv[1:]))


def leave(code: int) -> None:
    """End the process without taking the interpreter apart, which takes longer than most commands do.

    What was registered with `atexit` still runs; threads that a step or a plugin left behind are not waited for.
    """
    import atexit
    import os

    if (threading := sys.modules.get("threading")) is not None and threading.active_count() > 1:
        # One that hangs may hold a lock that is wanted here, such as that of a handler of `logging`.
        last = threading.Thread(target=atexit._run_exitfuncs, daemon=True)
        last.start()
        last.join(_PATIENCE)
    else:
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError) as error:
            code = code or _unwritten(error)
    os._exit(code)


def _unwritten(error: Exception) -> int:
    if sys.stderr is not None:
        sys.stderr.write(f"cerebelum: error: the output cannot be written: {error}\n")
    return 74


if __name__ == "__main__":
    main()
