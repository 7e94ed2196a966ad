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


def _broken(text: str) -> bool:
    return "\0" in text or os.fsdecode(os.fsencode(text)) != text
