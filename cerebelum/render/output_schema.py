"""The JSON Schema of what `--json` prints, made from the types of contract.py and from the events themselves.

Only `schema --output` needs it. Objects of ours may get further keys, so they take any; free maps (inputs, say) are
those without `properties`.
"""

from __future__ import annotations

from typing import Any

import msgspec
import msgspec.inspect as kinds

from cerebelum.core.events import AnyEvent
from cerebelum.core.model import Diversion, Input, Retry, Source, Step, Workflow
from cerebelum.render.contract import OUTPUTS

Schema = dict[str, Any]

_MOMENT = {"type": "string", "format": "date-time", "pattern": "Z$"}
_TEXT = {"type": "string"}
_EXECUTION = "The execution's id."
_DIGEST = "SHA-256 that chains the event to the one before; in `history` only."
_NAMES: dict[type[Any], str] = {
    Workflow: "RecordedWorkflow",
    Input: "RecordedInput",
    Step: "RecordedStep",
    Diversion: "RecordedDiversion",
    Retry: "RecordedRetry",
    Source: "RecordedSource",
}
"""What the parts of a recorded definition are called; `step` is how a step of an execution stands."""

_MEANINGS: dict[str, str] = {
    "added": "How many executions were not there before.",
    "at": "When it was recorded.",
    "accepted": "Steps whose definition has changed, and whose old outputs are kept.",
    "attempt": "Number of the attempt, which goes on over resumes.",
    "base64": "The bytes, where they are not UTF-8 by themselves.",
    "blocked": "Completed steps that have changed and need --accept-changes or --from.",
    "call": "Number of the sleep or approval within its step.",
    "carried_forward": "How many were there with an earlier part of the same log.",
    "changed": "Whether the definition differs from the recorded one.",
    "continues": "Whether the segment goes on that was cut off.",
    "correlation_id": "What whoever started it gave, to find it again.",
    "current": "Steps that are running or waiting, at most 10.",
    "details": "More facts by name, as the kind of store has them.",
    "due_at": "When something is to happen next although nobody does anything.",
    "duration": "Seconds that the attempt took.",
    "ended_at": "When it was over.",
    "epoch": "Grows with every process that takes the execution over.",
    "exit_code": "The exit code.",
    "expires_at": "When the time to decide is over.",
    "failed_steps": "Steps whose failure is final.",
    "group": "The main graph, or the handlers it belongs to.",
    "handlers_ran": "Handlers that completed last time.",
    "has_more": "Whether there are more than these.",
    "hint": "What to do about it.",
    "inputs": "The inputs by name.",
    "interrupted": "Why the last attempt was cut off.",
    "known_schema_version": "The version that older stores are migrated to when they are written.",
    "left_out": "Executions that a live process drives.",
    "log_bytes": "Bytes of what steps printed, if the store can say.",
    "max_delay": "Seconds.",
    "needs": "Steps that it follows.",
    "offset": "How many were left out in front.",
    "LogLine.offset": "Where the piece begins, in bytes of this attempt's output, both streams together.",
    "Exported.executions": "How many were written.",
    "StoreInfo.executions": "How many there are, by stored status.",
    "StoreInfo.size": "Bytes on disk.",
    "Backup.size": "Bytes.",
    "parent": "The execution that it was forked from.",
    "pruned_at": "When it was removed, if it was.",
    "reason": "Why, where the status alone does not say.",
    "diverted": "Where its failure led to: continue, or a step.",
    "rerun": "Steps that were over and run again.",
    "resumes": "How often it was resumed.",
    "retry_at": "When the next attempt is due, if there is to be one.",
    "reused": "Of a fork: the outputs taken over from the old execution, by step.",
    "seconds": "Length of the wait, in seconds.",
    "skipped": "Why it was skipped.",
    "steps_done": "How many steps of the main graph are over.",
    "steps_total": "How many steps the main graph has.",
    "tail": "The last lines that were printed.",
    "timeout": "Seconds.",
    "Retry.delay": "Seconds.",
    "taken_up": "Executions that stay because somebody has gone on with them meanwhile.",
    "there_already": "How many are there with all events.",
    "tombstones": "How many pruned executions.",
    "total": "How many there are.",
    "total_duration": "Seconds from the start of the first attempt to the end, with retries, sleeps and approvals.",
    "total_is_exact": "If not, there are that many or more.",
    "until": "When the sleep is over.",
    "verified": "Whether `verify` said that an interrupted attempt did land.",
}
"""What keys mean where their names do not say it: wherever they stand, or in one definition."""


