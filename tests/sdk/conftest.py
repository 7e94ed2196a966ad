"""What the tests of the Python package share: a client of a world's store, in that world's folder."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cerebelum import ExecutionClient
from cerebelum.plugins import approval, python, shell, sleep
from cerebelum.sdk.verbs import Verbs
from cerebelum.steps.executor import Executor
from tests.lifecycle.world import World
from tests.stores import open_store


def executors() -> Mapping[str, Executor]:
    return {e.key: e for plugin in (shell, python, sleep, approval) for e in plugin.cerebelum_executors()}


def verbs_of(world: World) -> Verbs:
    return Verbs(lambda: open_store(world.url), executors, environ=world.environ)


@pytest.fixture(autouse=True)
def default_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of its own for every test, where everything that is not told otherwise keeps its executions."""
    url = f"sqlite:///{tmp_path}/default/cerebelum.db"
    monkeypatch.setenv("CEREBELUM_STORE", url)
    return url


@pytest.fixture
def client(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExecutionClient]:
    monkeypatch.chdir(world.folder)
    verbs = verbs_of(world)
    with ExecutionClient.over(verbs) as client:
        yield client
    verbs.close()
