"""The API as OpenAPI 3.1, made from the routes and the types of what is asked and answered."""

from __future__ import annotations

from typing import Any

import msgspec

from cerebelum.render import output_schema
from cerebelum.service.web import contract
from cerebelum.service.web.routes import ROUTES, Route

Schema = dict[str, Any]

_REFS = "#/components/schemas/"
_ABOUT = (
    "What `cerebelum serve` answers over HTTP. Within a major version keys are added, none is renamed or taken away. "
    "Moments are ISO 8601 in UTC, lengths of time are seconds."
)
_SAID: dict[int, str] = {
    400: "It is asked wrongly.",
    401: "A token is needed.",
    403: "The service only shows, or is asked under a foreign name.",
    404: "There is no such thing.",
    405: "The method means nothing here; `Allow` names those that do.",
    408: "The body did not come in time.",
    409: "It cannot be done as things stand.",
    413: "The body is too large.",
    415: "The body is not said to be JSON.",
    500: "The service met with a bug of its own.",
    503: "The store cannot be reached, or there is too much to do; `Retry-After` says when to ask again.",
}
_OF_BODIES = (408, 409, 413, 415)


def document() -> Schema:
    """The whole description."""
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "cerebelum", "description": _ABOUT, "version": "1"},
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def text() -> str:
    """As it is served, and kept in docs/openapi.json."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2).decode() + "\n"


def _operation(route: Route) -> Schema:
    kind = route.answer if isinstance(route.answer, str) else "application/json"
    schema = {} if isinstance(route.answer, str) else {"schema": _ref(output_schema.name_of(route.answer))}
    answers: dict[str, Schema] = {
        str(route.code): {"description": "As it was asked.", "content": {kind: schema}},
        **{str(code): _refusal(code) for code in _SAID if route.body is not None or code not in _OF_BODIES},
    }
    operation: Schema = {"summary": route.about, "operationId": _id(route), "responses": answers}
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.body is not None:
        content = {"application/json": {"schema": _ref(route.body.__name__)}}
        operation["requestBody"] = {"required": True, "content": content}
    if route.is_open:
        operation["security"] = []
    return operation


def _id(route: Route) -> str:
    words = [word for word in route.path.removeprefix("/api/v1").replace("{id}", "one").split("/") if word]
    return "_".join([route.method.lower(), *words]).replace(".", "_")


def _refusal(code: int) -> Schema:
    schema = {"schema": _ref(output_schema.name_of(contract.Refusal))}
    return {"description": _SAID[code], "content": {"application/json": schema}}


def _parameters(route: Route) -> list[Schema]:
    found: list[Schema] = []
    if "{id}" in route.path:
        about = "An execution's id, a unique prefix of one, or `last`."
        found.append({"name": "id", "in": "path", "required": True, "description": about, "schema": {"type": "string"}})
    properties = _struct(route.query)["properties"]
    names = [field.encode_name for field in msgspec.structs.fields(route.query)]
    found += [{"name": name, "in": "query", "schema": properties[name]} for name in names]
    if route.path.endswith("{id}/stream"):
        about = "The version after which to go on; outranks `after`."
        found.append({"name": "Last-Event-ID", "in": "header", "description": about, "schema": {"type": "string"}})
    return found


def _struct(kind: type[msgspec.Struct]) -> Schema:
    """Schema of what may be said; nothing else may be."""
    (_,), made = msgspec.json.schema_components([kind], ref_template=f"{_REFS}{{name}}")
    return {**made[kind.__name__], "additionalProperties": False}


def _schemas() -> Schema:
    answers = [route.answer for route in ROUTES if not isinstance(route.answer, str)]
    bodies = {route.body.__name__: _struct(route.body) for route in ROUTES if route.body is not None}
    found: Schema = output_schema.definitions((*answers, *contract.ANSWERS))
    assert not bodies.keys() & found.keys()
    return {**_moved(found), **bodies}


def _moved(part: Any) -> Any:
    """With references that lead to where the schemas are here."""
    if isinstance(part, list):
        return [_moved(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        key: value.replace("#/$defs/", _REFS) if key == "$ref" and isinstance(value, str) else _moved(value)
        for key, value in part.items()
    }


def _ref(name: str) -> Schema:
    return {"$ref": _REFS + name}
