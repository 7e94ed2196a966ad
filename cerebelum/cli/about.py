"""What this program is made of: versions for bug reports and bills of materials, and the licences in the binary."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cerebelum import __version__

if TYPE_CHECKING:
    from cerebelum.render import contract


def facts(sqlite: str, psycopg: str | None, libpq: str | None) -> contract.Version:
    """The shape of `cerebelum --version --json`. `commit` and `build` are null where the package itself runs."""
    frozen = _frozen()
    told: dict[str, Any] = json.loads((frozen / "build.json").read_text()) if frozen else {}
    return {
        "version": __version__,
        "commit": told.get("commit"),
        "build": frozen.parents[2].name if frozen and told.get("form") == "folder" else None,
        "form": told.get("form", "package"),
        "python": sys.version.split()[0],
        "sqlite": sqlite,
        "psycopg": psycopg,
        "libpq": libpq,
        "file": getattr(sys, "cerebelum_file", None),
    }


def licenses() -> str:
    """The licences of everything in the binary; for the package, where to find them."""
    frozen = _frozen()
    if frozen is not None:
        return (frozen / "licenses.txt").read_text()
    return f"cerebelum {__version__}: MIT. Each package it needs is installed with its own licence.\n"


def _frozen() -> Path | None:
    """The folder of what the build noted about itself: beside this package, in the binary."""
    folder = Path(__file__).parents[2] / "cerebelum_frozen"
    return folder if (folder / "build.json").is_file() else None
