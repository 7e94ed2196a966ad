"""PyYAML's parser in C without two thirds of the package, of which it wants no more than the classes of errors.

The rest is loaded when something of it is first asked for, and means the same errors.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from cerebelum.start import lean

_NEEDED = ("error", "events", "nodes", "tokens")
_PARTS = {
    **dict.fromkeys(("composer", "constructor", "parser", "scanner"), "MarkedYAMLError"),
    **dict.fromkeys(("emitter", "reader", "representer", "serializer"), "YAMLError"),
}
"""By module: what its error is a kind of."""


def parser() -> Any:
    """The class that reads the events of a text; where there is none in C, it is the one in Python."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        import_module("yaml")
    finally:
        sys.meta_path.remove(finder)
    in_c = sys.modules.get("yaml._yaml")
    return in_c.CParser if in_c else import_module("yaml").SafeLoader


class _Finder:
    """Finds the package, if it is to be loaded now, and lets it be loaded as said above."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        spec = lean.find(name, None, but=self) if name == "yaml" else None
        places = spec.submodule_search_locations if spec else None
        if spec and places and lean.find("yaml._yaml", places):
            loader: Any = _Loader(spec.loader)
            spec.loader = loader
        return spec


class _Loader:
    def __init__(self, true: Any) -> None:
        self._true = true

    def create_module(self, spec: ModuleSpec) -> None:
        """Make a module as usual."""

    def exec_module(self, module: ModuleType) -> None:
        """Load what the parser needs, and leave the rest to the true loader, for later."""
        known = vars(module)
        known["__loader__"] = known["__spec__"].loader = self._true
        for name in _NEEDED:
            known.update((word, of) for word, of in vars(import_module(f"yaml.{name}")).items() if word[0] != "_")
        for name, base in _PARTS.items():
            spec = lean.find(f"yaml.{name}", known["__path__"])
            if spec is not None:
                _give_error(lean.put_off(spec.name, spec), f"{name.capitalize()}Error", known[base])
        # The package does without it, too.
        with suppress(ImportError):
            import_module("yaml._yaml")
        lean.wait(module)


def _give_error(part: ModuleType, name: str, base: type[Exception]) -> None:
    """Let a part have the class of its errors before it is loaded, which it is when there is one."""

    def __init__(self: Any, *given: Any, **named: Any) -> None:
        dir(part)
        error.__init__(self, *given, **named)

    error: Any = type(name, (base,), {"__init__": __init__, "__module__": part.__name__})

    def keep(part: ModuleType) -> None:
        true = vars(part)[name]
        vars(part)[name] = error
        del error.__init__
        for method in {"__init__", "__str__"} & set(vars(true)):
            setattr(error, method, vars(true)[method])

    vars(part)[name] = error
    lean.afterwards[part.__name__] = keep
