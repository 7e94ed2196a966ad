"""The secrets of an execution: taken from the environment when it is driven, and kept out of everything recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from cerebelum.core.errors import UsageError
from cerebelum.core.model import Workflow
from cerebelum.steps.masking import Masker, check_secret, texts

_SURELY = 8
"""From this length on, a secret inside a longer text is no coincidence."""


def gather(workflow: Workflow, environ: Mapping[str, str], names: Sequence[str] | None = None) -> dict[str, str]:
    """The values of secrets the workflow declares: all of them, or `names`.

    Raises UsageError naming those missing or too short.
    """
    names = workflow.every_secret() if names is None else names
    missing = [name for name in names if not environ.get(name)]
    if missing:
        plural = "s are" if len(missing) > 1 else " is"
        raise UsageError(
            f"the secret{plural} not set: {', '.join(missing)}",
            where=workflow.name,
            hint="secrets are taken from environment variables of the same name, on every run and resume",
        )
    for name in names:
        check_secret(name, environ[name])
    return {name: environ[name] for name in names}


def refuse_in_inputs(inputs: Mapping[str, Any], secrets: Mapping[str, str]) -> None:
    """Raises UsageError if an input is a secret, since inputs are recorded."""
    long = Masker({name: secret for name, secret in secrets.items() if len(secret) >= _SURELY})
    for key, value in inputs.items():
        held = list(texts(value))
        name = long.find(value) or next((n for n, secret in secrets.items() if secret in held), None)
        if name:
            raise UsageError(
                f"input {key} contains the secret {name}; inputs are recorded, secrets must not be",
                hint=f"leave the input out and use ${name} in the step",
            )


def refuse_in_definition(workflow: Workflow, tags: Iterable[str], masker: Masker) -> None:
    """Raises UsageError if the definition, or one of `tags` (an id given by hand counts as one), holds a secret."""
    name = masker.find(msgspec.to_builtins(workflow))
    if name:
        raise UsageError(
            f"the workflow contains the value of the secret {name}; definitions are recorded, secrets must not be",
            where=workflow.name,
            hint=f"use the variable ${name} instead",
        )
    for tag in tags:
        if masker.find(tag):
            raise UsageError("a tag or the id contains a secret; they are recorded, secrets must not be")
