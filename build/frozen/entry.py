"""Where the one-file form starts: as cerebelum, or, given the arguments of an interpreter, as Python."""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Any


def wants_python(argv: list[str]) -> bool:
    """Whether these are the arguments of an interpreter: user code starts `sys.executable` with them."""
    first = argv[1] if len(argv) > 1 else ""
    return first in ("-c", "-m", "-I", "-P", "-E", "-B", "-u", "-X") or first.endswith(".py")


def start() -> None:
    """Run what was asked for; PyInstaller's own words about an exception would only confuse."""
    if not wants_python(sys.argv):
        from cerebelum.__main__ import main

        main()
        return
    from cerebelum_frozen.interpreter import run

    from cerebelum.__main__ import leave

    interrupted = False
    try:
        run(sys.argv[1:])
        code: object = 0
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        sys.excepthook(type(error), error, of_the_user(error.__traceback__))
        code = 1
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()
    if interrupted:
        import signal

        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    leave((code or 0) & 0xFF)


def keep_own_folder() -> None:
    """In a child of multiprocessing, take modules from its own unpacked folder and not the parent's."""
    from multiprocessing import spawn

    prepare, own = spawn.prepare, str(sys._MEIPASS)  # type: ignore[attr-defined]

    def prepare_here(data: "Mapping[str, Any]") -> None:
        theirs = next((p for p in data.get("sys_path", ()) if os.path.basename(p).startswith("_MEI")), own)
        path = [own + p[len(theirs) :] if p.startswith(theirs) else p for p in data.get("sys_path", sys.path)]
        prepare({**data, "sys_path": path})

    spawn.prepare = prepare_here


def of_the_user(trace: "TracebackType | None") -> "TracebackType | None":
    """A traceback without the frames of this program around it."""
    own = ("entry.py", "cerebelum_frozen")
    while trace is not None and trace.tb_next and trace.tb_frame.f_code.co_filename.startswith(own):
        trace = trace.tb_next
    return trace


if __name__ == "__main__":
    # There is no such file that a child of multiprocessing could run again.
    globals().pop("__file__", None)
    from multiprocessing import freeze_support

    if any("multiprocessing" in argument for argument in sys.argv[1:]):
        keep_own_folder()
    freeze_support()
    start()
