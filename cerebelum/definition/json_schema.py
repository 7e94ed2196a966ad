"""The JSON Schema of workflow files, for editors: every key with what it means, plugins' keys included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from cerebelum.core.durations import PATTERN, Duration
from cerebelum.core.model import GROUPS, MAX_PARALLEL
from cerebelum.core.queues import QUEUE
from cerebelum.core.step_kind import StepKind
from cerebelum.definition.bodies import option_names
from cerebelum.definition.concurrency import POLICIES
from cerebelum.definition.declarations import DEFAULT_KEYS, INPUT_TYPES
from cerebelum.definition.drafts import COMMON, ID, ON_INTERRUPT
from cerebelum.definition.fields import ENV_NAME, MAX_ATTEMPTS
from cerebelum.definition.schedules import MISSED, OVERLAPS

Schema = dict[str, Any]

_REF = "#/$defs/{name}"


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _anchored(pattern: str) -> str:
    return f"^(?:{pattern})$"


def _object(properties: Schema, **more: Any) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}


def _described(schema: Schema, text: str) -> Schema:
    return {**schema, "description": text}


def _names(item: Schema, text: str) -> Schema:
    single = {"type": "string"}
    return {"anyOf": [single, {"type": "array", "items": item, "uniqueItems": True}], "description": text}


def schema(executors: Mapping[str, StepKind]) -> Schema:
    """JSON Schema (2020-12) of workflow files that may use these executors."""
    steps, definitions = _executor_schemas(executors)
    step = _object(
        {**_common_keys(), **steps},
        required=["id"],
        oneOf=[{"required": [key]} for key in sorted(executors)],
        dependentSchemas=_dependents(executors),
    )
    parallel = _object(
        {"parallel": {"type": "array", "items": _ref("step"), "minItems": 1, "description": "Steps side by side."}},
        required=["parallel"],
    )
    item = {"if": {"type": "object", "required": ["parallel"]}, "then": _ref("parallel"), "else": _ref("step")}
    timeline = {"type": "array", "items": _ref("item"), "minItems": 1}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "cerebelum workflow",
        "description": "A workflow: a named graph of steps, run durably by cerebelum.",
        **_object(_workflow_keys(executors, steps), required=["steps"], patternProperties={"^x-": True}),
        "$defs": {
            **definitions,
            **_basic_definitions(),
            "step": step,
            "parallel": parallel,
            "item": item,
            "timeline": timeline,
        },
    }


def _basic_definitions() -> Schema:
    scalar = ["string", "number", "boolean"]
    retry = {
        "attempts": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_ATTEMPTS,
            "description": "Attempts in all, the first one included.",
        },
        "delay": _described(_ref("duration"), "Before the second attempt; 1s if not given."),
        "backoff": {"type": "number", "minimum": 1, "description": "Each further delay is the last one times this."},
        "max_delay": _described(_ref("duration"), "No delay is longer than this."),
        "jitter": {"type": "number", "minimum": 0, "maximum": 1, "description": "Fraction of random spread."},
        "on": {
            "anyOf": [_ref("exitCode"), {"type": "array", "items": _ref("exitCode"), "minItems": 1}],
            "description": "Exit codes worth a retry; every failure if not given.",
        },
    }
    queue: Schema = {"type": "string", "pattern": QUEUE, "description": "The queue whose workers perform it."}
    labels = _names({"type": "string", "minLength": 1, "pattern": "^[^,]+$"}, "What such a worker has to have.")
    return {
        "id": {"type": "string", "pattern": _anchored(ID.pattern)},
        "text": {"type": scalar},
        "expression": {"type": "string", "pattern": r"\$\{\{"},
        "exitCode": {"type": "integer", "minimum": 1, "maximum": 255},
        "duration": {
            "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": PATTERN}],
            "examples": ["30s", "10m", "1h30m", "2d", "500ms"],
        },
        "variableName": {"type": "string", "pattern": _anchored(ENV_NAME.pattern)},
        "env": {
            "type": "object",
            "propertyNames": {"$ref": "#/$defs/variableName"},
            "additionalProperties": {"type": [*scalar, "null"]},
        },
        "retry": {"anyOf": [{"type": "integer", "minimum": 1}, _object(retry, required=["attempts"])]},
        "runsOn": {"anyOf": [queue, _object({"queue": queue, "labels": labels}, required=["queue"])]},
        "input": _input(),
        "schedule": _schedule(),
    }


def _input() -> Schema:
    return _object(
        {
            "type": {"enum": list(INPUT_TYPES), "default": "string"},
            "required": {"type": "boolean", "default": False},
            "default": {"description": "The value if none is given."},
            "description": {"type": "string"},
            "pattern": {"type": "string", "description": "A regular expression that the whole text has to match."},
            "choices": {"type": "array", "minItems": 1, "description": "The values that are possible."},
            "minimum": {"type": "number"},
            "maximum": {"type": "number"},
        },
        type=["object", "null"],
    )


def _workflow_keys(executors: Mapping[str, StepKind], steps: Schema) -> Schema:
    options = frozenset[str]().union(*map(option_names, executors.values())) - frozenset(DEFAULT_KEYS)
    common = _common_keys()
    defaults = {key: common[key] for key in DEFAULT_KEYS} | {key: steps[key] for key in sorted(options)}
    texts = {
        "steps": "A timeline: each step follows the one before it.",
        "on_failure": "Handlers that run when the workflow failed.",
        "on_success": "Handlers that run when the workflow completed.",
        "on_cancel": "Handlers that run when the workflow was cancelled.",
        "finally": "Handlers that run at the end in any case.",
    }
    return {
        "name": {"type": "string", "maxLength": 64, "description": "The file's name if not given."},
        "description": {"type": "string"},
        "inputs": {
            "type": "object",
            "propertyNames": _ref("id"),
            "additionalProperties": _ref("input"),
            "description": "What a run can be given; each reaches steps as INPUT_<NAME> and inputs.<name>.",
        },
        "secrets": _secrets("Names of environment variables that steps get, never stored and masked everywhere."),
        "env": _described(_ref("env"), "Environment variables of every step."),
        "max_parallel": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_PARALLEL,
            "default": 16,
            "description": "How many steps may run at once.",
        },
        "timeout": _described(_ref("duration"), "For a run, or a resume, in all."),
        "concurrency": {
            "anyOf": [{"type": "string", "minLength": 1}, _object(_concurrency(), required=["group"])],
            "description": "The group whose executions never overlap.",
        },
        "schedule": {
            "anyOf": [_ref("schedule"), {"type": "array", "items": _ref("schedule"), "minItems": 1}],
            "description": "When executions start by themselves, under `supervise FILE` or `worker --schedule FILE`.",
        },
        "portable": {
            "type": "boolean",
            "default": False,
            "description": "Completed steps leave nothing behind on the machine's disk that later steps need.",
        },
        "output": {"description": "The execution's output; may hold ${{ … }}."},
        "defaults": _object(defaults, description="What steps inherit where they do not say it themselves."),
        **{group: _described(_ref("timeline"), texts[group]) for group in GROUPS},
    }


def _concurrency() -> Schema:
    return {
        "group": _described(_ref("text"), "Its name; may hold ${{ inputs.… }}."),
        "policy": {
            "enum": list(POLICIES),
            "default": "queue",
            "description": "What a run does while another one of the group goes on: wait, fail, or cancel that one.",
        },
    }


def _schedule() -> Schema:
    cron = {
        "type": "string",
        "minLength": 1,
        "description": "minute hour day month weekday; six: second first; @daily.",
    }
    keys = {
        "cron": cron,
        "timezone": {"type": "string", "default": "UTC", "description": "A name such as Europe/Berlin."},
        "overlap": {
            "enum": list(OVERLAPS),
            "description": "What becomes of a tick while the one before goes on; skip if `concurrency` says nothing.",
        },
        "missed": {
            "enum": list(MISSED),
            "default": "once",
            "description": "What becomes of ticks at which nobody was there.",
        },
    }
    return {"anyOf": [cron, _object(keys, required=["cron"])]}


def _secrets(text: str) -> Schema:
    return _names(_ref("variableName"), text)


def _common_keys() -> Schema:
    keys: Schema = {
        "id": _described(_ref("id"), "The step's name, unique in the file."),
        "needs": _names(_ref("id"), "Steps to wait for, instead of the item before; [] starts at once."),
        "when": {"type": ["string", "boolean"], "description": "A condition; the step is skipped if it does not hold."},
        "env": _described(_ref("env"), "Environment variables of this step."),
        "secrets": _secrets("Further secrets that this step gets."),
        "working_dir": {**_ref("text"), "description": "Folder, relative to where the execution was started."},
        "timeout": _described(_ref("duration"), "For one attempt."),
        "retry": _described(_ref("retry"), "How often, and when, a failed attempt is tried again."),
        "continue_on_error": {"type": "boolean", "description": "Whether what follows runs even if this step fails."},
        "on_interrupt": {
            "enum": list(ON_INTERRUPT),
            "default": "rerun",
            "description": "What becomes of an attempt that was interrupted.",
        },
        "verify": {**_ref("text"), "description": "A command; exit code 0 says that the interrupted attempt did land."},
        "runs_on": _described(_ref("runsOn"), "The workers of a pool that may perform it."),
        "output": {"enum": ["text", "json"], "description": "Take stdout as the step's output."},
        "description": _ref("text"),
        "undoes": _names(_ref("id"), "For handlers: steps whose effect is gone once this one completed."),
    }
    assert tuple(keys) == COMMON
    return keys


def _executor_schemas(executors: Mapping[str, StepKind]) -> tuple[Schema, Schema]:
    """Properties of a step for every executor's own and further keys, and the definitions they refer to."""
    properties: Schema = {}
    definitions: Schema = {}
    for key, executor in sorted(executors.items()):
        body, more = _of_type(executor.body)
        definitions |= more
        literal = key in executor.literal
        properties[key] = _described(_loose(body, literal), executor.summary)
        if executor.options is None:
            continue
        _, more = _of_type(executor.options)
        fields = more.pop(executor.options.__name__, {}).get("properties", {})
        definitions |= more
        for name, field in fields.items():
            if name not in COMMON:
                said = field.get("description", f"Belongs to `{key}`.")
                properties.setdefault(name, _described(_loose(field, name in executor.literal), said))
    return properties, {name: _loose(definition, False, root=True) for name, definition in definitions.items()}


