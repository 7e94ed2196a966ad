"""`runs_on:`, the workers that may perform a step: as it is written in a file, and in Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cerebelum.core.errors import CerebelumError
from cerebelum.core.model import RunsOn
from cerebelum.core.queues import label_problem, queue_problem
from cerebelum.definition.fields import check_keys, read_names, read_text
from cerebelum.definition.findings import Findings
from cerebelum.definition.nodes import AnyNode, Scalar, Table, kind

KEYS = ("queue", "labels")
_EXAMPLE = "such as {queue: gpu, labels: [a100]}"
ONLY_WAITS = ("sleep", "approval")
"""Executors whose steps do nothing that a worker could do for them."""


def read_runs_on(found: Findings, node: AnyNode, path: str) -> RunsOn | None:
    """`runs_on: gpu`, or a mapping with `queue` and `labels`."""
    if isinstance(node, Scalar) and node.value is not None:
        return _queue(found, node, path)
    if not isinstance(node, Table):
        found.add(node, path, f"expected a mapping or the name of a queue, this is {kind(node)}", _EXAMPLE)
        return None
    check_keys(found, node, path, KEYS)
    if "queue" not in node.entries:
        found.add(node, path, "`queue` is missing", _EXAMPLE)
        return None
    placed = _queue(found, node.entries["queue"], f"{path}.queue")
    labels = read_names(found, node.entries["labels"], f"{path}.labels") if "labels" in node.entries else []
    for label, item in labels or []:
        if problem := label_problem(label):
            found.add(item, f"{path}.labels", *problem)
    return None if placed is None else RunsOn(placed.queue, tuple(label for label, _ in labels or []))


def _queue(found: Findings, node: AnyNode, path: str) -> RunsOn | None:
    text = read_text(found, node, path)
    if text is None:
        return None
    if problem := queue_problem(text):
        found.add(node, path, *problem)
        return None
    return RunsOn(text)


def of_python(given: Any, executor: str) -> RunsOn:
    """What `runs_on=` says. Raises CerebelumError."""
    said = {"queue": given} if isinstance(given, str) else given
    hint = 'runs_on="gpu", or runs_on={"queue": "gpu", "labels": ["a100"]}'
    if not isinstance(said, Mapping) or not isinstance(said.get("queue"), str) or not {*said} <= {*KEYS}:
        raise CerebelumError("runs_on= is the name of a queue, or a dict with queue and labels", hint=hint)
    labels = said.get("labels", ())
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
        raise CerebelumError("labels are a list of texts", hint=hint)
    for problem in (queue_problem(said["queue"]), *map(label_problem, labels)):
        if problem is not None:
            raise CerebelumError(f"runs_on=: {problem[0]}", hint=problem[1])
    if executor in ONLY_WAITS:
        raise CerebelumError("runs_on= has no effect", hint="a step that only waits needs no worker")
    return RunsOn(said["queue"], tuple(dict.fromkeys(labels)))
