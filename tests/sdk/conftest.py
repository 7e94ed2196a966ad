"""What the tests of the Python package share: a store of its own for every test, and a client of a world's store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cerebelum import ExecutionClient
from cerebelum.plugins import approval, python, shell, sleep
from cerebelum.sdk.verbs import Verbs
from cerebelum.steps.executor import Executor
from tests.lifecycle.world import World
from tests.stores import open_store


@pytest.fixture(autouse=True)
def default_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The default store of the process, by CEREBELUM_STORE."""
    url = f"sqlite:///{tmp_path}/store/cerebelum.db"
    monkeypatch.setenv("CEREBELUM_STORE", url)
    return url


def executors() -> Mapping[str, Executor]:
    return {e.key: e for plugin in (shell, python, sleep, approval) for e in plugin.cerebelum_executors()}


def verbs_of(world: World) -> Verbs:
    return Verbs(lambda: open_store(world.url), executors, environ=world.environ)


@pytest.fixture
def client(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExecutionClient]:
    monkeypatch.chdir(world.folder)
    verbs = verbs_of(world)
    with ExecutionClient.over(verbs) as client:
        yield client
    verbs.close()
