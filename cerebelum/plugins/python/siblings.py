"""Modules of the same name beside workflows of different folders, all in one process.

Python knows one module of a name. While something in one of the folders imports, that one has its own modules in
`sys.modules` and comes first in `sys.path`; those of the others make room until it is their turn again.
"""

from __future__ import annotations

import builtins
import functools
import os
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

lock = threading.RLock()
"""For whoever loads something of a folder: one at a time has its turn."""
_PATIENCE = 10.0
"""Seconds; who waits longer may be waited for, by a thread that imports in another way."""
_folders: list[str] = []
"""Folders of workflows, as they stand in `sys.path`; the first one's turn it is."""
_away: dict[str, dict[str, ModuleType]] = {}
"""By folder: modules of its own that have made room."""


def on_path(folder: str) -> None:
    """Make a folder's modules importable: after the standard library, which a user's file must not replace for us."""
    if folder in sys.path:
        return
    places = (i for i, entry in enumerate(sys.path) if entry.endswith(("site-packages", "dist-packages")))
    sys.path.insert(next(places, len(sys.path)), folder)
    if folder not in _folders:
        _folders.append(folder)
        if len(_folders) == 1:
            # From the first one on: what it is importing when the second one comes would be mistaken, too.
            builtins.__import__ = _importing(builtins.__import__)


def turn_of(folder: str) -> None:
    """Have imports give what is in this folder. For who has the lock."""
    if folder not in _folders or _folders[0] == folder:
        return
    own = _names(folder)
    for other in _folders:
        if other != folder:
            for name in own & _names(other):
                _make_room(name, other)
    for name, module in _away.pop(folder, {}).items():
        sys.modules.setdefault(name, module)
    # Somebody may have taken any of them out again.
    others = [sys.path.index(other) for other in _folders if other in sys.path]
    if folder in sys.path:
        sys.path.remove(folder)
        sys.path.insert(min(others), folder)
    _folders.remove(folder)
    _folders.insert(0, folder)


def _importing(plainly: Callable[..., Any]) -> Callable[..., Any]:
    """What an `import` calls, in the turn of the folder that the importing file belongs to."""

    @functools.wraps(plainly)
    def imported(*given: Any, **options: Any) -> Any:
        names = given[1] if len(given) > 1 else options.get("globals")
        home = _home(names.get("__file__")) if isinstance(names, dict) else None
        if home is None:
            return plainly(*given, **options)
        turn = lock
        mine = turn.acquire(timeout=_PATIENCE)
        try:
            turn_of(home)
            return plainly(*given, **options)
        finally:
            if mine:
                turn.release()

    return imported


def _after_fork() -> None:
    # Whoever had its turn is a thread of the parent's.
    global lock
    lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


def _home(file: Any) -> str | None:
    """Which of the folders a file belongs to, be it in a package there."""
    if not isinstance(file, str):
        return None
    inside = [folder for folder in _folders if file.startswith(os.path.join(folder, ""))]
    for folder in sorted(inside, key=len, reverse=True):
        packages = file[len(folder) + 1 :].split(os.sep)[:-1]
        if all(map(str.isidentifier, packages)):
            return folder
    return None


def _names(folder: str) -> set[str]:
    """What can be imported from a folder, as far as its files tell."""
    try:
        found = os.listdir(folder)
    except OSError:
        return set()
    return {name.removesuffix(".py") for name in found if name.endswith(".py") or name.isidentifier()}


def _make_room(name: str, folder: str) -> None:
    """Take a module out that comes from a folder, and all within it."""
    module = sys.modules.get(name)
    if module is None or not _is_from(module, folder):
        return
    for each in [known for known in sys.modules if known == name or known.startswith(f"{name}.")]:
        _away.setdefault(folder, {})[each] = sys.modules.pop(each)


def _is_from(module: ModuleType, folder: str) -> bool:
    file = getattr(module, "__file__", None)
    places = [file] if file else [*getattr(module, "__path__", ())]
    return any(
        os.path.dirname(os.path.abspath(place)) in (folder, os.path.join(folder, module.__name__)) for place in places
    )
