"""What makes starting fast, trick by trick, with the reason for each and the switch that turns it off.

A command such as `list` takes twice as long as an empty Python; without these it would take four times as long. Each
trick is a short way to an answer that the long way gives as well. `CEREBELUM_WITHOUT=lean,brief` turns some of them
off, `CEREBELUM_WITHOUT=all` all of them: to look for an error, and to test that the answers are the same.
"""

from __future__ import annotations

import os

TRICKS = {
    "gc": "no garbage is collected while modules are imported, which makes hardly any (__main__.py)",
    "lean": "libraries are loaded without what they load for things that are seldom used: a third of a short command"
    " (start/lean.py)",
    "brief": "`list`, `status ID` and `run FILE` are performed before click is loaded: a quarter of a short command, a"
    " tenth of a short workflow (start/brief.py)",
    "built-in": "built-in plugins and stores are asked without pluggy, whose import and registering take 11"
    " ms, more than all else about them (registry.py, app.py)",
    "plain-command": "a script that is one program with plain arguments is started without a shell, as `make` does:"
    " 2 ms a step (start/plain_command.py)",
}
"""By name: what it is, why, and where."""

VARIABLE = "CEREBELUM_WITHOUT"
_off = frozenset(filter(None, os.environ.get(VARIABLE, "").split(",")))


def on(trick: str) -> bool:
    """Whether the trick of that name in TRICKS is to be used."""
    return not _off or not ("all" in _off or trick in _off)


def unknown() -> str | None:
    """A name that the variable gives and that no trick has; None if all are known."""
    return next((name for name in sorted(_off) if name != "all" and name not in TRICKS), None)
