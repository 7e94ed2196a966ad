"""What the options of `MANNER` say, as keywords. For type checkers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from cerebelum.cli.step_output import Output


class Manner(TypedDict):
    """How an execution is to be driven, and what is to be shown of it."""

    by: str | None
    as_json: bool
    quiet: bool
    output: Output | None
    verbose: bool
    summary: bool
    junit: str | None
    log_limit: int | None
    park: bool
    park_after: float | None
    detach: bool
    here: bool
