"""The arena of the crash tests, and the pool that may use its store as well."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.arena import STORM, Arena
from tests.pool.beside import pool_beside
from tests.servers.postgres import with_schema

BESIDE = bool(os.environ.get("CEREBELUM_CHAOS_POOL"))
"""Whether a pool uses every store of PostgreSQL that is tested here; otherwise it is a part of them."""


@pytest.fixture(autouse=True)
def a_pool_beside(request: pytest.FixtureRequest) -> Iterator[None]:
    """If that is wanted, a pool that uses the store as well."""
    url = _url(request) if BESIDE and "beside" not in request.fixturenames else None
    if url is None:
        yield
        return
    with pool_beside(url):
        yield


def _url(request: pytest.FixtureRequest) -> str | None:
    """The store of PostgreSQL that the test uses, if it does."""
    if "own_server" in request.fixturenames:
        return with_schema(request.getfixturevalue("own_server").url, "arena")
    if "store_url" in request.fixturenames:
        url = str(request.getfixturevalue("store_url"))
        return url if url.startswith("postgresql:") else None
    return str(request.getfixturevalue("postgres_url")) if "postgres_url" in request.fixturenames else None


@pytest.fixture
def arena(tmp_path: Path, store_url: str) -> Iterator[Arena]:
    """A folder with a fresh store and the workflow `storm.yaml`, to run and kill the program in."""
    arena = Arena(tmp_path, store_url)
    arena.write(STORM, "storm.yaml")
    yield arena
    arena.close()
