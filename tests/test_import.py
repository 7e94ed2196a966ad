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


def test_everything_that_can_be_imported_is_listed_and_found() -> None:
    import cerebelum

    for name in cerebelum.__all__:
        assert getattr(cerebelum, name) is not None
    exported = {name for names in cerebelum._EXPORTS.values() for name in names}
    assert exported | {"__version__"} == set(cerebelum.__all__)


def test_what_a_program_has_to_catch_is_imported_from_the_package() -> None:
    import cerebelum
    from cerebelum.core import errors

    names = ["CerebelumError", "DefinitionChanged", "DefinitionError", "NotFound", "OwnedElsewhere", "StoreError"]
    for name in (*names, "UsageError"):
        assert getattr(cerebelum, name) is getattr(errors, name)
