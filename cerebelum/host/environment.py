"""The user's environment variables, as steps are to inherit them."""

from __future__ import annotations

import os
from collections.abc import Mapping


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment that steps inherit: the user's, without what cannot be passed on."""
    return {k: v for k, v in environ.items() if not _broken(k) and not _broken(v)}


def plugin_places(environ: Mapping[str, str]) -> list[str]:
    """What CEREBELUM_PLUGIN_PATH adds to the places that modules are imported from: its folders, and wheels in them."""
    places = []
    for folder in filter(None, environ.get("CEREBELUM_PLUGIN_PATH", "").split(os.pathsep)):
        folder = os.path.abspath(folder)
        try:
            wheels = sorted(name for name in os.listdir(folder) if name.endswith(".whl"))
        except OSError:
            wheels = []
        places += [folder, *(os.path.join(folder, wheel) for wheel in wheels)]
    return places


def program_on(path: str, name: str) -> str | None:
    """The file of the program `name` in the first of the folders `path` that has one.

    None where there is none, and where it may be in a relative folder, which is another one for each working directory.
    """
    # Asked for every step, so without the cost of Path.
    for folder in path.split(os.pathsep):
        if not os.path.isabs(folder):
            return None
        file = f"{folder}/{name}"
        if os.access(file, os.X_OK) and os.path.isfile(file):
            return file
    return None


def _broken(text: str) -> bool:
    return "\0" in text or os.fsdecode(os.fsencode(text)) != text
