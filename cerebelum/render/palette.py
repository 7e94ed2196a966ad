"""The colours of pages and pictures, in light and in dark surroundings; words and symbols say the same beside them."""

from __future__ import annotations

import msgspec

from cerebelum.render.display import UNICODE

SYMBOLS = msgspec.structs.replace(UNICODE, waiting="‖")
"""Those of terminals, with a sign for waiting that every browser has letters for."""

LIGHT = {
    "paper": "#ffffff",
    "panel": "#f4f6f8",
    "line": "#c9d1d9",
    "edge": "#7d8894",
    "text": "#1b2128",
    "quiet": "#57606a",
    "completed": "#1a7037",
    "failed": "#b3261e",
    "running": "#0b5cad",
    "waiting": "#8a5200",
    "interrupted": "#a03c00",
    "skipped": "#57606a",
    "cancelled": "#7a3fc0",
}
DARK = {
    "paper": "#12161b",
    "panel": "#1b2128",
    "line": "#39424d",
    "edge": "#7d8894",
    "text": "#e4e8ec",
    "quiet": "#a3adb8",
    "completed": "#57c878",
    "failed": "#ff8078",
    "running": "#72b4ff",
    "waiting": "#e5a93d",
    "interrupted": "#ff9d5c",
    "skipped": "#a3adb8",
    "cancelled": "#c6a3ff",
}

_TONES = {
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "skipped": "skipped",
    "interrupted": "interrupted",
    "running": "running",
    "answered": "running",
    "on_worker": "running",
    "reported": "running",
    "retrying": "waiting",
    "sleeping": "waiting",
    "waiting_for_worker": "waiting",
    "waiting_for_approval": "waiting",
    "paused": "waiting",
}


def tone(status: str) -> str:
    """The name of the colour that a status of a step or of an execution has."""
    return _TONES.get(status, "quiet")


def palette(selector: str) -> str:
    """A style sheet's rules that give the colours to what `selector` names, as `--text` and so on."""
    # On paper it is light.
    return "\n".join(
        [
            f"{selector} {{ {_variables(LIGHT)} }}",
            f"@media screen and (prefers-color-scheme: dark) {{ {selector} {{ {_variables(DARK)} }} }}",
        ]
    )


def _variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())
