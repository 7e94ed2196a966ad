"""Stores in PostgreSQL, near and far."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cerebelum.backends.postgres import open_store
from cerebelum.store import EventStore
from tests.servers.proxy import Proxy


@pytest.fixture
def opened() -> Iterator[Callable[[str], EventStore]]:
    stores: list[EventStore] = []

    def opens(url: str) -> EventStore:
        stores.append(open_store(url))
        return stores[-1]

    yield opens
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[str], EventStore], postgres_url: str) -> EventStore:
    return opened(postgres_url)


@pytest.fixture
def far(opened: Callable[[str], EventStore], proxy: Proxy) -> EventStore:
    """The same store over a network that can be disturbed."""
    return opened(proxy.url)
