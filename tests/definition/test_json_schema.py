"""The JSON Schema that editors use agrees with what is accepted."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from cerebelum.definition import load, schema
from cerebelum.plugins import python, shell
from cerebelum.steps.executor import Executor
from tests.definition.executors import EXECUTORS, problems
from tests.definition.test_hostile import SAMPLE

VALIDATOR = jsonschema.Draft202012Validator(schema(EXECUTORS))
EXAMPLES = Path(__file__).parents[2] / "examples"


def data(text: str) -> Any:
    return yaml.safe_load(text)


def valid(text: str) -> bool:
    return bool(VALIDATOR.is_valid(data(text)))


def test_the_schema_is_one_and_is_json() -> None:
    jsonschema.Draft202012Validator.check_schema(schema(EXECUTORS))
    json.dumps(schema(EXECUTORS))


def test_every_key_says_what_it_means() -> None:
    found = schema(EXECUTORS)
    step = found["$defs"]["step"]["properties"]
    assert {"id", "needs", "run", "python", "with", "isolated", "shell", "http", "sleep"} <= step.keys()
    silent = [key for key, value in step.items() if "description" not in value and "$ref" not in value]
    assert silent == []


RIGHT = [
    SAMPLE,
    "steps: [{id: a, run: true}]",
    "steps: [{id: a, run: x, retry: 3, timeout: 1h30m, needs: [], when: true}]",
    "x-any: 1\nsteps: [{parallel: [{id: a, run: x}]}]",
    "inputs: {a: {}}\nsteps: [{id: a, http: {url: u, expect: {status: '${{ inputs.a }}'}}}]",
    "inputs: {a: {}}\nsteps: [{id: a, http: '${{ inputs.a }}'}]",
    "steps: [{id: a, sleep: 30m}, {id: b, sleep: 3}]",
    "defaults: {shell: sh, timeout: 3}\nsteps: [{id: a, run: x}]",
]
WRONG = [
    "stps: []",
    "steps: []",
    "steps: [{run: x}]",
    "steps: [{id: a}]",
    "steps: [{id: a/b, run: x}]",
    "steps: [{id: a, run: x, sleep: 3}]",
    "steps: [{id: a, run: x, isolated: true}]",
    "steps: [{id: a, run: x, timeout: soon}]",
    "steps: [{id: a, run: x, tiemout: 3}]",
    "steps: [{id: a, http: {}}]",
    "steps: [{id: a, http: {url: u, expect: {status: x}}}]",
    "steps: [{parallel: [{parallel: [{id: a, run: x}]}]}]",
    "steps: [{id: a, run: x, shell: zsh}]",
    "steps: [{id: a, run: x, retry: {delay: 3}}]",
    "inputs: {a: {typ: x}}\nsteps: [{id: a, run: x}]",
    "env: {1A: x}\nsteps: [{id: a, run: x}]",
]


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_accepted_is_valid(text: str) -> None:
    assert problems(text) == []
    assert valid(text)


@pytest.mark.parametrize("text", WRONG)
def test_what_is_refused_is_invalid(text: str) -> None:
    assert problems(text)
    assert not valid(text)


def builtin() -> dict[str, Executor]:
    return {e.key: e for plugin in (shell, python) for e in plugin.cerebelum_executors()}


@pytest.mark.parametrize(
    "path",
    sorted(p for p in EXAMPLES.glob("**/*.yaml") if "steps:" in p.read_text() and "plugin" not in p.parts),
    ids=lambda path: str(path.relative_to(EXAMPLES)),
)
def test_the_examples_are_valid_and_accepted(path: Path) -> None:
    executors = builtin()
    load(path, executors)
    jsonschema.Draft202012Validator(schema(executors)).validate(data(path.read_text()))
