from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest

from cerebelum.backends.conformance import StoreConformance
from cerebelum.backends.postgres import open_store

BASE = "postgresql://postgres@127.0.0.1:54399/postgres"


class TestPostgres(StoreConformance):
    opener = staticmethod(open_store)

    @pytest.fixture
    def url(self) -> Iterator[str]:
        name = "t_" + os.urandom(5).hex()
        yield f"{BASE}?schema={name}"
        with psycopg.connect(BASE, autocommit=True) as c:
            c.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
