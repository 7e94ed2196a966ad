"""What the tests of the PostgreSQL store share."""

from __future__ import annotations

import psycopg

from cerebelum.backends.postgres.address import parse
from tests.servers.postgres import without_schema

PATIENCE = 20.0


def admin(url: str) -> psycopg.Connection:
    return psycopg.connect(without_schema(url), autocommit=True)


def schema_of(url: str) -> str:
    return parse(url).schema
