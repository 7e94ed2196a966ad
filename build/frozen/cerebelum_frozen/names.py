"""The names that `site` gives to every interpreter, and that users' code may expect; here it does not run."""

import _sitebuiltins
import builtins
import sys


def offer() -> None:
    """Add them to the builtins."""
    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")
    builtins.help = _sitebuiltins._Helper()
    builtins.copyright = _sitebuiltins._Printer("copyright", sys.copyright)
    builtins.credits = _sitebuiltins._Printer("credits", "See https://www.python.org/credits/.")
    builtins.license = _sitebuiltins._Printer("license", "See cerebelum --licenses.")
