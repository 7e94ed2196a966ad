"""Loads the libraries that every command needs without what these load for things that hardly any command does.

A third of a short command's time would go into modules of which nothing is used. They are there when something is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.machinery import ModuleSpec
from threading import Lock, RLock
from types import ModuleType
from typing import Any, cast

_SELDOM_USED = (
    *("ast", "base64", "bz2", "difflib", "gettext", "inspect", "ipaddress", "lzma", "platform", "shlex"),
    *("signal", "textwrap", "importlib.metadata", "urllib.parse", "datetime", "fnmatch", "locale", "ntpath"),
    *("msgspec.inspect", "msgspec.msgpack", "msgspec.toml", "msgspec.yaml"),
)
_lock = RLock()
_patterns = Lock()
_waiting: set[str] = set()


class _Later(ModuleType):
    """A module that is loaded when something in it is first asked for, by one thread while the others wait."""

    def __getattr__(self, name: str) -> Any:
        # `from … import` asks every module for its __path__; those that are packages have one from the start.
        if name == "__path__":
            raise AttributeError(name)
        self._load()
        return ModuleType.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._load()
        ModuleType.__setattr__(self, name, value)

    def __dir__(self) -> Iterable[str]:
        self._load()
        return ModuleType.__dir__(self)

    def _load(self) -> None:
        with _lock:
            if self.__name__ in _waiting:
                _waiting.remove(self.__name__)
                try:
                    vars(self)["__loader__"].exec_module(self)
                except BaseException:
                    # Such as a Ctrl-C: the next one who asks tries again, as with any import.
                    _waiting.add(self.__name__)
                    raise
                object.__setattr__(self, "__class__", ModuleType)


def _true(module: str, function: str) -> Callable[..., Any]:
    """The function that a stand-in stood in for, with its module loaded."""
    found = sys.modules[module]
    if isinstance(found, _Later):
        found._load()
    return cast(Callable[..., Any], getattr(found, function))


def _clean(doc: str) -> str:
    return str(_true("inspect", "cleandoc")(doc)) if "\n" in doc else doc.expandtabs().lstrip()


def _quote_from_bytes(given: bytes, safe: str = "/") -> str:
    return str(_true("urllib.parse", "quote_from_bytes")(given, safe))


def _version(distribution: str) -> str:
    found = _version_by_folder(distribution) if distribution.startswith("psycopg") else None
    return found or str(_true("importlib.metadata", "version")(distribution))


def _version_by_folder(distribution: str) -> str | None:
    """The version of a distribution as the name of its folder tells it."""
    start, end = distribution.replace("-", "_") + "-", ".dist-info"
    for folder in sys.path:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            if name.startswith(start) and name.endswith(end):
                return name[len(start) : -len(end)]
    return None


_STAND_INS: tuple[tuple[str, str, Callable[..., str]], ...] = (
    # All that click wants of `inspect`, for the help of each option, and `uuid` of `platform`, when it is imported.
    ("inspect", "cleandoc", _clean),
    ("platform", "system", lambda: os.uname().sysname),
    # Each part of psycopg asks for its own when it is imported: 9 ms.
    ("importlib.metadata", "version", _version),
    # `pathlib` wants it for addresses made of paths.
    ("urllib.parse", "quote_from_bytes", _quote_from_bytes),
    # Click's words stay in the language of ours.
    ("gettext", "gettext", lambda message: message),
    ("gettext", "ngettext", lambda one, many, count: one if count == 1 else many),
)


def prepare() -> None:
    """Put modules that are seldom used off until they are; to be called before libraries are imported."""
    import urllib  # noqa: F401

    parents: dict[str, ModuleSpec | None] = {}
    for name in _SELDOM_USED:
        parent = name.rpartition(".")[0]
        if parent and parent not in parents:
            parents[parent] = _find(parent, None)
        above = parents[parent] if parent else None
        if name in sys.modules or (parent and above is None):
            continue
        # Whoever imports these without having them is to know at once.
        if name not in ("bz2", "lzma", "datetime") or _find(f"_{name}", None):
            _put_off(name, _find(name, above.submodule_search_locations if above else None))
    for name, function, stand_in in _STAND_INS:
        if name in _waiting:
            vars(sys.modules[name])[function] = stand_in
    if "datetime" in _waiting:
        # All that is in it comes from there, and replaces the same in Python: 1 ms before 3.12.
        import _datetime  # type: ignore[import-not-found]

        vars(sys.modules["datetime"]).update((name, of) for name, of in vars(_datetime).items() if name[:2] != "__")
    if "typing_extensions" in sys.modules:
        import_without_references("msgspec")
        return
    # msgspec takes the same from `typing` where this is not there.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    try:
        import_without_references("msgspec")
    finally:
        del sys.modules["typing_extensions"]


def import_without_references(name: str) -> None:
    """Import a package that describes types in texts which nobody will ask it for.

    Each is compiled when it is described, and the first `compile` of a process alone takes 1 ms. To be called before
    there are other threads.
    """
    if name in sys.modules:
        return
    import typing

    forward_ref = typing.ForwardRef
    vars(typing)["ForwardRef"] = lambda *given, **options: None
    try:
        import_module(name)
    finally:
        vars(typing)["ForwardRef"] = forward_ref


class _Pattern:
    """A regular expression that is compiled when it is first used."""

    def __init__(self, make: Callable[..., Any], pattern: Any, flags: Any = 0) -> None:
        self._made: Callable[[], Any] = lambda: make(pattern, flags)

    def __getattr__(self, name: str) -> Any:
        made = self._made()
        self._made = lambda: made
        return getattr(made, name)


def import_with_patterns_later(name: str) -> None:
    """Import a package whose regular expressions are compiled when they are used: most of them never are."""
    if name in sys.modules:
        return
    import re

    with _patterns:
        made_now = re.compile

        def later(pattern: Any, flags: Any = 0) -> Any:
            # Other threads may compile something at this moment.
            asks = sys._getframe(1).f_globals.get("__name__", "")
            mine = asks.partition(".")[0] == name
            return _Pattern(made_now, pattern, flags) if mine else made_now(pattern, flags)

        re.compile = later
        try:
            import_module(name)
        finally:
            re.compile = made_now


def take_back() -> None:
    """End what was for click alone; to be called when it has been imported."""
    for name, function, _ in _STAND_INS:
        if name == "gettext" and name in _waiting:
            vars(sys.modules[name]).pop(function, None)


def _find(name: str, path: list[str] | None) -> ModuleSpec | None:
    found = (finder.find_spec(name, path) for finder in sys.meta_path)
    return next((spec for spec in found if spec is not None), None)


def _put_off(name: str, spec: ModuleSpec | None) -> None:
    if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
        return
    module = _Later(name)
    known = {"__spec__": spec, "__loader__": spec.loader, "__package__": spec.parent, "__file__": spec.origin}
    vars(module).update(known)
    if spec.submodule_search_locations is not None:
        vars(module)["__path__"] = spec.submodule_search_locations
    _waiting.add(name)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent in sys.modules:
        # Whoever imports it finds it there already, and would not enter it here.
        setattr(sys.modules[parent], child, module)
