"""What `import cerebelum` costs a program: next to nothing, until it uses something."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["click", "yaml", "asyncio", "sqlite3", "pysqlite3"])
def test_importing_the_package_does_not_load(module: str) -> None:
    code = f"import sys, cerebelum; print({module!r} in sys.modules)"
    ran = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
