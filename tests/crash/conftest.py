"""The arena of the crash tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.arena import STORM, Arena


@pytest.fixture
def arena(tmp_path: Path, store_url: str) -> Iterator[Arena]:
    """A folder with a fresh store and the workflow `storm.yaml`, to run and kill the program in."""
    arena = Arena(tmp_path, store_url)
    arena.write(STORM, "storm.yaml")
    yield arena
    arena.close()
