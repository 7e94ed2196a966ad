"""What the tests of the Python package share: a client of a world's store, in that world's folder."""

from collections.abc import Iterator, Mapping

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


@pytest.fixture
def client(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExecutionClient]:
    monkeypatch.chdir(world.folder)
    verbs = verbs_of(world)
    with ExecutionClient.over(verbs) as client:
        yield client
    verbs.close()
