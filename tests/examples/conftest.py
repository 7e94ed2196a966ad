from pathlib import Path

import pytest

from tests.examples.program import Program, in_folder


@pytest.fixture
def cerebelum(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    """The program in a home of its own. A test that uses the fixture `store_url` has it on either store."""
    program = in_folder(tmp_path)
    if "store_url" in request.fixturenames:
        program.env["CEREBELUM_STORE"] = request.getfixturevalue("store_url")
    return program
