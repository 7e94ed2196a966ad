"""What a resume or a fork goes on with: a value of its own, since the client, the driver and the plan hand it on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from cerebelum.core.step_kind import Defines


class ResumeOptions(msgspec.Struct, frozen=True):
    """What a resume or fork goes on with, and where."""

    from_step: str | None = None
    accept_changes: bool = False
    """Keep the outputs of completed steps whose definition has changed."""
    file: Path | Defines | None = None
    """Read the definition from here instead of from where it came from."""
    recorded: bool = False
    """Use the recorded definition."""
    working_dir: Path | None = None
    """Go on in this folder instead of the one that the execution was in."""
    take_over: bool = False
    """End the process of this machine that drives the execution, if one does."""
    anew: bool = False
    """Run every step again."""
