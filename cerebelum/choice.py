"""What a resume or a fork goes on with: a value of its own, since the client, the driver and the plan hand it on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Choice(NamedTuple):
    """What a resume or fork goes on with, and where."""

    from_step: str | None = None
    accept_changes: bool = False
    """Keep the outputs of completed steps whose definition has changed."""
    file: Path | None = None
    """Read the definition from here instead of from where it came from."""
    recorded: bool = False
    """Use the recorded definition."""
