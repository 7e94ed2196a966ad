"""The way in from a shell: `cerebelum …` and `python -m cerebelum …`. What is asked most often is answered first."""

from __future__ import annotations

import sys

from cerebelum import __version__


def main() -> None:
    """Run the command line of this process and end the process with its exit code."""
    if sys.argv[1:] == ["--version"] and sys.stdout is not None:
        try:
            sys.stdout.write(f"cerebelum {__version__}\n")
        except OSError as error:
            leave(_unwritten(error))
        leave(0)
    import gc

    from cerebelum.start import lean, tricks

    if tricks.on("gc"):
        # app.py turns it on again for what may take longer.
        gc.disable()
    if tricks.on("lean"):
        lean.prepare()
    from cerebelum.app import main as run

    leave(run(sys.argv[1:]))


def leave(code: int) -> None:
    """End the process without taking the interpreter apart, which takes longer than most commands do.

    What was registered with `atexit` still runs; threads that a step left behind are not waited for.
    """
    import atexit
    import os

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
