"""The laboratory that the tests of the engine work in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.harness import Lab


@pytest.fixture
def lab(tmp_path: Path, store_url: str) -> Iterator[Lab]:
    """A folder with a fresh store, to run workflows in."""
    lab = Lab(tmp_path, store_url)
    yield lab
    lab.close()
