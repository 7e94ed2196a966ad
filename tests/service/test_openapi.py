"""docs/openapi.json is a description of every address, is valid, and is current."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from cerebelum.service.web.routes import ROUTES
from docs.generate import OPENAPI, openapi_file
from tests.lifecycle.world import World
from tests.service.conftest import within
from tests.stores import only_sqlite

DOCUMENT: dict[str, Any] = json.loads(OPENAPI.read_text("utf-8"))


def test_the_committed_description_is_current() -> None:
    assert OPENAPI.read_text("utf-8") == openapi_file(), "run: .venv/bin/python -m docs.generate"


def test_every_route_is_described_and_nothing_else() -> None:
    described = {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == {(route.method.lower(), route.path) for route in ROUTES}
    ids = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(set(ids)) == len(ids)
    for route in ROUTES:
        operation = DOCUMENT["paths"][route.path][route.method.lower()]
        assert operation["summary"]
        assert ("requestBody" in operation) is (route.body is not None)
        assert ("{id}" in route.path) is any(p["in"] == "path" for p in operation.get("parameters", []))


def test_every_schema_is_one_and_every_reference_leads_somewhere() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for ref in references(DOCUMENT):
        at: Any = DOCUMENT
        for part in ref.removeprefix("#/").split("/"):
            at = at[part]


def references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [ref for item in part for ref in references(item)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return own + [ref for value in part.values() for ref in references(value)]


@only_sqlite
@pytest.mark.usefixtures("store_url")
def test_it_is_served_as_it_is(world: World) -> None:
    async def main() -> None:
        async with within(world) as at:
            assert (await at.http.get("/openapi.json")).text == OPENAPI.read_text("utf-8")

    asyncio.run(main())
