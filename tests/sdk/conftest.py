"""A store of its own for every test, where everything that is not told otherwise keeps its executions."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def default_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The default store of the process, by CEREBELUM_STORE."""
    url = f"sqlite:///{tmp_path}/store/cerebelum.db"
    monkeypatch.setenv("CEREBELUM_STORE", url)
    return url
