"""`schedule:`, when a workflow starts by itself: as it is written, in YAML and in Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from cerebelum.core.errors import UsageError
from cerebelum.core.model import Input, Missed, Overlap, Schedule
from cerebelum.definition.cron import FORM, cron_problem, zone_problem
from cerebelum.definition.fields import check_keys, read_choice, read_text
from cerebelum.definition.findings import Findings, did_you_mean, listed, quoted
from cerebelum.definition.nodes import AnyNode, Listing, Scalar, Table, kind

KEYS = ("cron", "timezone", "overlap", "missed")
OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)
MISSED: tuple[Missed, ...] = get_args(Missed)
_EXAMPLE = "such as {cron: '0 3 * * *', timezone: Europe/Berlin}"


def read_schedules(found: Findings, node: AnyNode, inputs: Mapping[str, Input]) -> tuple[Schedule, ...]:
    """The block: a cron expression, a mapping, or a list of these."""
    if (needed := needed_input(inputs)) is not None:
        found.add(node, "schedule", *needed)
    if not isinstance(node, Listing):
        return tuple(made for made in [_read(found, node, "schedule")] if made)
    if not node.items:
        found.add(node, "schedule", "the list is empty", _EXAMPLE)
    read = (_read(found, item, f"schedule[{at}]") for at, item in enumerate(node.items))
    return tuple(dict.fromkeys(made for made in read if made))


def _read(found: Findings, node: AnyNode, path: str) -> Schedule | None:
    if isinstance(node, Scalar) and node.value is not None:
        return Schedule(node.text) if _is_fine(found, node, path, cron_problem(node.text)) else None
    if not isinstance(node, Table):
        found.add(node, path, f"expected a cron expression or a mapping, this is {kind(node)}", _EXAMPLE)
        return None
    check_keys(found, node, path, KEYS)
    entries, values = node.entries, dict[str, Any]()
    if "cron" not in entries:
        found.add(node, path, "`cron` is missing", FORM)
    for key, problem_of in (("cron", cron_problem), ("timezone", zone_problem)):
        text = read_text(found, entries[key], f"{path}.{key}") if key in entries else None
        if text is not None and _is_fine(found, entries[key], f"{path}.{key}", problem_of(text)):
            values[key] = text
    for key, choices in (("overlap", OVERLAPS), ("missed", MISSED)):
        if key in entries and (chosen := read_choice(found, entries[key], f"{path}.{key}", choices)) in choices:
            values[key] = chosen
    return Schedule(**values) if "cron" in values else None


def _is_fine(found: Findings, node: AnyNode, path: str, problem: tuple[str, str] | None) -> bool:
    if problem is not None:
        what = f"{quoted(node.text)}: {problem[0]}" if isinstance(node, Scalar) else problem[0]
        found.add(node, path, what, problem[1])
    return problem is None


def needed_input(inputs: Mapping[str, Input]) -> tuple[str, str] | None:
    """That a schedule could not give what the workflow needs, and a hint; None if it needs nothing."""
    for name, declared in inputs.items():
        if declared.required and not declared.has_default:
            what = f"a scheduled execution is given no inputs, and {quoted(name)} is required"
            return what, f"give {quoted(name)} a default, or no `required`"
    return None


def of_python(given: Any, inputs: Mapping[str, Input]) -> tuple[Schedule, ...]:
    """What `schedule=` says. Raises UsageError."""
    if (needed := needed_input(inputs)) is not None:
        raise UsageError(f"schedule=: {needed[0]}", hint=needed[1])
    many = [given] if isinstance(given, str | Mapping) else given
    hint = 'schedule={"cron": "0 3 * * *", "timezone": "Europe/Berlin"}'
    if not isinstance(many, Iterable) or not (made := tuple(dict.fromkeys(_made(each, hint) for each in many))):
        raise UsageError("schedule= is a cron expression, a dict, or a list of these", hint=hint)
    return made


def _made(given: Any, hint: str) -> Schedule:
    said = {"cron": given} if isinstance(given, str) else given
    if not isinstance(said, Mapping) or not all(isinstance(text, str) for text in [*said, *said.values()]):
        raise UsageError("schedule= is a cron expression, a dict, or a list of these", hint=hint)
    if unknown := sorted({*said} - {*KEYS}):
        raise UsageError(f"schedule= has no key {unknown[0]!r}", hint=did_you_mean(unknown[0], KEYS) or listed(KEYS))
    if "cron" not in said:
        raise UsageError("schedule= has no `cron`", hint=hint)
    for key, problem_of in (("cron", cron_problem), ("timezone", zone_problem)):
        if key in said and (problem := problem_of(said[key])) is not None:
            raise UsageError(f"schedule=: {said[key]!r}: {problem[0]}", hint=problem[1])
    choices: tuple[tuple[str, tuple[str, ...]], ...] = (("overlap", OVERLAPS), ("missed", MISSED))
    for key, there in choices:
        if key in said and said[key] not in there:
            near = did_you_mean(said[key], there) or f"there is {listed(there)}"
            raise UsageError(f"schedule=: {key} cannot be {said[key]!r}", hint=near)
    return Schedule(**said)