def schema() -> Schema:
    """JSON Schema (2020-12) with a definition for everything that `--json` prints."""
    events = AnyEvent.__args__
    about = "What cerebelum prints with --json: $defs has an entry for each kind of output. Keys may be added."
    text = "A line of `run`, `resume`, `fork`, `watch` and `history` with --json."
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "cerebelum --json",
        "description": about,
        "anyOf": [{"$ref": "#/$defs/event"}, *map(_ref, OUTPUTS)],
        "$defs": {"event": {"description": text, "oneOf": list(map(_ref, events))}, **definitions(OUTPUTS)},
    }


def definitions(outputs: tuple[type[Any], ...]) -> Schema:
    """A schema for each of these types, for those within them, and for every event, by `name_of`."""
    events = AnyEvent.__args__
    found = {name: _definition(kind) for kind, name in _reached((*outputs, *events)).items()}
    for event in events:
        found[event.__name__] = _as_line(found[event.__name__])
    if "logLine" in found:
        found["logLine"]["oneOf"] = [{"required": ["text"]}, {"required": ["base64"]}]
    return found


def _reached(wanted: tuple[type[Any], ...]) -> dict[type[Any], str]:
    """All types of ours within these, with their names, in the order in which they are come upon."""
    found: dict[type[Any], str] = {}

    def visit(kind: kinds.Type) -> None:
        match kind:
            case kinds.StructType(cls=cls) | kinds.TypedDictType(cls=cls) if cls not in found:
                found[cls] = name_of(cls)
                for field in kind.fields:
                    visit(field.type)
            case kinds.UnionType():
                for part in kind.types:
                    visit(part)
            case kinds.ListType() | kinds.VarTupleType():
                visit(kind.item_type)
            case kinds.DictType():
                visit(kind.value_type)
            case _:
                pass

    for kind in wanted:
        visit(kinds.type_info(kind))
    assert len(set(found.values())) == len(found)
    return found


def name_of(kind: type[Any]) -> str:
    """Structs are recorded, and keep their names (which are the `type` of an event); the rest begins small."""
    if issubclass(kind, msgspec.Struct):
        return _NAMES.get(kind, kind.__name__)
    return kind.__name__[0].lower() + kind.__name__[1:]


def _ref(kind: type[Any]) -> Schema:
    return {"$ref": f"#/$defs/{name_of(kind)}"}


def _definition(wanted: type[Any]) -> Schema:
    kind = kinds.type_info(wanted)
    assert isinstance(kind, kinds.StructType | kinds.TypedDictType)
    tag: Schema = {}
    always = False
    if isinstance(kind, kinds.StructType):
        tag = {kind.tag_field: {"const": kind.tag}} if kind.tag_field else {}
        always = not wanted.__struct_config__.omit_defaults
    order = list(wanted.__annotations__) if isinstance(kind, kinds.TypedDictType) else []
    fields = sorted(kind.fields, key=lambda field: order.index(field.name) if field.name in order else -1)
    return {
        **({"description": wanted.__doc__} if wanted.__doc__ else {}),
        "type": "object",
        "properties": {**tag, **{field.encode_name: _described(wanted, field) for field in fields}},
        "required": [*tag, *(field.encode_name for field in fields if always or field.required)],
        "additionalProperties": True,
    }


def _described(owner: type[Any], field: kinds.Field) -> Schema:
    meaning = _MEANINGS.get(f"{owner.__name__}.{field.name}") or _MEANINGS.get(field.name)
    return {**_of(field.type), **({"description": meaning} if meaning else {})}


def _of(kind: kinds.Type) -> Schema:
    match kind:
        case kinds.AnyType():
            return {}
        case kinds.NoneType():
            return {"type": "null"}
        case kinds.BoolType():
            return {"type": "boolean"}
        case kinds.IntType():
            return {"type": "integer"}
        case kinds.FloatType():
            return {"type": "number"}
        case kinds.StrType():
            return dict(_TEXT)
        case kinds.DateTimeType():
            return dict(_MOMENT)
        case kinds.LiteralType():
            return {"enum": list(kind.values)}
        case kinds.ListType() | kinds.VarTupleType():
            return {"type": "array", "items": _of(kind.item_type)}
        case kinds.DictType():
            return {"type": "object", "additionalProperties": _of(kind.value_type) or True}
        case kinds.UnionType():
            return {"anyOf": [_of(part) for part in kind.types]}
        case kinds.StructType() | kinds.TypedDictType():
            return _ref(kind.cls)
        case _:
            raise TypeError(f"{kind} has no place in what --json prints")


def _as_line(event: Schema) -> Schema:
    """An event as it is printed: with the execution's id in front, and the digest in a history."""
    front = {
        "execution_id": {**_TEXT, "description": _EXECUTION},
        "digest": {**_TEXT, "description": _DIGEST},
    }
    return {
        **event,
        "properties": {**front, **event["properties"]},
        "required": ["execution_id", *event["required"]],
    }