def _special(kind: type[Any]) -> Schema:
    if kind is Duration:
        return {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": PATTERN}]}
    raise NotImplementedError


def _of_type(wanted: Any) -> tuple[Schema, Schema]:
    try:
        (found,), definitions = msgspec.json.schema_components([wanted], schema_hook=_special, ref_template=_REF)
    except TypeError:
        return {}, {}
    return found, definitions


def _dependents(executors: Mapping[str, StepKind]) -> Schema:
    owners: dict[str, list[str]] = {}
    for key, executor in sorted(executors.items()):
        for name in sorted(option_names(executor) - frozenset(COMMON)):
            owners.setdefault(name, []).append(key)
    return {name: {"anyOf": [{"required": [key]} for key in keys]} for name, keys in owners.items()}


def _loose(part: Any, literal: bool, root: bool = False) -> Any:
    """A type's schema as it holds in a file: texts may be written without quotes, other values as expressions."""
    if not isinstance(part, dict) or not part:
        return part
    result = dict(part)
    for key in ("items", "additionalProperties"):
        if isinstance(result.get(key), dict):
            result[key] = _loose(result[key], literal)
    if isinstance(result.get("properties"), dict):
        result["properties"] = {name: _loose(field, literal) for name, field in result["properties"].items()}
    if isinstance(result.get("prefixItems"), list):
        result["prefixItems"] = [_loose(item, literal) for item in result["prefixItems"]]
    if result.get("type") == "string" and not {"pattern", "format", "enum"} & set(result):
        return {**result, "type": ["string", "number", "boolean"]}
    if root or literal or ("$ref" not in result and not {"type", "enum", "anyOf"} & set(result)):
        return result
    outer = {key: result.pop(key) for key in ("description", "default", "title") if key in result}
    return {"anyOf": [result, _ref("expression")], **outer}
