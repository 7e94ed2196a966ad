"""YAML files become workflows here; nothing is imported before it is used, since most commands read no file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cerebelum.definition.bodies import check_body, check_options
    from cerebelum.definition.inputs import Text, input_env, parse_inputs_file, resolve_inputs
    from cerebelum.definition.json_schema import schema
    from cerebelum.definition.workflows import load, parse

__all__ = [
    "Text",
    "check_body",
    "check_options",
    "input_env",
    "load",
    "parse",
    "parse_inputs_file",
    "resolve_inputs",
    "schema",
]

_HOMES = {
    "Text": "inputs",
    "check_body": "bodies",
    "check_options": "bodies",
    "input_env": "inputs",
    "load": "workflows",
    "parse": "workflows",
    "parse_inputs_file": "inputs",
    "resolve_inputs": "inputs",
    "schema": "json_schema",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
