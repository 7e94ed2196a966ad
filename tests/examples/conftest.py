from pathlib import Path

import pytest

from tests.examples.program import Program, in_folder


@pytest.fixture
def cerebelum(tmp_path: Path) -> Program:
    return in_folder(tmp_path)
