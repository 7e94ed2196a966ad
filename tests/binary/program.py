"""Which program the end-to-end tests drive: the package, or the binary that CEREBELUM_BIN names."""

import os
import sys


def program(*python_options: str) -> list[str]:
    """The beginning of a command line of cerebelum. Options of the interpreter mean nothing to the binary."""
    binary = os.environ.get("CEREBELUM_BIN")
    return [os.path.abspath(binary)] if binary else [sys.executable, *python_options, "-m", "cerebelum"]
