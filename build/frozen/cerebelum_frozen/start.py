"""Where cerebelum starts in the unpacked folder: launcher/program.c calls `start` in an interpreter without `site`.

Every start pays for what is imported here.
"""

import builtins
import sys


def start() -> None:
    """Run cerebelum with the user's arguments, which come after three of program.c's, and end the process."""
    _, file, locale, *sys.argv = sys.argv
    sys.cerebelum_file = file or sys.argv[0]  # type: ignore[attr-defined]
    _give_back_locale(locale)
    _offer_what_site_does()
    from cerebelum.__main__ import main

    main()


def _give_back_locale(locale: str) -> None:
    """Undo what the interpreter does to the variable LC_CTYPE where the locale is C; its text is UTF-8 in any case."""
    # `os` is not loaded yet, and takes its environment from here.
    import posix

    if posix.environ.get(b"LC_CTYPE", b"") == locale.encode("utf-8", "surrogateescape"):
        return
    if locale:
        posix.environ[b"LC_CTYPE"] = locale.encode("utf-8", "surrogateescape")
        posix.putenv(b"LC_CTYPE", posix.environ[b"LC_CTYPE"])
    else:
        del posix.environ[b"LC_CTYPE"]
        posix.unsetenv(b"LC_CTYPE")


def _offer_what_site_does() -> None:
    import _sitebuiltins

    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")
    builtins.help = _sitebuiltins._Helper()
